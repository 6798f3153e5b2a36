"""The line before execution as requests meet it: in turn, in time, and safe to walk away from."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as Folder

import pytest

from routing.admission import Admission
from routing.core.admission import QueueSettings, Rank, Shed
from routing.core.values import Health, Operation, Path, Priority, Reason
from routing.paths.scripted import Step, waits
from routing.router import Routed
from tests.unit import stage as stages
from tests.unit.stage import Stage, ask

STANDARD, EMERGENCY = Operation.STANDARD, Operation.EMERGENCY
# A crowded room waits no shorter here: 25 ms may pass between two lines of a test.
ONE = QueueSettings(capacity=1, reserved=1, room=2, overload_wait_us=2_000_000)


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path, queue=ONE) as made:
        yield made


async def begun(stage: Stage, count: int, **more: object) -> asyncio.Task[Routed]:
    """Start a request and return once `count` wait in the line."""
    task = asyncio.create_task(stage.router.route(ask(STANDARD, **more)))
    async with asyncio.timeout(5):
        while sum(stage.admission.figures().waiting.values()) < count:  # noqa: ASYNC110
            await asyncio.sleep(0)
    return task


async def held(stage: Stage) -> tuple[asyncio.Event, asyncio.Task[Routed]]:
    """Fill the one place; return the event that frees it."""
    gate = asyncio.Event()
    stage.mcp.otherwise = waits(gate)
    first = asyncio.create_task(stage.router.route(ask(STANDARD)))
    await stage.mcp.arrived()
    stage.mcp.otherwise = Step()
    return gate, first


async def test_who_waits_goes_by_priority_then_by_arrival(tmp_path: Folder) -> None:
    with stages.raised(tmp_path, queue=replace(ONE, room=10)) as stage:
        gate, first = await held(stage)
        names = [(Priority.LOW, "a"), (Priority.HIGH, "b"), (Priority.LOW, "c")]
        names += [(Priority.CRITICAL, "d"), (Priority.HIGH, "e")]
        tasks = [first]
        for number, (priority, name) in enumerate(names):
            tasks.append(await begun(stage, number + 1, priority=priority, subject=name))
        gate.set()
        done = await asyncio.gather(*tasks)
        assert {routed.status for routed in done} == {200}
        order = sorted(done[1:], key=lambda routed: routed.seq or 0)
        assert [names[done.index(one) - 1][1] for one in order] == ["d", "b", "e", "a", "c"]


async def test_a_full_room_sends_the_youngest_of_the_lowest_away(stage: Stage) -> None:
    gate, first = await held(stage)
    older = await begun(stage, 1, priority=Priority.LOW)
    younger = await begun(stage, 2, priority=Priority.LOW)
    higher = asyncio.create_task(stage.router.route(ask(STANDARD, priority=Priority.HIGH)))
    away = await younger
    assert (away.status, away.code, away.conclusion.reason) == (503, "shed", Reason.SHED)
    assert away.retry_after_s is not None and 1 <= away.retry_after_s <= 30
    gate.set()
    assert {r.status for r in await asyncio.gather(first, older, higher)} == {200}
    assert stage.admission.figures().shed["low"] == {"evicted": 1}


async def test_a_newcomer_without_higher_rank_is_sent_away_at_once(stage: Stage) -> None:
    gate, first = await held(stage)
    rest = [await begun(stage, 1), await begun(stage, 2)]
    routed = await stage.router.route(ask(STANDARD))
    assert (routed.status, routed.code) == (503, "shed")
    assert routed.duration_us < 100_000
    gate.set()
    assert {r.status for r in await asyncio.gather(first, *rest)} == {200}


async def test_who_was_sent_away_is_booked_and_called_nobody(stage: Stage) -> None:
    gate, first = await held(stage)
    rest = [await begun(stage, 1), await begun(stage, 2)]
    routed = await stage.router.route(ask(STANDARD))
    (kept,) = stage.records()
    assert (kept["id"], kept["reason"], kept["status"]) == (routed.decision_id, "shed", 503)
    assert (kept["failure"], kept["attempts"]) == ("queue_full", [])
    assert len(stage.mcp.calls + stage.direct.calls) == 1
    gate.set()
    await asyncio.gather(first, *rest)


async def test_an_emergency_has_a_place_that_nobody_else_can_take(stage: Stage) -> None:
    gate, first = await held(stage)
    rest = [await begun(stage, 1, priority=Priority.CRITICAL), await begun(stage, 2)]
    routed = await stage.router.route(ask(EMERGENCY))
    assert (routed.status, routed.conclusion.reason) == (200, Reason.RULE)
    gate.set()
    await asyncio.gather(first, *rest)


async def test_nobody_waits_beyond_half_of_the_budget(stage: Stage) -> None:
    stage.budget(200)
    gate, first = await held(stage)
    routed = await stage.router.route(ask(STANDARD))
    assert (routed.status, routed.code) == (503, "shed")
    assert 90_000 <= routed.duration_us < 200_000
    assert stage.records()[0]["waited_us"] >= 90_000
    gate.set()
    await first


async def test_a_request_without_a_path_does_not_wait_to_be_told(stage: Stage) -> None:
    gate, first = await held(stage)
    stage.health = dict.fromkeys(Path, Health.UNHEALTHY)
    routed = await stage.router.route(ask(STANDARD))
    assert (routed.code, routed.conclusion.reason) == ("no_path", Reason.NO_PATH)
    gate.set()
    await first


async def test_a_decision_is_made_anew_after_the_wait(stage: Stage) -> None:
    gate, first = await held(stage)
    waiting = await begun(stage, 1)
    stage.health = {Path.MCP: Health.UNHEALTHY}
    gate.set()
    routed = await waiting
    assert routed.conclusion.effective is Path.DIRECT_BEDROCK
    assert routed.conclusion.reason is Reason.FALLBACK_UNHEALTHY
    await first


async def test_who_goes_away_while_waiting_leaves_the_line_and_a_record(stage: Stage) -> None:
    gate, first = await held(stage)
    waiting = await begun(stage, 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert sum(stage.admission.figures().waiting.values()) == 0
    assert [r["status"] for r in stage.records()] == [499]
    gate.set()
    assert (await first).status == 200
    assert stage.admission.figures().in_use == 0


async def test_a_start_that_meets_its_caller_leaving_goes_to_the_next() -> None:
    line = Admission(replace(ONE, room=10))
    order: list[str] = []
    free = asyncio.Event()

    async def one(name: str, until: asyncio.Event | None = None) -> None:
        async with line.place(Rank.LOW, left_s=60) as place:
            assert place.shed is None
            order.append(name)
            if until is not None:
                await until.wait()

    first = asyncio.create_task(one("first", free))
    await asyncio.sleep(0)
    second, third = asyncio.create_task(one("second")), asyncio.create_task(one("third"))
    await asyncio.sleep(0)
    free.set()
    await first  # the second was started, and has not run yet
    second.cancel()
    await asyncio.gather(second, third, return_exceptions=True)
    assert order[-1] == "third"
    assert line.figures().in_use == 0


async def test_thousands_that_come_and_go_leave_no_place_taken(seed: int) -> None:
    rng = random.Random(seed)
    line = Admission(
        QueueSettings(capacity=5, reserved=2, room=20, longest_wait_us=4000, overload_wait_us=2000)
    )
    seen: dict[str, int] = {}
    most = 0
    never = asyncio.get_running_loop().create_future()

    async def one(rank: Rank, stay_s: float) -> None:
        nonlocal most
        async with line.place(rank, left_s=1) as place:
            seen[str(place.shed)] = seen.get(str(place.shed), 0) + 1
            if place.shed is None:
                most = max(most, line.figures().in_use)
                await asyncio.wait([never], timeout=stay_s)

    async def impatient() -> None:
        work = one(rng.choice(list(Rank)), rng.random() / 200)
        try:
            async with asyncio.timeout(rng.choice([None, None, rng.random() / 100])):
                await work
        except TimeoutError:
            pass

    for _ in range(10):
        await asyncio.gather(*(impatient() for _ in range(200)))
    figures = line.figures()
    assert (figures.in_use, sum(figures.waiting.values())) == (0, 0), f"seed {seed}"
    assert most <= 7
    assert set(seen) == {"None", *map(str, Shed)}


async def test_a_standing_line_makes_nobody_wait_long() -> None:
    """Bursts may wait; under lasting overload who cannot be served hears so soon."""
    clock = stages.Clock()
    settings = QueueSettings(
        capacity=1, room=100, overload_after_us=50_000, overload_wait_us=30_000
    )
    line = Admission(settings, clock)
    gate = asyncio.Event()

    async def hold() -> None:
        async with line.place(Rank.LOW, left_s=60):
            await gate.wait()

    async def late() -> int:
        began = time.monotonic()
        async with line.place(Rank.LOW, left_s=60) as place:
            assert place.shed is Shed.WAITED
            return place.waited_us or int((time.monotonic() - began) * 1_000_000)

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0)
    early = asyncio.create_task(late())
    await asyncio.sleep(0)
    clock.now_us += 60_000
    soon = await late()
    assert 30_000 <= soon < 100_000
    assert await early == 60_000  # it came in a burst, and was caught by the overload
    gate.set()
    await holder
