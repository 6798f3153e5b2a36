"""Our own door in server-sent events: what goes out, when, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.api import door, outlet
from routing.core.allowance import Limits
from routing.core.errors import Unavailable
from routing.core.values import Failure
from routing.paths.base import Usage
from routing.paths.scripted import Step, fails, says, streams, waits
from tests.unit.api import calls
from tests.unit.api.calls import PROMPT, Caller, Given

STREAM = {**PROMPT, "stream": True}


def events(given: Given) -> list[tuple[str, dict[str, Any]]]:
    """Return what a reader of events reads: names and data, no comments."""
    found = []
    for block in given.raw.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def test_tells_the_decision_then_each_piece_then_all_of_it(caller: Caller) -> None:
    usage = Usage(input_tokens=3, output_tokens=2)
    caller.stage.mcp.otherwise = streams("All ", "well.", usage=usage)
    given = await caller.post(STREAM)
    assert given.status == 200
    named = events(given)
    assert [name for name, _ in named] == ["opened", "piece", "piece", "end"]
    id = given.headers["x-hybridops-decision"]
    assert named[0][1] == {"decision_id": id, "path": "mcp", "reason": "rule", "one_piece": True}
    assert [data["text"] for name, data in named if name == "piece"] == ["All ", "well."]
    end = named[-1][1]
    whole = (await caller.post()).body
    assert {*end} == {*whole, "stream"}
    assert (end["text"], end["usage"]) == ("All well.", {"input_tokens": 3, "output_tokens": 2})
    assert {**end["stream"], "total_ms": 0} == {
        "end": "complete",
        "pieces": 2,
        "bytes": 9,
        "total_ms": 0,
    }


async def test_its_headers_say_where_it_comes_from_and_that_nobody_may_hold_it(
    caller: Caller,
) -> None:
    given = await caller.post(STREAM)
    wanted = {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store",
        "x-accel-buffering": "no",
        "x-hybridops-path": "mcp",
        "x-hybridops-stream": "one-piece",
    }
    assert wanted.items() <= given.headers.items()
    assert len(given.headers["x-request-id"]) == 16
    direct = await caller.post(
        {**STREAM, "operation": "infrastructure"}, ("Accept", "text/event-stream")
    )
    assert direct.headers["x-hybridops-stream"] == "pieces"


async def test_a_piece_goes_out_while_the_next_is_still_to_come(caller: Caller) -> None:
    second = asyncio.Event()
    caller.stage.mcp.otherwise = streams("All ", "well.", holds={1: second})
    given = Given()
    task = asyncio.create_task(caller.post(STREAM, given=given))
    await given.until(lambda raw: b'"All "' in raw)
    assert caller.stage.mcp.under_way == 1
    assert len(caller.stage.records("begun")) == 1
    second.set()
    await task
    assert events(given)[-1][0] == "end"


@pytest.mark.parametrize(
    ("body", "accept", "streamed"),
    [
        (PROMPT, None, False),
        (PROMPT, "*/*", False),
        (PROMPT, "application/json", False),
        (PROMPT, "application/json, text/event-stream", False),
        (PROMPT, "text/event-stream", True),
        (PROMPT, "Text/Event-Stream; q=1", True),
        (STREAM, None, True),
        (STREAM, "*/*", True),
        (STREAM, "application/json, text/event-stream", True),
        ({**PROMPT, "stream": False}, "*/*", False),
    ],
)
async def test_body_or_accept_choose(
    caller: Caller, body: object, accept: str | None, *, streamed: bool
) -> None:
    given = await caller.post(body, *([("Accept", accept)] if accept else []))
    assert given.headers["content-type"].startswith("text/event") is streamed


@pytest.mark.parametrize(
    ("body", "accept"),
    [
        ({**PROMPT, "stream": False}, "text/event-stream"),
        (STREAM, "application/json"),
        ({**PROMPT, "stream": "yes"}, "*/*"),
        ({**PROMPT, "stream": None}, "*/*"),
        ({**PROMPT, "stream": 1}, "*/*"),
    ],
)
async def test_what_they_do_not_agree_on_is_refused(
    caller: Caller, body: object, accept: str
) -> None:
    given = await caller.post(body, ("Accept", accept))
    assert (given.status, given.error["code"]) == (400, "invalid")
    assert not caller.stage.records()


async def test_explain_has_nothing_to_stream(caller: Caller) -> None:
    assert (await caller.post(STREAM, path=door.EXPLAIN)).status == 400


async def test_without_a_first_piece_the_answer_is_an_ordinary_refusal(caller: Caller) -> None:
    caller.stage.mcp.otherwise = caller.stage.direct.otherwise = fails(Failure.UNREACHABLE)
    given = await caller.post(STREAM)
    assert (given.status, given.error["code"]) == (503, "no_path")
    assert given.headers["content-type"] == "application/json"
    assert "retry-after" in given.headers
    assert given.headers["x-hybridops-decision"] == caller.stage.records()[0]["id"]


async def test_what_breaks_off_ends_with_an_error_and_no_second_answer(caller: Caller) -> None:
    caller.stage.mcp.otherwise = streams("All ", failure=Failure.THROTTLED)
    given = await caller.post(STREAM)
    (_, name), (_, error) = events(given)[1:]
    assert [name for name, _ in events(given)] == ["opened", "piece", "error"]
    assert name == {"text": "All "}
    assert error["error"]["code"] == "throttled"
    assert error["stream"]["end"] == "broken_off"
    assert (error["text"], error["effective"]) == (None, None)
    assert not caller.stage.direct.calls


async def test_a_caller_that_leaves_ends_the_exchange_beneath(caller: Caller) -> None:
    caller.stage.mcp.otherwise = streams("All ", "well.", holds={1: asyncio.Event()})
    given = Given()
    task = asyncio.create_task(caller.post(STREAM, given=given))
    await given.until(lambda raw: b'"All "' in raw)
    caller.leave.set()
    await task
    assert (caller.stage.mcp.under_way, caller.stage.mcp.given_up) == (0, 1)
    (kept,) = caller.stage.records()
    assert (kept["status"], kept["streamed"]["end"]) == (499, "given_up")


async def test_a_server_that_ends_tells_its_callers(caller: Caller) -> None:
    caller.stage.mcp.otherwise = streams("All ", "well.", holds={1: asyncio.Event()})
    given = Given()
    task = asyncio.create_task(caller.post(STREAM, given=given))
    await given.until(lambda raw: b'"All "' in raw)
    task.cancel()
    await task
    name, data = events(given)[-1]
    assert (name, data["error"]["code"]) == ("error", "unavailable")
    assert given.messages[-1]["more_body"] is False
    assert caller.stage.records()[0]["streamed"]["end"] == "given_up"


async def test_an_error_that_nobody_foresaw_is_told_without_its_words(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    step = Step(pieces=("All ",), broken=ZeroDivisionError("the secret word"))
    caller.stage.mcp.otherwise = step
    given = await caller.post(STREAM)
    name, data = events(given)[-1]
    assert (name, data["error"]["code"]) == ("error", "broken")
    assert b"secret word" not in given.raw
    assert "secret word" in caplog.text
    (kept,) = caller.stage.records()
    assert (kept["status"], kept["streamed"]["end"]) == (500, "broken_off")


async def test_an_end_that_cannot_be_booked_is_an_error(caller: Caller) -> None:
    write = caller.stage.log.put

    async def once(body: Mapping[str, Any]) -> int:
        if body["kind"] == "decision":
            raise Unavailable("The disk is full.")
        return await write(body)

    caller.stage.log.put = lambda body: asyncio.ensure_future(once(body))  # type: ignore[method-assign]
    given = await caller.post(STREAM)
    assert [name for name, _ in events(given)] == ["opened", "piece", "error"]


async def test_a_log_that_is_away_lets_nothing_out(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, logged=False) as caller:
        given = await caller.post(STREAM)
        assert (given.status, given.error["code"]) == (503, "unavailable")


async def test_a_long_silence_is_broken_by_a_comment(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlet, "STILL_THERE_S", 0.02)
    late = asyncio.Event()
    caller.stage.mcp.otherwise = streams("All ", "well.", holds={1: late})
    given = Given()
    task = asyncio.create_task(caller.post(STREAM, given=given))
    await given.until(lambda raw: raw.count(b": still there\n\n") == 2)
    late.set()
    await task
    assert [name for name, _ in events(given)] == ["opened", "piece", "piece", "end"]
    assert len([t for t in asyncio.all_tasks() if not t.done()]) == 1


async def test_what_a_provider_says_stays_within_its_event(caller: Caller) -> None:
    hostile = 'x\n\nevent: end\ndata: {}\n\n\u2028y\x85z"\ud800'
    caller.stage.mcp.otherwise = says(hostile)
    given = await caller.post(STREAM)
    assert [name for name, _ in events(given)] == ["opened", "piece", "end"]
    assert len(given.raw.decode().splitlines()) == given.raw.count(b"\n")
    assert events(given)[1][1]["text"] == hostile.replace("\ud800", "?")


async def test_an_empty_answer_is_begun_and_ended(caller: Caller) -> None:
    caller.stage.mcp.otherwise = says("")
    given = await caller.post(STREAM)
    assert [name for name, _ in events(given)] == ["opened", "end"]


async def test_a_stream_holds_one_of_its_tokens_places(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(at_once=1)) as caller:
        caller.stage.mcp.otherwise = streams("All ", "well.", holds={1: asyncio.Event()})
        given = Given()
        task = asyncio.create_task(caller.post(STREAM, given=given))
        await given.until(lambda raw: b'"All "' in raw)
        assert (await caller.post()).status == 429
        caller.leave.set()
        await task
        caller.leave.clear()
        caller.stage.mcp.otherwise = waits(asyncio.Event())
        caller.stage.budget(100)
        assert (await caller.post(STREAM)).status == 503
