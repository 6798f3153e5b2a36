"""A short look at what `make chaos` runs for a minute each: a path fails, too many come."""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import replace
from pathlib import Path as Folder

import pytest

from routing.breakers import pace
from routing.core.admission import QueueSettings
from routing.core.circuit import CircuitSettings
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName, Operation
from tests.chaos import failover, ground, overload
from tests.chaos.failover import Times
from tests.chaos.ground import Terms

MCP_FIRST = (EnvironmentName.PRODUCTION, Operation.STANDARD)
DIRECT_FIRST = (EnvironmentName.DEVELOPMENT, Operation.IMPLEMENTATION)
WATCHED = Terms(probe_s=1.0, idempotent=True)
RATE = 20.0  # so that a busy machine is not what is measured
SHARED_S = 0.4  # what a machine shared with others may add; `make chaos` allows nothing
LOUD = sorted(set(failover.FAULTS) - {"hang", "slow"})  # what fails at once
NEVER_OPENS = CircuitSettings(consecutive_failures=10**6, min_calls=10**6)
SMALL = overload.Size(capacity=10, latency_ms=500)


async def test_traffic_moves_to_the_other_path_and_comes_back(tmp_path: Folder, seed: int) -> None:
    times = Times(before_s=0.5, fault_s=2.5, after_s=4, rate=RATE)
    one, other = random.Random(seed).sample(LOUD, 2)
    async with ground.laid(tmp_path, seed, WATCHED) as laid:
        outcomes = await asyncio.gather(
            failover.run(laid, MCP_FIRST, one, times, seed),
            failover.run(laid, DIRECT_FIRST, other, times, seed),
        )
        lines = [outcome.line() for outcome in outcomes]
        short = Times(before_s=0, fault_s=1, after_s=0, rate=RATE)
        lines.append(await failover.both_down(laid, MCP_FIRST[0], short, seed, SHARED_S))
    sys.stdout.write("\n".join([f"seed {seed}", *lines, ""]))
    assert [failover.problems(outcome) for outcome in outcomes] == [[], []], f"seed {seed}"


# Slower than is usual by far, and not so slow that Bedrock's first event is missed.
SLOWLY = Times(before_s=2.5, fault_s=4, after_s=7, rate=RATE, slow_share=0.08)


async def test_traffic_leaves_a_path_that_turns_slow(tmp_path: Folder, seed: int) -> None:
    async with ground.laid(tmp_path, seed, WATCHED) as laid:
        outcomes = await asyncio.gather(
            failover.run(laid, MCP_FIRST, "slow", SLOWLY, seed),
            failover.run(laid, DIRECT_FIRST, "slow", SLOWLY, seed),
        )
    sys.stdout.write("\n".join([f"seed {seed}", *(one.line() for one in outcomes), ""]))
    assert [failover.problems(outcome) for outcome in outcomes] == [[], []], f"seed {seed}"


async def test_breakers_alone_hear_too_late_of_a_path_that_turns_slow(
    tmp_path: Folder, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "IN_A_ROW", 10**6)
    times = replace(SLOWLY, after_s=0)
    async with ground.laid(tmp_path, seed, WATCHED) as laid:
        outcome = await failover.run(laid, MCP_FIRST, "slow", times, seed)
    assert "traffic never moved to the other path" in failover.problems(outcome)


async def test_without_breaker_or_fallback_the_figures_are_called_wrong(
    tmp_path: Folder, seed: int
) -> None:
    times = Times(before_s=0.1, fault_s=1.2, after_s=0.1, rate=RATE)
    broken = Terms(circuit=NEVER_OPENS, flags={FlagName.DIRECT_FALLBACK: False})
    async with ground.laid(tmp_path, seed, broken) as laid:
        stranded, unbroken = await asyncio.gather(
            failover.run(laid, MCP_FIRST, "503", times, seed),
            failover.run(laid, DIRECT_FIRST, "garbage", times, seed),
        )
    assert any("were answered under the fault" in p for p in failover.problems(stranded))
    found = failover.problems(unbroken)
    assert "traffic never moved to the other path" in found
    assert any("times a request" in problem for problem in found)


async def test_five_times_the_capacity_is_served_as_far_as_it_goes(
    tmp_path: Folder, seed: int
) -> None:
    async with ground.laid(tmp_path, seed, SMALL.terms) as laid:
        outcome = await overload.run(laid, SMALL, (2, 3), seed)
    sys.stdout.write(f"seed {seed}: {outcome.line()}\n")
    # The median: a busy machine stops everything for a while, and those are the last per cent.
    assert overload.problems(outcome, SHARED_S, 50) == [], f"seed {seed}"


async def test_a_line_without_bounds_is_called_wrong(tmp_path: Folder, seed: int) -> None:
    endless = QueueSettings(
        capacity=SMALL.capacity,
        room=10**6,
        longest_wait_us=10**9,
        overload_wait_us=10**9,
        overload_after_us=10**9,
    )
    terms = replace(SMALL.terms, queue=endless, budget_ms=2000)
    async with ground.laid(tmp_path, seed, terms) as laid:
        outcome = await overload.run(laid, SMALL, (0.2, 1.8), seed)
    found = overload.problems(outcome, SHARED_S, 50)
    assert any("were refused, within" in problem for problem in found)
