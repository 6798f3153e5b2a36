from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import circuit, failures, window
from routing.core.circuit import (
    Circuit,
    CircuitSettings,
    Lease,
    Permit,
    PermitKind,
    Result,
    Timer,
    Transition,
    Why,
)
from routing.core.errors import Invalid
from routing.core.values import Breaker, Failure
from routing.core.window import Bucket

SECOND = 1_000_000
RULES = CircuitSettings()
PATIENT = replace(RULES, consecutive_failures=1000)


def call(
    at: Circuit,
    result: Result,
    now: int = 0,
    *,
    rules: CircuitSettings = RULES,
    times: int = 1,
    jitter: float = 0.0,
) -> Circuit:
    for _ in range(times):
        at, permit = circuit.admit(at, rules, now)
        assert permit is not None, "the circuit held the call back"
        at = circuit.settle(at, rules, permit, result, now, jitter=jitter)
    return at


def tripped(now: int = 0, *, jitter: float = 0.0) -> Circuit:
    opened = call(Circuit(), Result.FAILURE, now, times=5, jitter=jitter)
    assert circuit.state(opened, now) is Breaker.OPEN
    return opened


def half_open() -> tuple[Circuit, int]:
    now = 5 * SECOND
    tried = tripped()
    assert circuit.state(tried, now) is Breaker.HALF_OPEN
    return tried, now


def trials(at: Circuit, now: int, count: int) -> tuple[Circuit, list[Permit]]:
    permits = []
    for _ in range(count):
        at, permit = circuit.admit(at, RULES, now)
        assert permit is not None
        permits.append(permit)
    return at, permits


def settle(at: Circuit, permit: Permit, result: Result, now: int) -> Circuit:
    return circuit.settle(at, RULES, permit, result, now, jitter=0.0)


def test_counting_a_call_changes_nothing_but_the_counts() -> None:
    """Field by field, so that one that comes later is not lost on the way."""
    timer = Timer(since_us=0, lasts_us=50 * SECOND)
    lease = Lease(number=3, timer=timer)
    step = Transition(
        generation=1, source=Breaker.OPEN, target=Breaker.CLOSED, why=Why.FORCED, at_us=1
    )
    before = Circuit(
        stored=Breaker.FORCED_CLOSED,
        generation=4,
        timer=timer,
        window=(Bucket(index=0, calls=2),),
        consecutive=1,
        backoff_us=7,
        leases=(lease,),
        overtaken=(lease,),
        issued=9,
        passed=2,
        era=6,
        history=(step,),
    )
    usual = Circuit()
    assert all(getattr(before, f) != getattr(usual, f) for f in Circuit.__dataclass_fields__)
    permit = Permit(generation=4, kind=PermitKind.NORMAL, era=6)
    after = settle(before, permit, Result.SUCCESS, SECOND)
    window = (Bucket(index=0, calls=2), Bucket(index=1, calls=1))
    assert after == replace(before, consecutive=0, window=window)


# Tripping


def test_low_volume_does_not_trip() -> None:
    quiet = call(Circuit(), Result.FAILURE, rules=PATIENT, times=19)
    assert circuit.state(quiet, 0) is Breaker.CLOSED
    assert circuit.state(call(quiet, Result.FAILURE, rules=PATIENT), 0) is Breaker.OPEN


def test_half_of_twenty_trips_and_less_does_not() -> None:
    below = call(Circuit(), Result.SUCCESS, times=11, rules=PATIENT)
    below = call(below, Result.FAILURE, times=9, rules=PATIENT)
    assert circuit.state(below, 0) is Breaker.CLOSED
    at = call(Circuit(), Result.SUCCESS, times=10, rules=PATIENT)
    at = call(at, Result.FAILURE, times=10, rules=PATIENT)
    assert [step.why for step in at.history] == [Why.FAILURE_RATIO]


def test_failures_that_left_the_window_do_not_trip() -> None:
    at = call(Circuit(), Result.FAILURE, 0, times=19, rules=PATIENT)
    at = call(at, Result.FAILURE, 10 * SECOND, times=19, rules=PATIENT)
    assert circuit.state(at, 10 * SECOND) is Breaker.CLOSED


