"""`manage.py upstream` against a keeper with a real stand-in, and its entries in the trail."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from routing.audit import queries
from routing.audit.queries import EntryRow, Filters
from routing.paths.keeper import Keeper

pytestmark = pytest.mark.django_db


@pytest.fixture
def home(tmp_path: Path, settings: Any) -> Path:
    settings.HYBRIDOPS_HOME = tmp_path
    return tmp_path


@pytest.fixture
def server(home: Path) -> Iterator[None]:
    """A keeper on a loop of its own, as in the server process."""
    ready, end = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        keeper = Keeper(home, latency_ms="1-2")
        await keeper.open()
        ready.set()
        await end.wait()
        await keeper.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(20)
        loop.close()


def run(*words: str) -> tuple[int, dict[str, Any], str]:
    """Return the exit status, the object on standard output, and standard error."""
    out, err = io.StringIO(), io.StringIO()
    status = 0
    try:
        call_command("upstream", *words, "--json", stdout=out, stderr=err)
    except SystemExit as end:
        status = int(end.code or 0)
    return status, json.loads(out.getvalue()), err.getvalue()


def booked() -> list[EntryRow]:
    """The entries about stand-ins, oldest first."""
    return list(reversed(queries.page(filters=Filters(object_type="upstream")).rows))


@pytest.mark.parametrize("verb", ["start", "stop", "status"])
def test_without_a_server_nothing_is_done_and_nothing_booked(home: Path, verb: str) -> None:
    status, answer, words = run("mcp", verb)
    assert status == 1
    assert answer["error"] == "unavailable"
    assert "No server runs" in words
    assert booked() == []


@pytest.mark.usefixtures("server")
def test_what_it_does_is_booked_with_the_shell_as_actor() -> None:
    assert run("bedrock", "status")[1]["state"] == "never_started"
    assert booked() == []  # looking changes nothing

    status, row, _ = run("bedrock", "start", "--reason", "drill")
    assert (status, row["state"]) == (0, "running")
    fault = ("--kind", "error", "--seconds", "5", "--share", "0.5", "--environment", "staging")
    status, told, _ = run("bedrock", "fault", *fault)
    assert (status, told["fault"]["kind"], told["fault"]["share"]) == (0, "error", 0.5)
    [active] = run("bedrock", "status")[1]["faults"]
    assert active["environment"] == "staging"
    assert run("bedrock", "fault", "--clear")[1]["cleared"] == 1
    assert run("bedrock", "stop")[1]["state"] == "stopped"

    start, made, cleared, stop = booked()
    assert (start.action, start.reason, start.object_id) == ("upstream.start", "drill", "bedrock")
    assert start.actor_kind == "shell"
    assert made.action == "upstream.fault"
    assert made.environment == "staging"
    assert made.facts == {
        "verb": "fault",
        "kind": "error",
        "duration_ms": 5000,
        "share_ppm": 500_000,
    }
    assert cleared.facts == {"verb": "clear"}
    assert stop.action == "upstream.stop"
    assert {row.outcome for row in (start, made, cleared, stop)} == {"done"}


@pytest.mark.usefixtures("server")
def test_what_could_not_be_done_is_booked_as_failed() -> None:
    status, answer, _ = run("bedrock", "fault", "--kind", "hang")  # it was never started
    assert (status, answer["error"]) == (1, "unavailable")
    asked, failed = booked()
    assert (asked.outcome, failed.outcome) == ("done", "failed")
    assert "does not answer" in str(failed.facts)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    "words",
    [
        ("bedrock", "fault"),
        ("bedrock", "fault", "--kind", "error", "--environment", "prod"),
        ("bedrock", "fault", "--clear", "--ms", "5"),
        ("bedrock", "start", "--kind", "error"),
        ("bedrock", "status", "--clear"),
    ],
)
def test_options_that_make_no_sense_are_refused(words: tuple[str, ...]) -> None:
    status, answer, _ = run(*words)
    assert status == 1
    assert answer["error"] in {"invalid", "unknown_word"}
    assert booked() == []
