"""What processes have in common: states, trials, generations; and what each does alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from routing.breakers import store
from routing.breakers.models import BreakerMove, SharedBreaker
from routing.breakers.store import Forcing
from routing.core import circuit
from routing.core.circuit import Permit, Result, Why
from routing.core.values import Breaker
from tests.integration.breakers.ground import KEY, RULES, START, Fleet, Member, lay, stored

pytestmark = pytest.mark.django_db(transaction=True)
CLOSED, OPEN, HALF = Breaker.CLOSED, Breaker.OPEN, Breaker.HALF_OPEN
FORCED: tuple[circuit.Forced, circuit.Forced] = (Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED)
FORCED_OPEN, FORCED_CLOSED = FORCED


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()


def half_open(size: int) -> Fleet:
    """Return processes that all see one breaker half-open; nobody has asked for a trial yet."""
    fleet = Fleet(size)
    fleet.members[0].fail()
    fleet.rounds(2)
    fleet.pass_time(RULES.open_us / 1_000_000)
    assert fleet.states() == {HALF}
    return fleet


def test_what_opens_in_one_process_opens_in_all() -> None:
    fleet = Fleet(4)
    fleet.members[2].fail()
    assert [member.state for member in fleet.members] == [CLOSED, CLOSED, OPEN, CLOSED]
    fleet.rounds(2)
    assert fleet.states() == {OPEN}
    assert waits(fleet, RULES.open_us)
    assert stored().circuit.generation == 1


def test_a_breaker_that_never_moved_has_no_row() -> None:
    fleet = Fleet(2)
    fleet.members[0].fail(RULES.consecutive_failures - 1)
    fleet.rounds(2)
    assert not SharedBreaker.objects.exists()


def test_two_that_trip_at_once_make_one_move() -> None:
    fleet = Fleet(3)
    for member in fleet.members:
        member.fail()
    fleet.rounds(2)
    assert fleet.states() == {OPEN}
    assert stored().circuit.generation == 1
    assert BreakerMove.objects.count() == 1


def test_trials_are_counted_together() -> None:
    fleet = half_open(4)
    given = [permit for member in fleet.members for permit in member.permits(5)]
    fleet.rounds(3)
    given += [permit for member in fleet.members for permit in member.permits(5)]
    assert len(given) == RULES.trial_slots
    assert len({permit.number for permit in given}) == RULES.trial_slots


def test_alone_each_process_would_make_as_many_trials_as_all_together_may() -> None:
    """The control of the one above: it is the store that bounds them."""
    fleet = half_open(4)
    for member in fleet.members:
        member.board.part()
    given = [permit for member in fleet.members for permit in member.permits(5)]
    assert len(given) == 4 * RULES.trial_slots


def test_good_trials_of_several_processes_close_it_for_all() -> None:
    fleet = half_open(3)
    for member in fleet.members:
        permit = trial(fleet, member)
        member.board.settle(KEY, permit, Result.SUCCESS)
        fleet.rounds(1)
    fleet.rounds(1)
    assert fleet.states() == {CLOSED}
    assert [move.why for move in BreakerMove.objects.order_by("id")] == [
        Why.CONSECUTIVE_FAILURES,
        Why.WAIT_OVER,
        Why.TRIALS_PASSED,
    ]


def test_a_bad_trial_opens_it_for_all_and_for_longer() -> None:
    fleet = half_open(3)
    first = fleet.members[0]
    fleet.rounds(1)
    permit = trial(fleet, first)
    first.board.settle(KEY, permit, Result.FAILURE)
    fleet.rounds(2)
    assert fleet.states() == {OPEN}
    assert waits(fleet, 2 * RULES.open_us)


def test_a_result_of_an_older_generation_changes_nothing_anywhere() -> None:
    fleet = half_open(2)
    one, other = fleet.members
    one.permits(1)
    fleet.rounds(2)
    (late,) = one.permits(1)
    bad = trial(fleet, other)
    other.board.settle(KEY, bad, Result.FAILURE)
    fleet.rounds(2)
    assert fleet.states() == {OPEN}
    before = stored().circuit
    one.board.settle(KEY, late, Result.SUCCESS)
    fleet.rounds(2)
    assert stored().circuit == before


def test_two_hundred_cancelled_trials_leave_no_slot_taken() -> None:
    fleet = half_open(2)
    one = fleet.members[0]
    cancelled = 0
    while cancelled < 200:
        permits = one.permits(RULES.trial_slots)
        for permit in permits:
            one.board.cancel(KEY, permit)
        cancelled += len(permits)
        one.sharing.round()
    fleet.pass_time(70)  # nobody keeps a trial at hand any more
    assert stored().circuit.leases == ()
    assert stored().circuit.stored is HALF


def test_a_trial_that_lies_idle_goes_to_who_waits_for_one() -> None:
    fleet = half_open(4)
    idle, late = fleet.members[:3], fleet.members[3]
    for member in idle:
        member.permits(1)
    fleet.rounds(1)
    assert len(stored().circuit.leases) == RULES.trial_slots
    assert late.permits(1) == []
    fleet.rounds(3)
    assert len(late.permits(1)) == 1


def test_a_process_that_ends_leaves_no_slot_taken() -> None:
    fleet = half_open(1)
    (only,) = fleet.members
    for permit in only.permits(3):
        only.board.cancel(KEY, permit)
    only.sharing.round()
    assert len(stored().circuit.leases) > 1
    only.sharing.leave()
    assert stored().circuit.leases == ()


def test_a_dead_process_gives_its_trials_back_when_their_leases_lapse() -> None:
    fleet = half_open(2)
    dead, alive = fleet.members
    given = dead.permits(3)
    dead.sharing.round()
    given += dead.permits(3 - len(given))
    assert len(given) == RULES.trial_slots
    fleet.members.remove(dead)
    assert alive.permits(1) == []
    alive.sharing.round()
    assert alive.permits(1) == []
    row = SharedBreaker.objects.get()
    row.circuit["leases"] = [
        [number, since - RULES.lease_us, lasts] for number, since, lasts in row.circuit["leases"]
    ]
    row.save()
    alive.sharing.round()
    assert len(alive.permits(1)) == 1


def test_a_good_probe_in_one_process_takes_the_slots_of_trials_that_hang_in_another() -> None:
    fleet = half_open(2)
    hanging, probing = fleet.members
    lost = [trial(fleet, hanging) for _ in range(RULES.trial_slots)]
    assert probing.permits(1) == []
    fleet.rounds(2)
    assert probing.permits(1) == []
    fleet.pass_time(1)
    probing.board.probe_ok(KEY)
    for _ in range(RULES.trials_to_close):
        probing.board.settle(KEY, trial(fleet, probing), Result.SUCCESS)
    fleet.rounds(2)
    assert fleet.states() == {CLOSED}
    for permit in lost:
        hanging.board.settle(KEY, permit, Result.FAILURE)
    fleet.rounds(2)
    assert fleet.states() == {CLOSED}


def test_a_probe_that_began_before_the_trials_takes_no_slot() -> None:
    """The control of the one above: it is the newer evidence that counts."""
    fleet = half_open(2)
    hanging, probing = fleet.members
    for _ in range(RULES.trial_slots):
        trial(fleet, hanging)
    fleet.pass_time(1)
    probing.board.probe_ok(KEY, took_us=60_000_000)
    fleet.rounds(3)
    assert probing.permits(1) == []
    assert (len(stored().circuit.leases), stored().circuit.overtaken) == (RULES.trial_slots, ())


def test_without_the_store_a_process_goes_on_by_itself() -> None:
    fleet = Fleet(2)
    one, other = fleet.members
    fleet.lose_the_store()
    one.fail()
    assert (one.state, other.state) == (OPEN, CLOSED)
    fleet.pass_time(RULES.open_us / 1_000_000, away=True)
    assert one.state is HALF
    for permit in one.permits(RULES.trials_to_close):
        one.board.settle(KEY, permit, Result.SUCCESS)
    assert one.state is CLOSED
    fleet.rounds(2)
    assert fleet.states() == {CLOSED}
    assert stored().circuit.generation == 3
    assert BreakerMove.objects.filter(alone=True, process="p0").count() == 3


def test_what_was_not_told_before_the_store_went_away_is_told_afterwards() -> None:
    fleet = Fleet(2)
    fleet.members[0].fail()
    fleet.lose_the_store()
    fleet.rounds(2)
    assert fleet.states() == {OPEN}
    assert stored().circuit.generation == 1


def test_the_first_one_back_tells_the_others() -> None:
    fleet = Fleet(3)
    fleet.lose_the_store()
    fleet.members[0].fail()
    fleet.members[1].fail()
    fleet.pass_time(1, away=True)
    fleet.rounds(2)
    assert fleet.states() == {OPEN}
    assert stored().circuit.generation == 1
    assert waits(fleet, RULES.open_us - 1_000_000)
    assert BreakerMove.objects.count() == 2, "what the slower one did is history too"


def test_a_person_who_forced_it_meanwhile_wins_over_what_was_done_alone() -> None:
    fleet = Fleet(2)
    fleet.lose_the_store()
    one = fleet.members[0]
    one.fail()
    force(FORCED_CLOSED, 600)
    fleet.rounds(2)
    assert fleet.states() == {FORCED_CLOSED}


def test_results_from_the_time_alone_do_not_count_afterwards() -> None:
    fleet = Fleet(2)
    fleet.lose_the_store()
    one = fleet.members[0]
    late = one.permits(RULES.consecutive_failures)
    fleet.rounds(1)
    for permit in late:
        one.board.settle(KEY, permit, Result.FAILURE)
    assert one.state is CLOSED


def test_a_clock_set_back_holds_nobody_for_longer_than_the_term() -> None:
    fleet = Fleet(2)
    fleet.members[0].fail()
    fleet.rounds(2)
    fleet.now -= timedelta(hours=25)
    fleet.rounds(2)
    assert max(member.board.wait_us(KEY) for member in fleet.members) <= RULES.open_us
    fleet.pass_time(RULES.open_us / 1_000_000)
    assert fleet.states() == {HALF}
    assert stored().circuit.stored is HALF
    fleet.members[1].permits(1)
    fleet.rounds(2)
    assert len(fleet.members[1].permits(1)) == 1


def test_who_starts_later_sees_what_is_forced_and_until_when() -> None:
    Fleet(1)
    force(FORCED_OPEN, 600)
    late = Fleet(1).members[0]
    assert late.state is FORCED_OPEN
    assert 590_000_000 < late.board.wait_us(KEY) <= 600_000_000


def test_a_forced_state_ends_by_itself_for_all() -> None:
    fleet = Fleet(2)
    force(FORCED_OPEN, 60)
    fleet.rounds(1)
    assert fleet.states() == {FORCED_OPEN}
    fleet.pass_time(60)
    assert fleet.states() == {HALF}
    assert stored().forcing is None
    assert BreakerMove.objects.order_by("-id")[0].why == Why.FORCE_ENDED


def test_the_history_of_a_breaker_is_bounded() -> None:
    kept = stored()
    for number in range(9):
        now_us = store.at_us(START) + number * RULES.open_us
        with transaction.atomic():
            after = circuit.force(kept.circuit, FORCED[number % 2], now_us + 1, now_us)
            assert store.swap(kept, after, forcing=Forcing(by="user:x", reason="for the test"))
            if not number:
                (first,) = BreakerMove.objects.values()
                older = [BreakerMove(**{**first, "id": None}) for _ in range(store.KEPT_MOVES)]
                BreakerMove.objects.bulk_create(older)
        kept = stored()
    moves = BreakerMove.objects.order_by("id")
    assert len(moves) == store.KEPT_MOVES
    assert moves[store.KEPT_MOVES - 1].generation == kept.circuit.generation


def test_who_was_slower_writes_nothing() -> None:
    kept = stored()
    after = circuit.follow(kept.circuit, RULES, 0, Why.CONSECUTIVE_FAILURES, 1, 0.0)
    with transaction.atomic():
        assert store.swap(kept, after) is True
        assert store.swap(kept, after) is False
    assert BreakerMove.objects.count() == 1


def trial(fleet: Fleet, member: Member) -> Permit:
    """Return a trial for `member`, after the rounds that it may take to get one."""
    for _ in range(5):
        if given := member.permits(1):
            return given[0]
        fleet.rounds()
    raise AssertionError("no trial within five rounds")


def waits(fleet: Fleet, expected_us: int) -> bool:
    """Tell whether all wait so long; PostgreSQL's own clock goes on while a test runs."""
    left = [expected_us - member.board.wait_us(KEY) for member in fleet.members]
    return all(0 <= one < 900_000 for one in left)


def force(target: circuit.Forced, seconds: int) -> None:
    """Force the stored breaker for so long, as the use case does."""
    from routing.fleet import clock

    with transaction.atomic():
        kept = stored()
        now_us = store.at_us(clock.read(START))
        after = circuit.force(kept.circuit, target, now_us + seconds * 1_000_000, now_us)
        assert store.swap(kept, after, forcing=Forcing(by="user:x", reason="for the test"))
