"""Runs of our own, through a real socket: minted, usable, marked, revoked whatever happens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from routing import runs
from routing.access import tokens
from routing.access.models import Token
from routing.audit import queries as trail
from routing.core.errors import Forbidden, Unavailable
from routing.core.rights import Actor, shell_actor
from routing.core.values import Action, EnvironmentName, Operation, Path, Role
from routing.fleet import heartbeat
from routing.fleet.models import Process
from routing.runs import Reply, Run
from tests.integration.runs.served import PRODUCTION, Served, in_run, now, row
from tests.unit.stage import Stage

pytestmark = pytest.mark.django_db(transaction=True)


def booked(*actions: Action) -> list[str]:
    """Return the actions that were booked on tokens, oldest first."""
    rows = trail.page(filters=trail.Filters(), size=200).rows
    wanted = {str(action) for action in actions}
    return [str(r.action) for r in reversed(rows) if str(r.action) in wanted]


def test_a_run_asks_the_serving_process_and_leaves_no_token_behind(
    served: Served, stage: Stage, by: Actor
) -> None:
    row(served.url)
    reply = in_run(
        by,
        lambda run: run.route(
            "Is it well?",
            operation=Operation.EMERGENCY,
            path=Path.MCP,
            nonce="n-1",
            max_tokens=5,
        ),
    )
    assert (reply.status, reply.body["effective"]) == (200, "mcp")
    (call,) = stage.mcp.calls
    assert (call.nonce, call.max_tokens, call.messages[0].text) == ("n-1", 5, "Is it well?")
    (kept,) = stage.records()
    assert (kept["environment"], kept["synthetic"], kept["nonce"]) == ("production", True, "n-1")
    token = Token.objects.get(pk=kept["token"])
    assert (token.kind, token.emergency, token.role) == ("run", True, str(Role.VIEWER))
    assert token.revoked_at is not None
    assert tokens.current().by_digest == {}
    assert booked(Action.TOKEN_ISSUE, Action.TOKEN_REVOKE) == ["token.issue", "token.revoke"]


def test_a_run_explains_and_reports(served: Served, stage: Stage, by: Actor) -> None:
    row(served.url)
    explained = in_run(by, lambda run: run.explain("x", operation=Operation.INFRASTRUCTURE))
    assert explained.body["candidates"] == [["direct_bedrock", None], ["mcp", None]]
    report = in_run(by, lambda run: run.report("n-9"))
    assert (report.body["process"], report.body["nonce"]) == ("here:b", "n-9")
    assert stage.records("report")[0]["nonce"] == "n-9"


def test_a_refusal_of_the_door_is_an_answer_too(served: Served, by: Actor) -> None:
    row(served.url)
    reply = in_run(by, lambda run: run.route("x", colour="red"))
    assert (reply.status, reply.body["error"]["code"]) == (400, "invalid")


def test_the_shells_proxy_never_sees_the_secret(
    served: Served, by: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    row(served.url)
    assert in_run(by, lambda run: run.route("x")).ok


@pytest.mark.parametrize(
    "unfit",
    [
        {"kind": "worker"},
        {"door_url": ""},
        {"environments": (EnvironmentName.STAGING,)},
    ],
)
def test_without_a_server_of_that_environment_nothing_is_minted(
    served: Served, by: Actor, unfit: dict[str, Any]
) -> None:
    url = unfit.pop("door_url", served.url)
    row(url, **unfit)
    with pytest.raises(Unavailable, match="No server serves production"):
        in_run(by, lambda run: run.route("x"))
    assert not Token.objects.exists()


def test_a_server_that_said_goodbye_is_not_asked(served: Served, by: Actor) -> None:
    heartbeat.stop(row("http://127.0.0.1:9"), now=now())
    row(served.url)
    assert in_run(by, lambda run: run.route("x")).ok


def test_of_several_servers_the_one_that_reported_last_is_asked(served: Served, by: Actor) -> None:
    silent = row("http://127.0.0.1:9")
    row(served.url)
    earlier = Process.objects.get(pk=silent).heartbeat_at
    Process.objects.filter(pk=silent).update(heartbeat_at=earlier.replace(microsecond=0))
    assert in_run(by, lambda run: run.route("x")).ok


def test_a_named_process_is_asked_or_nobody(served: Served, by: Actor) -> None:
    wanted = row(served.url)

    async def ask(process: str) -> str:
        async with runs.open(environment=PRODUCTION, by=by, now=now(), process=process) as run:
            return run.process.id

    assert runs.wait(lambda: ask(wanted)) == wanted
    with pytest.raises(Unavailable, match="here:gone does not serve"):
        runs.wait(lambda: ask("here:gone"))


def test_a_token_that_the_process_does_not_know_yet_is_not_used(
    served: Served, by: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "USABLE_WITHIN_S", 0.1)
    row(served.url, versions={"tokens": 0})
    with pytest.raises(Unavailable, match="runs tokens 0"):
        in_run(by, lambda run: run.route("x"))
    assert Token.objects.get().revoked_at is not None


def test_a_run_waits_until_the_process_reports_the_token(served: Served, by: Actor) -> None:
    process = row(served.url, versions={"tokens": 0})

    def report_later() -> None:
        heartbeat.beat(process, now=now(), versions={"tokens": tokens.current().version})

    looked = runs._serving

    def look(*args: Any) -> Any:
        found = looked(*args)
        if Token.objects.exists():
            report_later()  # the first look still shows the old version
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_serving", look)
        assert in_run(by, lambda run: run.route("x")).ok


class Boom(Exception):
    pass


def test_a_run_that_breaks_revokes_its_token(served: Served, by: Actor) -> None:
    row(served.url)

    async def boom(_: Run) -> Reply:
        raise Boom

    with pytest.raises(Boom):
        in_run(by, boom)
    assert Token.objects.get().revoked_at is not None


def test_a_run_that_is_cut_off_revokes_its_token(served: Served, by: Actor) -> None:
    row(served.url)

    async def work() -> None:
        inside = asyncio.Event()

        async def stay() -> None:
            async with runs.open(environment=PRODUCTION, by=by, now=now()):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(stay())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    runs.wait(work)
    assert Token.objects.get().revoked_at is not None


def test_a_server_that_is_gone_is_named(by: Actor) -> None:
    process = row("http://127.0.0.1:9")
    with pytest.raises(Unavailable, match=process):
        in_run(by, lambda run: run.route("x"))
    assert Token.objects.get().revoked_at is not None


def test_something_else_at_the_address_is_not_believed(served: Served, by: Actor) -> None:
    row(f"{served.url}/elsewhere")
    with pytest.raises(Unavailable, match="Something other"):
        in_run(by, lambda run: run.route("x"))


def test_who_may_not_mint_gets_no_run(served: Served) -> None:
    row(served.url)
    nobody = Actor(kind=shell_actor(user="x", host="y").kind, id="x", name="x")
    with pytest.raises(Forbidden):
        in_run(nobody, lambda run: run.route("x"))
