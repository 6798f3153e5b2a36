"""IntelligentRouter.stream: what reaches the caller, what is tried again, what is booked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.core import failures
from routing.core.errors import Unavailable
from routing.core.values import Breaker, Failure, Health, Operation, Path, Reason, StreamEnd
from routing.flow import Left, Limits, Opening
from routing.paths.base import Answer, Call, Message, Usage
from routing.paths.scripted import ScriptedClient, fails, says, streams, waits
from routing.router import Routed
from tests.unit import stage as stages
from tests.unit.stage import Stage, ask

DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
EMERGENCY, STANDARD = Operation.EMERGENCY, Operation.STANDARD
MOST_S = 10


@dataclass(slots=True)
class Kept:
    """An outlet that keeps what it was given; `seen` is set with every piece."""

    openings: list[Opening] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    takes: asyncio.Event = field(default_factory=asyncio.Event)
    seen: asyncio.Event = field(default_factory=asyncio.Event)
    stage: Stage | None = None
    begun_before: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.takes.set()

    async def open(self, opening: Opening) -> None:
        if self.stage is not None:
            self.begun_before.append(len(self.stage.records("begun")))
        self.openings.append(opening)

    async def piece(self, text: str) -> None:
        await self.takes.wait()
        self.pieces.append(text)
        self.seen.set()


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path) as made:
        yield made


async def test_passes_on_each_piece_before_the_next_one_is_there(stage: Stage) -> None:
    second, end = asyncio.Event(), asyncio.Event()
    stage.mcp.otherwise = streams("All ", "well.", holds={1: second, 2: end})
    out = Kept()
    task = asyncio.create_task(stage.router.stream(ask(STANDARD), out))
    await asyncio.wait_for(out.seen.wait(), MOST_S)
    assert out.pieces == ["All "]
    out.seen.clear()
    second.set()
    await asyncio.wait_for(out.seen.wait(), MOST_S)
    assert out.pieces == ["All ", "well."]
    assert not task.done()
    end.set()
    routed = await task
    assert routed.answer is not None
    assert (routed.status, routed.answer.text) == (200, "All well.")


async def test_the_opening_is_on_disk_before_anything_goes_out(stage: Stage) -> None:
    out = Kept(stage=stage)
    routed = await stage.router.stream(ask(STANDARD), out)
    assert out.begun_before == [1]
    (begun,), (ended,) = stage.records("begun"), stage.records()
    assert begun["id"] == ended["id"] == routed.decision_id == out.openings[0].decision_id
    assert (begun["effective"], begun["reason"]) == ("mcp", "rule")
    assert (ended["effective"], ended["reason"], ended["status"]) == ("mcp", "rule", 200)
    assert begun["seq"] < ended["seq"] == routed.seq


async def test_the_end_says_how_much_went_out_and_what_it_cost(stage: Stage) -> None:
    usage = Usage(input_tokens=7, output_tokens=3)
    stage.mcp.otherwise = streams("é", "l", "an", usage=usage)
    routed = await stage.router.stream(ask(STANDARD), Kept())
    (kept,) = stage.records()
    assert {**kept["streamed"], "total_us": 0} == {
        "end": "complete",
        "pieces": 3,
        "bytes": 5,
        "total_us": 0,
    }
    assert (kept["usage"], kept["stop_reason"]) == ([7, 3], "end_turn")
    assert routed.streamed is not None
    assert kept["duration_us"] <= kept["streamed"]["total_us"] == routed.streamed.total_us


async def test_an_answer_in_pieces_is_counted_once(stage: Stage) -> None:
    await stage.router.stream(ask(STANDARD), Kept())
    await stage.router.route(ask(STANDARD))
    assert len(stage.records()) == len(stage.seen) == 2
    assert len(stage.records("begun")) == 1


async def test_a_path_without_pieces_gives_its_answer_in_one(stage: Stage) -> None:
    stage.mcp.otherwise = says("All well.")
    out = Kept()
    await stage.router.stream(ask(STANDARD), out)
    assert out.pieces == ["All well."]


@pytest.mark.parametrize(("failure", "operation"), list(product(Failure, Operation)))
async def test_before_the_first_piece_moves_on_as_a_whole_answer_does(
    stage: Stage, failure: Failure, operation: Operation
) -> None:
    out = Kept()
    whole, piecewise = (
        await _outcome(stage, failure, operation, None),
        await _outcome(stage, failure, operation, out),
    )
    assert piecewise == whole
    assert len(out.openings) == (1 if piecewise[0] == 200 else 0)


async def _outcome(
    stage: Stage, failure: Failure, operation: Operation, out: Kept | None
) -> tuple[object, ...]:
    first = stage.client(stage.matrix.rows[operation].primary)
    first.otherwise = fails(failure)
    for client in (stage.direct, stage.mcp):
        client.calls.clear()
    asked = ask(operation)
    routed = await (stage.router.stream(asked, out) if out else stage.router.route(asked))
    return (
        routed.status,
        routed.code,
        routed.conclusion,
        len(stage.direct.calls),
        len(stage.mcp.calls),
    )


@pytest.mark.parametrize(("failure", "operation"), list(product(Failure, [STANDARD, EMERGENCY])))
async def test_after_the_first_piece_nothing_is_retried_or_moved(
    stage: Stage, failure: Failure, operation: Operation
) -> None:
    """No second answer is ever put behind the part of a first one."""
    stage.direct.otherwise = stage.mcp.otherwise = streams("All ", failure=failure)
    out = Kept()
    routed = await stage.router.stream(ask(operation), out)
    assert len(stage.direct.calls) + len(stage.mcp.calls) == 1
    assert out.pieces == ["All "]
    assert routed.answer is None
    assert routed.status == failures.consequence(failure).status
    assert routed.code == str(failure)
    assert routed.advice.startswith("The answer is incomplete")
    (kept,) = stage.records()
    assert (kept["streamed"]["end"], kept["effective"]) == ("broken_off", None)
    assert (kept["failure"], kept["streamed"]["pieces"]) == (str(failure), 1)


async def test_five_streams_that_break_off_open_the_breaker(stage: Stage) -> None:
    stage.mcp.otherwise = streams("All ", failure=Failure.TRUNCATED)
    for _ in range(5):
        await stage.router.stream(ask(STANDARD), Kept())
    assert stage.board.state(stage.key(MCP)) is Breaker.OPEN


class Breaking(ScriptedClient):
    """Ends its stream without the answer."""

    async def stream(self, _: Call) -> AsyncGenerator[str | Answer]:
        yield "All "


async def test_a_stream_without_its_end_is_no_answer(stage: Stage) -> None:
    stage.mcp = Breaking(path=MCP)
    routed = await stage.router.stream(ask(STANDARD), Kept())
    assert (routed.failure, routed.answer) == (Failure.TRUNCATED, None)


async def test_a_caller_that_leaves_ends_the_exchange_beneath_and_leaves_a_record(
    stage: Stage,
) -> None:
    stage.mcp.otherwise = streams("All ", "well.", holds={1: asyncio.Event()})
    out = Kept()
    task = asyncio.create_task(stage.router.stream(ask(STANDARD), out))
    await asyncio.wait_for(out.seen.wait(), MOST_S)
    assert stage.mcp.under_way == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (stage.mcp.under_way, stage.mcp.given_up) == (0, 1)
    (kept,) = stage.records()
    assert (kept["status"], kept["streamed"]["end"]) == (499, str(StreamEnd.GIVEN_UP))
    assert (kept["effective"], kept["reason"], kept["usage"]) == ("mcp", "rule", None)
    assert (kept["failure"], kept["attempts"][0][2]) == ("", None)


async def test_a_caller_that_takes_no_piece_in_time_is_a_caller_that_left(
    tmp_path: Folder,
) -> None:
    with stages.raised(tmp_path, limits=Limits(gap_s=0.05)) as stage:
        out = Kept()
        out.takes.clear()
        with pytest.raises(Left):
            await stage.router.stream(ask(STANDARD), out)
        assert stage.mcp.given_up == 1
        (kept,) = stage.records()
        assert (kept["status"], kept["streamed"]["end"]) == (499, "given_up")
        assert stage.board.state(stage.key(MCP)) is Breaker.CLOSED


async def test_the_budget_is_the_time_to_the_first_piece(stage: Stage) -> None:
    stage.budget(200)
    stage.mcp.otherwise = stage.direct.otherwise = waits(asyncio.Event())
    routed = await stage.router.stream(ask(STANDARD), Kept())
    assert [a.failure for a in routed.attempts] == [Failure.TIMEOUT] * 2
    assert (routed.status, routed.code, routed.streamed) == (503, "no_path", None)
    assert stage.records("begun") == []


async def test_what_comes_after_the_first_piece_may_take_longer_than_the_budget(
    stage: Stage,
) -> None:
    stage.budget(100)
    late = asyncio.Event()
    stage.mcp.otherwise = streams("All ", "well.", holds={1: late})
    asyncio.get_running_loop().call_later(0.15, late.set)
    routed = await stage.router.stream(ask(STANDARD), Kept())
    assert (routed.status, routed.attempts[0].failure) == (200, None)
    assert routed.duration_us < 100_000
    assert _total(routed) >= 150_000
    (kept,) = stage.records()
    assert kept["duration_us"] == routed.duration_us


def _total(routed: Routed) -> int:
    assert routed.streamed is not None
    return routed.streamed.total_us


@pytest.mark.parametrize(
    ("limits", "failure", "counts"),
    [
        (Limits(gap_s=0.05), Failure.TRUNCATED, True),
        (Limits(whole_s=0.05), Failure.TIMEOUT, False),
    ],
)
async def test_a_silence_and_the_whole_have_limits_of_their_own(
    tmp_path: Folder, limits: Limits, failure: Failure, counts: bool
) -> None:
    """A path that spoke until our own limit did nothing wrong."""
    with stages.raised(tmp_path, limits=limits) as stage:
        stage.mcp.otherwise = streams("All ", "well.", holds={1: asyncio.Event()})
        for _ in range(5):
            routed = await stage.router.stream(ask(STANDARD), Kept())
            assert routed.failure is failure
        wanted = Breaker.OPEN if counts else Breaker.CLOSED
        assert stage.board.state(stage.key(MCP)) is wanted
        assert stage.mcp.given_up == 5


async def test_a_client_is_told_the_limits_of_a_stream(stage: Stage) -> None:
    """How long it waits for a first sign of life is its own to know; the router waits for text."""
    await stage.router.stream(ask(EMERGENCY), Kept())
    (call,) = stage.direct.calls
    assert (call.first_s, call.gap_s, call.timeout_s) == (None, 10, 300)


async def test_personal_data_is_masked_as_for_a_whole_answer(stage: Stage) -> None:
    words = "Write to jane.doe@example.org please."
    asked = ask(STANDARD, messages=(Message(role="user", text=words),))
    await stage.router.stream(asked, Kept())
    assert "jane.doe" not in stage.mcp.calls[0].messages[0].text
    assert stage.records()[0]["prompt"]["pii"] == ["email"]


async def test_the_slot_of_a_forced_emergency_is_held_to_the_end_of_its_stream(
    stage: Stage,
) -> None:
    stage.health = {DIRECT: Health.UNHEALTHY}
    end = asyncio.Event()
    stage.direct.otherwise = streams("Help ", "comes.", holds={1: end})
    both = [asyncio.create_task(stage.router.stream(ask(EMERGENCY), Kept())) for _ in range(2)]
    await asyncio.wait_for(stage.direct.arrived(2), MOST_S)
    third = await stage.router.stream(ask(EMERGENCY), Kept())
    assert third.conclusion.reason is Reason.SHED
    end.set()
    done = await asyncio.gather(*both)
    assert {routed.conclusion.reason for routed in done} == {Reason.FORCED_EMERGENCY}


async def test_without_a_log_nothing_goes_out_but_emergencies_which_are_counted(
    tmp_path: Folder,
) -> None:
    with stages.raised(tmp_path, opened=False) as stage:
        out = Kept()
        with pytest.raises(Unavailable):
            await stage.router.stream(ask(STANDARD), out)
        assert (out.openings, out.pieces) == ([], [])
        emergency = await stage.router.stream(ask(EMERGENCY), out)
        assert (emergency.status, emergency.seq) == (200, None)
        stage.log.open(stages.NOW)
        await stage.router.route(ask(STANDARD))
        assert [r["count"] for r in stage.records("gap")] == [2]  # its beginning and its end


async def test_a_log_that_fails_under_a_stream_is_told_and_counted(stage: Stage) -> None:
    write = stage.log.put

    async def once(body: Mapping[str, Any]) -> int:
        if body["kind"] == "decision":
            raise Unavailable("The disk is full.")
        return await write(body)

    stage.log.put = lambda body: asyncio.ensure_future(once(body))  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await stage.router.stream(ask(STANDARD), Kept())
    stage.log.put = write  # type: ignore[method-assign]
    await stage.router.route(ask(STANDARD))
    assert [r["count"] for r in stage.records("gap")] == [1]


async def test_an_answer_given_again_comes_in_one_piece_with_both_its_records(
    stage: Stage,
) -> None:
    stage.mcp.otherwise = streams("All ", "well.")
    first = await stage.router.stream(ask(STANDARD, subject="ada"), Kept())
    out = Kept(stage=stage)
    again = await stage.router.stream(ask(STANDARD, subject="ada"), out)
    assert len(stage.mcp.calls) == 1
    assert (out.pieces, out.begun_before) == (["All well."], [2])
    (opening,) = out.openings
    assert (opening.path, opening.reason, opening.in_one_piece) == (None, Reason.CACHE_HIT, True)
    begun, ended = stage.records("begun")[1], stage.records()[1]
    assert begun["id"] == ended["id"] == again.decision_id
    assert begun["repeats"] == ended["repeats"] == first.decision_id
    assert ended["streamed"]["end"] == "complete"


async def test_nobody_waits_for_an_answer_in_pieces_and_none_is_kept_of_a_broken_one(
    stage: Stage,
) -> None:
    """It may take longer than who waits for it has."""
    held = asyncio.Event()
    stage.mcp.otherwise = streams("All ", holds={1: held}, failure=Failure.TRUNCATED)
    out = Kept()
    leading = asyncio.create_task(stage.router.stream(ask(STANDARD, subject="ada"), out))
    await asyncio.wait_for(out.seen.wait(), MOST_S)
    stage.mcp.otherwise = says("An answer of my own.")
    other = await asyncio.wait_for(stage.router.route(ask(STANDARD, subject="ada")), MOST_S)
    assert other.answer is not None
    assert (other.answer.text, other.repeats) == ("An answer of my own.", "")
    held.set()
    assert (await leading).answer is None
    kept = await stage.router.route(ask(STANDARD, subject="ada"))
    assert kept.repeats == other.decision_id