def test_five_failures_in_a_row_trip_and_any_success_starts_anew() -> None:
    four = call(Circuit(), Result.FAILURE, times=4)
    again = call(call(four, Result.SUCCESS), Result.FAILURE, times=4)
    assert circuit.state(again, 0) is Breaker.CLOSED
    assert [s.why for s in call(four, Result.FAILURE).history] == [Why.CONSECUTIVE_FAILURES]


def test_slow_calls_trip_at_four_fifths() -> None:
    at = call(Circuit(), Result.SUCCESS, times=4)
    at = call(at, Result.SLOW, times=15)
    assert circuit.state(at, 0) is Breaker.CLOSED
    assert [s.why for s in call(at, Result.SLOW).history] == [Why.SLOW_RATIO]


@pytest.mark.parametrize(
    "failure", [Failure.THROTTLED, Failure.VALIDATION, Failure.COMPLIANCE, Failure.TOOL_ERROR]
)
def test_does_not_trip_on(failure: Failure) -> None:
    at = call(Circuit(), failures.counts_for_breaker(failure), times=1000)
    assert at == Circuit()


def test_throttling_between_failures_does_not_end_their_run() -> None:
    at = call(Circuit(), Result.FAILURE, times=4)
    at = call(call(at, Result.IGNORED, times=3), Result.FAILURE)
    assert circuit.state(at, 0) is Breaker.OPEN


# Waiting


def test_an_open_circuit_holds_every_call_back_until_its_wait_is_over() -> None:
    at = tripped()
    assert circuit.admit(at, RULES, 5 * SECOND - 1)[1] is None
    assert circuit.wait_us(at, 1 * SECOND) == 4 * SECOND
    permit = circuit.admit(at, RULES, 5 * SECOND)[1]
    assert permit is not None and permit.kind is PermitKind.TRIAL


