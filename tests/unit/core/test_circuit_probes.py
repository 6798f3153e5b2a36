"""What a good probe does to a circuit: it ends a wait, it overtakes trials that hang."""

from __future__ import annotations

import pytest

from routing.core import circuit
from routing.core.circuit import Result
from routing.core.values import Breaker
from tests.unit.core.test_circuit import RULES, SECOND, call, half_open, settle, trials, tripped


def test_a_good_probe_opens_early_for_trials_but_never_closes() -> None:
    at = circuit.probe_ok(tripped(), SECOND, SECOND)
    assert circuit.state(at, SECOND) is Breaker.HALF_OPEN
    for _ in range(10):
        at = circuit.probe_ok(at, SECOND, SECOND)
    assert circuit.state(at, SECOND) is Breaker.HALF_OPEN


def test_a_good_probe_leaves_the_next_wait_as_long_as_it_was() -> None:
    at = circuit.probe_ok(tripped(), SECOND, SECOND)
    assert circuit.wait_us(call(at, Result.FAILURE, SECOND), SECOND) == 10 * SECOND


def test_a_good_probe_takes_the_slots_of_trials_that_began_before_it() -> None:
    at, now = half_open()
    at, _ = trials(at, now, 3)
    assert circuit.admit(circuit.probe_ok(at, now, now + 1), RULES, now + 1)[1] is None
    at = circuit.probe_ok(at, now + 1, now + 2)
    at, newer = trials(at, now + 2, 3)
    assert circuit.admit(at, RULES, now + 2)[1] is None
    for permit in newer:
        at = settle(at, permit, Result.SUCCESS, now + 3)
    assert circuit.state(at, now + 3) is Breaker.CLOSED


@pytest.mark.parametrize("result", [Result.FAILURE, Result.SLOW])
def test_an_overtaken_trial_counts_until_a_newer_one_has_passed(result: Result) -> None:
    at, now = half_open()
    at, (first, second, _) = trials(at, now, 3)
    at = circuit.probe_ok(at, now + 1, now + 1)
    assert circuit.state(settle(at, first, result, now + 2), now + 2) is Breaker.OPEN
    passed = call(at, Result.SUCCESS, now + 2)
    assert settle(passed, first, result, now + 3) == passed
    good = settle(at, first, Result.SUCCESS, now + 2)
    assert good.passed == 1
    assert circuit.state(settle(good, second, result, now + 3), now + 3) is Breaker.OPEN


def test_an_overtaken_trial_can_be_given_back_and_lapses_like_any() -> None:
    at, now = half_open()
    at, (first, second) = trials(at, now, 2)
    at = circuit.cancel(circuit.probe_ok(at, now + 1, now + 1), first)
    assert [lease.number for lease in at.overtaken] == [second.number]
    assert circuit.aged(at, now + RULES.lease_us).overtaken == ()


def test_a_good_probe_does_not_touch_a_forced_circuit() -> None:
    at = circuit.force(tripped(), Breaker.FORCED_OPEN, 60 * SECOND, 0)
    assert circuit.probe_ok(at, SECOND, SECOND) == at
