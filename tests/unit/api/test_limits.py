"""What the door takes at all: hosts, methods, media, sizes, rates; no 500 for what is sent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path as Folder

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.api import door, wire
from routing.api.wire import Message
from routing.core.allowance import Limits
from routing.core.values import Failure
from routing.paths.base import Usage
from routing.paths.scripted import Step, fails, says, waits
from tests.unit.api import calls
from tests.unit.api.calls import HOST, JSON, PROMPT, Caller

OPERATION, PRIORITY = "X-HybridOps-Operation", "X-HybridOps-Priority"
PATH, NONCE = "X-HybridOps-Path", "X-HybridOps-Nonce"


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ((("Content-Type", "text/plain"),), 415),
        ((("Content-Type", "multipart/form-data"),), 415),
        ((("Content-Type", "application/json; charset=latin-1"),), 415),
        ((("Content-Type", "application/json;charset=UTF-8"),), 200),
        ((("Content-Encoding", "gzip"),), 415),
        ((("Content-Encoding", "identity"),), 200),
        ((("Content-Length", "1048577"),), 413),
        ((("Content-Length", "9" * 5000),), 413),
        ((("Content-Length", "-1"),), 400),
        ((("Content-Length", "\u00b2"),), 400),
        ((("Content-Length", "5"), ("Content-Length", "6")), 400),
    ],
)
async def test_takes_plain_json_of_a_known_size(
    caller: Caller, more: tuple[tuple[str, str], ...], status: int
) -> None:
    given = await caller.post(PROMPT, *more)
    assert given.status == status
    if status != 200:
        # What was announced and not read must not be taken for the next request.
        closes = given.headers.get("connection") == "close"
        assert closes is ("Content-Length" in dict(more))
        assert not caller.stage.mcp.calls


async def test_a_body_that_announces_no_length_is_counted(caller: Caller) -> None:
    part = b" " * 65_536
    inside = [json.dumps(PROMPT).encode(), *[part] * 15]
    assert (await caller.post(chunks=inside)).status == 200
    given = await caller.post(chunks=[*inside, part, b"not read"])
    assert (given.status, given.error["code"]) == (413, "too_large")


async def test_a_body_that_does_not_come_is_not_waited_for(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "BODY_WITHIN_S", 0.05)
    request = calls.scope(
        "POST",
        door.ROUTE,
        [HOST, JSON, ("Authorization", "Bearer plain"), ("Content-Length", "9")],
    )
    given = await caller.send(request, [])
    assert (given.status, given.headers["connection"]) == (408, "close")


@pytest.mark.parametrize("host", [None, "evil.example", "", "ops.example.org@evil", "a b"])
async def test_answers_under_its_own_names_only(caller: Caller, host: str | None) -> None:
    headers = [JSON, ("Authorization", "Bearer plain")]
    if host is not None:
        headers.append(("Host", host))
    assert (await caller.send(calls.scope("POST", door.ROUTE, headers), [b""])).status == 400


async def test_two_hosts_are_none(caller: Caller) -> None:
    assert (await caller.post(PROMPT, HOST)).status == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "FOO"])
async def test_another_method_is_told_the_right_one(caller: Caller, method: str) -> None:
    given = await caller.send(calls.scope(method, door.ROUTE, [HOST]), [])
    assert (given.status, given.headers["allow"]) == (405, "POST")
    assert (given.raw == b"") is (method == "HEAD")


async def test_the_report_is_only_read(caller: Caller) -> None:
    given = await caller.post(path=door.REPORT, secret="run")
    assert (given.status, given.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1/routes", "/api/v1/route/", "/api/v1/../v1/route", "/api/\x00"]
)
async def test_an_unknown_address_is_a_404_in_json(caller: Caller, path: str) -> None:
    given = await caller.post(path=path)
    assert (given.status, given.error["code"]) == (404, "not_found")


async def test_a_query_is_refused(caller: Caller) -> None:
    request = calls.scope("POST", door.ROUTE, [HOST], query=b"operation=emergency")
    assert (await caller.send(request, [])).status == 400


async def test_too_many_requests_of_one_token_wait_and_others_do_not(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(per_second=3)) as caller:
        given = [await caller.post() for _ in range(12)]
        refused = [g for g in given if g.status == 429]
        assert {g.status for g in given} == {200, 429}
        assert {g.headers["retry-after"] for g in refused} == {"1"}
        assert {g.error["limit"] for g in refused} == {"per_second"}
        assert (await caller.post(secret="urgent")).status == 200


async def test_a_token_has_so_many_requests_under_way(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(at_once=2)) as caller:
        gate = asyncio.Event()
        caller.stage.mcp.otherwise = waits(gate)
        under_way = [asyncio.create_task(caller.post()) for _ in range(2)]
        await caller.stage.mcp.arrived(2)
        third = await caller.post()
        assert (third.status, third.headers["retry-after"]) == (429, "1")
        assert third.error["limit"] == "at_once"
        gate.set()
        assert [(await task).status for task in under_way] == [200, 200]
        assert (await caller.post()).status == 200


def costly(tokens: int) -> Step:
    """An answer that cost so much, whatever the words."""
    usage = Usage(input_tokens=0, output_tokens=tokens)
    return says("Well.", usage=usage)


async def test_a_caller_has_so_many_tokens_of_a_model_a_minute(tmp_path: Folder) -> None:
    """Judged by the estimate, settled by what was used; another caller is not touched."""
    with calls.opened(tmp_path, limits=Limits(tokens_per_minute=1000)) as caller:
        caller.stage.mcp.otherwise = costly(400)
        asks = {**PROMPT, "max_tokens": 500}
        assert [(await caller.post(asks)).status for _ in range(2)] == [200, 200]
        third = await caller.post(asks)
        assert (third.status, third.error["code"]) == (429, "too_many")
        assert third.error["limit"] == "tokens_per_minute"
        assert 55 <= int(third.headers["retry-after"]) <= 60
        assert (await caller.post({**PROMPT, "max_tokens": 100})).status == 200
        assert (await caller.post(asks, secret="urgent")).status == 200


async def test_a_request_that_never_fits_is_not_told_to_come_back(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(tokens_per_minute=1000)) as caller:
        given = await caller.post({**PROMPT, "max_tokens": 1001})
        assert (given.status, given.headers.get("retry-after")) == (400, None)
        assert not caller.stage.mcp.calls


async def test_calls_under_way_count_as_estimated(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(tokens_per_minute=1000)) as caller:
        gate = asyncio.Event()
        caller.stage.mcp.otherwise = waits(gate)
        asks = {**PROMPT, "max_tokens": 600}
        first = asyncio.create_task(caller.post(asks))
        await caller.stage.mcp.arrived()
        second = await caller.post(asks)
        assert (second.status, second.headers["retry-after"]) == (429, "1")
        gate.set()
        assert (await first).status == 200
        assert (await caller.post(asks)).status == 200  # the first used little of its estimate


async def test_the_limit_is_overrun_by_calls_under_way_at_most(tmp_path: Folder) -> None:
    limits = Limits(tokens_per_minute=1000, at_once=4)
    with calls.opened(tmp_path, limits=limits) as caller:
        caller.stage.mcp.otherwise = costly(900)  # nine times what is asked for
        given = await asyncio.gather(
            *(caller.post({**PROMPT, "max_tokens": 100}) for _ in range(50))
        )
        answered = sum(g.status == 200 for g in given)
        assert 1 <= answered <= 4
        assert {g.status for g in given} == {200, 429}


async def test_what_failed_without_a_word_costs_nothing(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(tokens_per_minute=700)) as caller:
        caller.stage.mcp.otherwise = caller.stage.direct.otherwise = fails(Failure.PROTOCOL)
        asks = {**PROMPT, "max_tokens": 600}
        assert {(await caller.post(asks)).status for _ in range(3)} == {503}


async def test_emergencies_spend_without_being_asked(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(tokens_per_minute=700)) as caller:
        caller.stage.direct.otherwise = costly(5000)
        asks = {**PROMPT, "max_tokens": 600, "operation": "emergency"}
        assert {(await caller.post(asks, secret="urgent")).status for _ in range(3)} == {200}
        calm = {**PROMPT, "max_tokens": 600}
        assert (await caller.post(calm, secret="urgent")).status == 429


async def test_explaining_spends_nothing(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(tokens_per_minute=700)) as caller:
        asks = {**PROMPT, "max_tokens": 600}
        for _ in range(5):
            assert (await caller.post(asks, path=door.EXPLAIN)).status == 200
        assert (await caller.post(asks)).status == 200


class Theirs(Exception):
    """What the server's edge raises to answer by itself."""


