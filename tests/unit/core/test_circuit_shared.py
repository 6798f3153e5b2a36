"""What a circuit that several processes share takes from one of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routing.core import circuit
from routing.core.circuit import Circuit, CircuitSettings, Forced, PermitKind, Result, Why
from routing.core.values import Breaker

SECOND = 1_000_000
RULES = CircuitSettings()
TRIPS = [Why.CONSECUTIVE_FAILURES, Why.FAILURE_RATIO, Why.SLOW_RATIO]
FORCED: list[Forced] = [Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED]


def follow(at: Circuit, generation: int, why: Why, now_us: int = 0) -> Circuit:
    return circuit.follow(at, RULES, generation, why, now_us, 0.0)


def tripped() -> Circuit:
    return follow(Circuit(), 0, Why.CONSECUTIVE_FAILURES)


@pytest.mark.parametrize("why", TRIPS)
def test_trips_when_a_copy_tripped(why: Why) -> None:
    at = follow(Circuit(), 0, why, SECOND)
    assert (at.stored, at.generation, at.history[-1].why) == (Breaker.OPEN, 1, why)
    assert circuit.wait_us(at, SECOND) == RULES.open_us


@pytest.mark.parametrize("why", list(Why))
@pytest.mark.parametrize("generation", [0, 2])
def test_a_copy_of_another_generation_moves_nothing(why: Why, generation: int) -> None:
    at = tripped()
    assert follow(at, generation, why) is at


def test_the_same_move_told_twice_counts_once() -> None:
    assert follow(tripped(), 0, Why.CONSECUTIVE_FAILURES) == tripped()


def test_the_end_of_a_term_is_believed_though_this_clock_was_set_back() -> None:
    at = follow(tripped(), 1, Why.WAIT_OVER, -3600 * SECOND)
    assert circuit.state(at, -3600 * SECOND) is Breaker.HALF_OPEN


@pytest.mark.parametrize("target", FORCED)
def test_no_copy_ends_a_forced_state_but_by_its_own_end(target: Forced) -> None:
    held = circuit.force(Circuit(), target, 600 * SECOND, 0)
    for why in set(Why) - {Why.FORCE_ENDED}:
        assert follow(held, held.generation, why).stored is target
    ended = follow(held, held.generation, Why.FORCE_ENDED)
    assert ended.stored in (Breaker.HALF_OPEN, Breaker.CLOSED)


def test_a_good_probe_of_a_copy_opens_for_trials_and_never_closes() -> None:
    half = follow(tripped(), 1, Why.GOOD_PROBE)
    assert half.stored is Breaker.HALF_OPEN
    assert follow(half, 2, Why.GOOD_PROBE) is half


def test_results_of_another_era_are_not_counted() -> None:
    alone, permit = circuit.admit(Circuit(era=1), RULES, 0)
    assert permit is not None
    shared = replace(alone, era=0)
    assert circuit.settle(shared, RULES, permit, Result.FAILURE, 0, 0.0) is shared


def test_a_trial_of_another_era_frees_no_slot() -> None:
    shared, permit = circuit.admit(follow(tripped(), 1, Why.GOOD_PROBE), RULES, 0)
    assert permit is not None and permit.kind is PermitKind.TRIAL
    foreign = replace(permit, era=1)
    assert circuit.cancel(shared, foreign) is shared
    assert circuit.settle(shared, RULES, foreign, Result.SUCCESS, 0, 0.0) == shared
    assert circuit.cancel(shared, permit).leases == ()


def test_every_move_stays_in_its_era() -> None:
    at = follow(Circuit(era=7), 0, Why.CONSECUTIVE_FAILURES)
    assert follow(at, 1, Why.GOOD_PROBE).era == 7
