"""A path that turns slow: who leaves it, who stays, who comes back; in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from routing.attempts import Run
from routing.breakers.held import Key
from routing.breakers.pace import SPARED_S
from routing.core.circuit import Result
from routing.core.matrix import DEFAULT
from routing.core.values import Breaker, Failure, Operation, Path, Skip
from tests.unit import virtual
from tests.unit.stage import CALLER, PRODUCTION
from tests.unit.test_execution import DIRECT, MCP, Ground, Play, Played, broken, scripts

EMERGENCY, STANDARD = Operation.EMERGENCY, Operation.STANDARD
SLUGGISH = Play(after_s=DEFAULT.rows[STANDARD].budget_ms / 1000 * 0.55)
WELL = [Play(after_s=0.02)] * 60
LATE_S = 0.1
OURS = replace(CALLER, synthetic=True)
Runs = list[tuple[Run, float]]


async def at_a_rate(ground: Ground, count: int, per_s: float = 50, **more: Any) -> Runs:
    """Let standard requests come whether or not those before them are answered."""
    asked, never = [], asyncio.get_running_loop().create_future()
    for _ in range(count):
        asked.append(asyncio.create_task(ground.one(STANDARD, **more)))
        await asyncio.wait([never], timeout=1 / per_s)
    return await asyncio.gather(*asked)


def turned(mcp: Play, direct: Sequence[Play] = (), *, well: int = 60) -> Ground:
    """Return a ground whose mcp is well for 60 calls and then plays `mcp` for ever."""
    return Ground(Played(DIRECT, list(direct)), Played(MCP, [*WELL[:well], *[mcp] * 9999]))


async def under(ground: Ground, count: int, per_s: float = 50) -> Runs:
    """Return what became of `count` requests after those while it was well."""
    assert all(run.answer is not None for run, _ in await at_a_rate(ground, 60, per_s))
    runs = await at_a_rate(ground, count, per_s)
    assert [broken(run, took_s) for run, took_s in runs] == [[]] * count
    return runs


def pace_key(path: Path) -> Key:
    return Key(environment=PRODUCTION, path=path, target="played")


def test_a_path_that_turns_slow_loses_its_traffic_long_before_its_answers_come() -> None:
    async def all_of_them() -> None:
        ground = turned(SLUGGISH)
        runs = await under(ground, 500)
        assert all(run.answer is not None for run, _ in runs)
        spared = [n for n, (run, _) in enumerate(runs) if run.skips == {MCP: Skip.SLOW}]
        assert spared[0] / 50 <= 2.0
        tries = len(ground.mcp.calls) - 60 - spared[0]
        assert 1 <= tries <= 2, "one call in five seconds tries it"
        assert max(took for run, took in runs if run.skips) < LATE_S

    virtual.run(all_of_them())


@pytest.mark.parametrize(
    "fails",
    [
        Play(failure=Failure.PROVIDER),
        Play(failure=Failure.UNREACHABLE),
        Play(after_s=None),
        Play(after_s=40, failure=Failure.PROTOCOL),
        Play(failure=Failure.VALIDATION),
    ],
)
def test_a_slow_path_answers_what_the_other_one_does_not(fails: Play) -> None:
    async def all_of_them() -> None:
        runs = await under(turned(Play(after_s=3.0), [fails] * 9999), 300, per_s=10)
        assert all(run.answer is not None for run, _ in runs)
        assert any({a.path for a in run.attempts} == {MCP, DIRECT} for run, _ in runs)
        assert {run.attempts[-1].path for run, _ in runs} == {MCP}

    virtual.run(all_of_them())


@pytest.mark.parametrize("final", [Failure.COMPLIANCE, Failure.OUTCOME_UNKNOWN])
def test_what_is_final_stays_final(final: Failure) -> None:
    async def all_of_them() -> None:
        runs = await under(turned(Play(after_s=3.0), [Play(failure=final)] * 9999), 100)
        refused = [run for run, _ in runs if run.answer is None]
        assert refused
        assert {tuple(a.path for a in run.attempts) for run in refused} == {(DIRECT,)}

    virtual.run(all_of_them())


def test_nobody_is_sent_to_a_path_that_throttles_us_instead() -> None:
    async def all_of_them() -> None:
        throttles = [Play(failure=Failure.THROTTLED, said_s=8.0)] * 9999
        ground = turned(Play(after_s=1.5), throttles)
        runs = await under(ground, 400)
        assert all(run.answer is not None for run, _ in runs)
        calls = len(ground.direct.calls) + len(ground.mcp.calls) - 60
        assert calls <= 1.1 * len(runs)

    virtual.run(all_of_them())


def test_where_both_are_slow_the_matrix_has_its_way() -> None:
    async def all_of_them() -> None:
        ground = turned(Play(after_s=1.5), [*WELL, *[Play(after_s=12.0)] * 9999])
        for _ in range(60):
            await ground.one(EMERGENCY)  # so that 0.02 s are usual of direct_bedrock, too
        ground.paces._paces[pace_key(DIRECT), STANDARD] = ground.paces.of(
            pace_key(DIRECT), EMERGENCY
        )
        runs = await under(ground, 500)
        assert max(took for _, took in runs[-200:]) < 2.0

    virtual.run(all_of_them())


def test_nobody_is_sent_to_a_breaker_that_has_opened_meanwhile() -> None:
    async def all_of_them() -> None:
        ground = turned(Play(after_s=1.5))
        await under(ground, 200)
        sparing = ground.attempts._sparing
        others = [pace_key(DIRECT)]
        now_s = ground.now_s()
        assert sparing.why(pace_key(MCP), STANDARD, others, now_s) is Skip.SLOW
        for _ in range(5):
            permit = ground.board.admit(pace_key(DIRECT))
            assert permit is not None
            ground.board.settle(pace_key(DIRECT), permit, Result.FAILURE)
        assert ground.state(DIRECT) is Breaker.OPEN
        assert sparing.why(pace_key(MCP), STANDARD, others, now_s) is None

    virtual.run(all_of_them())


def test_a_slow_path_without_another_one_keeps_its_requests() -> None:
    async def all_of_them() -> None:
        ground = Ground(Played(DIRECT, [*WELL, *[Play(after_s=1.5)] * 999]), Played(MCP, []))
        for _ in range(120):
            run, _ = await ground.one(EMERGENCY)
            assert run.answer is not None
        assert len(ground.direct.calls) == 120

    virtual.run(all_of_them())


def test_a_refusal_in_time_brings_the_traffic_back() -> None:
    async def all_of_them() -> None:
        sick = Play(after_s=3.0)
        refuses = Play(after_s=0.02, failure=Failure.TOOL_ERROR)
        ground = Ground(Played(DIRECT, []), Played(MCP, [*WELL, *[sick] * 62, *[refuses] * 9999]))
        runs = await under(ground, 1500)
        assert any(run.skips for run, _ in runs[:500])
        assert not any(run.skips for run, _ in runs[-500:])

    virtual.run(all_of_them())


def test_what_we_ask_ourselves_says_nothing_of_what_is_usual() -> None:
    async def all_of_them() -> None:
        ground = Ground(Played(DIRECT, []), Played(MCP, [*WELL, *[Play(after_s=2.0)] * 999]))
        await at_a_rate(ground, 60, caller=OURS)
        runs = await at_a_rate(ground, 100)
        assert not any(run.skips for run, _ in runs)
        runs = await at_a_rate(ground, 100, caller=OURS)
        assert not any(run.skips for run, _ in runs), "nor does it make a path slow"

    virtual.run(all_of_them())


def test_few_callers_are_spared_too() -> None:
    async def all_of_them() -> None:
        ground = turned(Play(after_s=4.0))
        runs = await under(ground, 100, per_s=0.19)
        slow = sum(took > 1 for _, took in runs)
        assert slow <= 5 + len(runs) / 5

    virtual.run(all_of_them())


@given(scripts, scripts)
def test_a_spared_path_breaks_no_law_either(direct: list[Play], mcp: list[Play]) -> None:
    async def all_of_them() -> None:
        ground = Ground(Played(DIRECT, list(direct)), Played(MCP, list(mcp)))
        pace = ground.paces.of(pace_key(MCP), STANDARD)
        pace._spare_on(0.0)
        pace.usual_s = 0.02
        for run, took_s in await at_a_rate(ground, 12, per_s=1):
            assert broken(run, took_s) == []
        assert (ground.direct.under_way, ground.mcp.under_way) == (0, 0), "a loser goes on"

    virtual.run(all_of_them())


def test_a_spared_path_is_tried_after_its_time() -> None:
    async def all_of_them() -> None:
        ground = turned(Play(after_s=0.02))
        ground.paces.of(pace_key(MCP), STANDARD)._spare_on(ground.now_s())
        runs = await at_a_rate(ground, 400)
        paths = [run.attempts[-1].path for run, _ in runs]
        first = paths.index(MCP)
        assert first / 50 == pytest.approx(SPARED_S, abs=0.1)
        assert set(paths[first + 2 :]) == {MCP}

    virtual.run(all_of_them())