async def test_what_the_edge_raises_is_left_to_the_edge(caller: Caller) -> None:
    async def receive() -> Message:
        raise Theirs

    async def send(message: Message) -> None:
        raise AssertionError(message)

    request = calls.scope("POST", door.ROUTE, [HOST, JSON, ("Authorization", "Bearer plain")])
    with pytest.raises(Theirs):
        await caller.app(request, receive, send)


HEADER_TEXT = st.text(st.characters(max_codepoint=255), max_size=30)
NAMES = st.sampled_from(
    [OPERATION, PRIORITY, PATH, NONCE, "Content-Type", "Content-Length", "Host"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    body=st.binary(max_size=80) | st.just(json.dumps(PROMPT).encode()),
    more=st.lists(st.tuples(NAMES, HEADER_TEXT), max_size=3),
    path=st.sampled_from([door.ROUTE, door.EXPLAIN, door.REPORT, "/api/x"]),
    method=st.sampled_from(["POST", "GET", "HEAD"]),
    secret=st.sampled_from(["plain", "run", "urgent", "nobody"]),
)
def test_nothing_that_a_caller_sends_is_a_500(  # noqa: PLR0917
    caller: Caller,
    body: bytes,
    more: list[tuple[str, str]],
    path: str,
    method: str,
    secret: str,
) -> None:
    headers = [HOST, JSON, ("Authorization", f"Bearer {secret}"), *more]
    caller.leave = asyncio.Event()
    given = asyncio.run(caller.send(calls.scope(method, path, headers), [body]))
    assert given.status < 500
    if method != "HEAD":
        assert ("error" in given.body) is (given.status != 200)