def test_the_wait_doubles_up_to_a_minute() -> None:
    at, now, waits = tripped(), 0, []
    for _ in range(6):
        waits.append(circuit.wait_us(at, now) // SECOND)
        now += circuit.wait_us(at, now)
        at = call(at, Result.FAILURE, now)
    assert waits == [5, 10, 20, 40, 60, 60]


def test_the_wait_begins_anew_after_a_recovery() -> None:
    at, now = half_open()
    at = call(at, Result.FAILURE, now)
    now += 10 * SECOND
    at = call(at, Result.SUCCESS, now, times=3)
    assert circuit.wait_us(call(at, Result.FAILURE, now, times=5), now) == 5 * SECOND


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_shortens_the_wait_by_a_fifth_at_most(jitter: float) -> None:
    assert 4 * SECOND <= circuit.wait_us(tripped(jitter=jitter), 0) <= 5 * SECOND


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_clock_that_jumps_keeps_nothing_open_longer_than_its_wait(first: int, then: int) -> None:
    at = tripped(first)
    at, _ = circuit.admit(at, RULES, then)
    assert circuit.state(at, then + 5 * SECOND) is Breaker.HALF_OPEN


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_clock_that_jumps_gives_every_lost_slot_back(first: int, then: int) -> None:
    at, _ = trials(circuit.probe_ok(tripped(first), first, first), first, 3)
    at, _ = circuit.admit(at, RULES, then)
    later = then + RULES.lease_us
    assert circuit.admit(at, RULES, later)[1] is not None


def test_a_clock_set_back_leaves_no_failures_from_the_future() -> None:
    at = call(Circuit(), Result.FAILURE, 3600 * SECOND, times=19, rules=PATIENT)
    at = call(at, Result.FAILURE, 0, rules=PATIENT)
    assert window.totals(at.window).calls == 1


def test_results_reported_in_swapped_order_are_all_counted() -> None:
    at = call(Circuit(), Result.SUCCESS, SECOND)
    at = call(at, Result.SUCCESS, SECOND - 1)
    assert window.totals(at.window).calls == 2


# Trying


def test_one_slot_lets_a_single_trial_through_after_the_wait() -> None:
    rules = replace(RULES, trial_slots=1)
    at, first = circuit.admit(tripped(), rules, 5 * SECOND)
    assert first is not None
    assert circuit.admit(at, rules, 5 * SECOND)[1] is None
    assert circuit.admit(at, rules, 20 * SECOND)[1] is None


def test_half_open_bounds_the_trials_in_flight() -> None:
    at, now = half_open()
    at, _ = trials(at, now, 3)
    assert circuit.admit(at, RULES, now)[1] is None


def test_a_cancelled_trial_gives_its_slot_back() -> None:
    at, now = half_open()
    at, permits = trials(at, now, 3)
    at = circuit.cancel(at, permits[1])
    assert circuit.admit(at, RULES, now)[1] is not None


def test_a_thousand_cancels_leave_no_stuck_half_open() -> None:
    at, now = half_open()
    for _ in range(1000):
        at, (permit,) = trials(at, now, 1)
        at = circuit.cancel(at, permit)
    assert at.leases == ()
    assert circuit.state(call(at, Result.SUCCESS, now, times=3), now) is Breaker.CLOSED


def test_without_cancelling_the_slots_stay_taken() -> None:
    """The control of the two above: a slot is freed by the cancel and by nothing else."""
    at, now = half_open()
    at, _ = trials(at, now, 3)
    assert circuit.admit(at, RULES, now + RULES.lease_us - 1)[1] is None


def test_a_lost_trial_gives_its_slot_back_when_its_lease_lapses() -> None:
    at, now = half_open()
    at, lost = trials(at, now, 3)
    later = now + RULES.lease_us
    at, permit = circuit.admit(at, RULES, later)
    assert permit is not None
    assert circuit.state(settle(at, lost[0], Result.FAILURE, later), later) is Breaker.HALF_OPEN


def test_an_ignored_trial_frees_its_slot_and_decides_nothing() -> None:
    at, now = half_open()
    at, (permit,) = trials(at, now, 1)
    after = settle(at, permit, Result.IGNORED, now)
    assert (after.leases, after.passed, circuit.state(after, now)) == ((), 0, Breaker.HALF_OPEN)


def test_success_closes_only_after_enough_trials() -> None:
    at, now = half_open()
    at = call(at, Result.SUCCESS, now, times=2)
    assert circuit.state(at, now) is Breaker.HALF_OPEN
    assert circuit.state(call(at, Result.SUCCESS, now), now) is Breaker.CLOSED


def test_success_closes_while_other_trials_are_still_out() -> None:
    at, now = half_open()
    at = call(at, Result.SUCCESS, now, times=2)
    at, (first, *others) = trials(at, now, 3)
    at = settle(at, first, Result.SUCCESS, now)
    assert circuit.state(at, now) is Breaker.CLOSED
    for late in others:
        at = settle(at, late, Result.FAILURE, now)
    assert (at.consecutive, window.totals(at.window).calls) == (0, 0)


def test_a_trial_settled_twice_counts_once() -> None:
    at, now = half_open()
    at, (permit,) = trials(at, now, 1)
    for _ in range(5):
        at = settle(at, permit, Result.SUCCESS, now)
    assert at.passed == 1


@pytest.mark.parametrize(
    ("result", "why"), [(Result.FAILURE, Why.TRIAL_FAILED), (Result.SLOW, Why.TRIAL_SLOW)]
)
def test_one_bad_trial_opens_again(result: Result, why: Why) -> None:
    at, now = half_open()
    at = call(call(at, Result.SUCCESS, now, times=2), result, now)
    assert circuit.state(at, now) is Breaker.OPEN
    assert at.history[-1].why is why


def test_a_late_result_of_an_older_generation_is_ignored() -> None:
    at, late = circuit.admit(Circuit(), RULES, 0)
    assert late is not None
    at = call(at, Result.FAILURE, times=5)
    opened = settle(at, late, Result.SUCCESS, SECOND)
    assert opened == at
    at, now = half_open()
    at = call(at, Result.SUCCESS, now, times=3)
    assert settle(at, late, Result.FAILURE, now) == at


# Forcing


def test_forced_open_holds_back_until_its_end_and_then_tries() -> None:
    at = circuit.force(Circuit(), Breaker.FORCED_OPEN, 60 * SECOND, 0)
    assert circuit.admit(at, RULES, 60 * SECOND - 1)[1] is None
    assert circuit.state(at, 60 * SECOND) is Breaker.HALF_OPEN


def test_forced_closed_trips_on_nothing_until_its_end() -> None:
    at = circuit.force(tripped(), Breaker.FORCED_CLOSED, 60 * SECOND, 0)
    at = call(at, Result.FAILURE, 59 * SECOND, times=50)
    assert circuit.state(at, 59 * SECOND) is Breaker.FORCED_CLOSED
    assert circuit.state(at, 60 * SECOND) is Breaker.CLOSED
    assert circuit.state(call(at, Result.FAILURE, 60 * SECOND), 60 * SECOND) is Breaker.OPEN


@pytest.mark.parametrize(
    ("held", "then"),
    [(Breaker.FORCED_OPEN, Breaker.HALF_OPEN), (Breaker.FORCED_CLOSED, Breaker.CLOSED)],
)
def test_a_release_ends_a_forced_state_as_its_end_would(
    held: circuit.Forced, then: Breaker
) -> None:
    at = circuit.force(Circuit(), held, 60 * SECOND, 0)
    assert circuit.state(circuit.release(at, SECOND), SECOND) is then


def test_a_release_without_a_forced_state_changes_nothing() -> None:
    opened = tripped()
    assert circuit.release(opened, SECOND) == opened
    assert circuit.release(Circuit(), SECOND) == Circuit()


def test_forcing_asks_for_an_end_in_the_future() -> None:
    with pytest.raises(Invalid, match="later end"):
        circuit.force(Circuit(), Breaker.FORCED_OPEN, SECOND, SECOND)


# History


def test_every_change_is_told_with_its_reason_and_time() -> None:
    at, now = half_open()
    closed = call(at, Result.SUCCESS, now, times=3)
    told = [(t.source, t.target, t.why, t.at_us) for t in circuit.news(Circuit(), closed)]
    assert told == [
        (Breaker.CLOSED, Breaker.OPEN, Why.CONSECUTIVE_FAILURES, 0),
        (Breaker.OPEN, Breaker.HALF_OPEN, Why.WAIT_OVER, 5 * SECOND),
        (Breaker.HALF_OPEN, Breaker.CLOSED, Why.TRIALS_PASSED, 5 * SECOND),
    ]
    assert circuit.news(closed, closed) == ()


def test_the_history_is_bounded_and_keeps_the_newest() -> None:
    at = Circuit()
    for second in range(100):
        at = circuit.force(at, Breaker.FORCED_OPEN, (second + 1) * SECOND, second * SECOND)
    assert len(at.history) == circuit.KEPT_TRANSITIONS
    assert at.history[-1].generation == at.generation


def test_the_window_stays_small_under_any_traffic() -> None:
    at = Circuit()
    for tick in range(3000):
        at = call(at, Result.SUCCESS, tick * 10_000)
    assert len(at.window) <= RULES.buckets + 1


# Settings


def test_the_default_settings_are_those_of_the_product() -> None:
    circuit.check(RULES)
    assert (RULES.bucket_us * RULES.buckets, RULES.min_calls) == (10 * SECOND, 20)


@pytest.mark.parametrize(
    ("name", "value"),
    [("trial_slots", 0), ("failure_percent", 101), ("jitter_percent", -1), ("open_max_us", 1)],
)
def test_settings_under_which_a_circuit_cannot_work_are_refused(name: str, value: int) -> None:
    with pytest.raises(Invalid, match=name):
        circuit.check(replace(RULES, **{name: value}))
