"""One breaker as a process holds it, without a store: what it owes, wants and takes."""

from __future__ import annotations

from dataclasses import replace

from routing.breakers import held
from routing.breakers.board import AWAY_US, Board
from routing.breakers.held import GRANT_US, SHARED, USED_US, Copy, Errand, Held, Key, Move
from routing.core.circuit import (
    Circuit,
    CircuitSettings,
    Permit,
    PermitKind,
    Result,
    Timer,
    Why,
)
from routing.core.values import Breaker, EnvironmentName, Path

KEY = Key(environment=EnvironmentName.DEVELOPMENT, path=Path.MCP, target="here")
RULES = CircuitSettings()
GRANT = Permit(generation=2, kind=PermitKind.TRIAL, number=1, era=SHARED)
HALF = Circuit(stored=Breaker.HALF_OPEN, generation=2, era=SHARED)


class Place:
    """A board with a clock that only the test moves, linked as if a store were there."""

    def __init__(self) -> None:
        self.us = 1_000_000
        self.calls = 0
        self.board = Board(RULES, clock=lambda: self.us, jitter=lambda: 0.0)
        self.board.wake = self.count
        self.take()

    def count(self) -> None:
        self.calls += 1

    def take(self, found: Circuit | None = None, *, wanted: bool = False) -> None:
        copies = {} if found is None else {KEY: Copy(circuit=found, wanted=wanted)}
        self.board.take(copies, self.us)

    def fail(self) -> None:
        for _ in range(RULES.consecutive_failures):
            permit = self.board.admit(KEY)
            assert permit is not None
            self.board.settle(KEY, permit, Result.FAILURE)

    def errand(self) -> Errand:
        (errand,) = self.board.errands()
        return errand


def test_a_call_on_a_closed_breaker_wakes_nobody() -> None:
    place = Place()
    permit = place.board.admit(KEY)
    assert permit is not None
    place.board.settle(KEY, permit, Result.SUCCESS)
    assert place.calls == 0 and place.board.errands() == ()


def test_a_trip_is_told_once_and_at_once() -> None:
    place = Place()
    place.fail()
    assert place.board.state(KEY) is Breaker.OPEN and place.calls >= 1
    errand = place.errand()
    assert errand.moves == (Move(generation=0, why=Why.CONSECUTIVE_FAILURES),)
    place.board.done(errand, ())
    assert place.board.errands() == ()


def test_a_copy_read_before_the_trip_was_told_does_not_undo_it() -> None:
    place = Place()
    place.fail()
    place.take()
    assert place.board.state(KEY) is Breaker.OPEN


def test_a_copy_of_the_same_generation_in_another_state_is_taken() -> None:
    place = Place()
    place.fail()
    place.board.done(place.errand(), ())
    forced = Circuit(
        stored=Breaker.FORCED_CLOSED, generation=1, timer=Timer(since_us=0, lasts_us=10**9)
    )
    place.take(forced)
    assert place.board.state(KEY) is Breaker.FORCED_CLOSED


def test_half_open_gives_only_trials_that_the_store_gave() -> None:
    place = Place()
    place.take(HALF)
    assert place.board.admit(KEY) is None
    errand = place.errand()
    assert errand.want == 1
    place.board.done(errand, (GRANT,))
    assert place.board.admit(KEY) == GRANT
    assert place.board.admit(KEY) is None


def test_who_asked_in_vain_does_not_wake_anybody_again_and_again() -> None:
    place = Place()
    place.take(HALF)
    place.board.admit(KEY)
    place.board.done(place.errand(), ())
    calls = place.calls
    for _ in range(100):
        assert place.board.admit(KEY) is None
    assert place.calls == calls


def test_nobody_keeps_a_trial_at_hand_where_nothing_is_routed() -> None:
    place = Place()
    place.take(HALF)
    place.us += USED_US + 1
    place.take(HALF)
    assert place.board.errands() == ()


def test_an_idle_trial_goes_back_before_its_lease_is_too_short_for_a_call() -> None:
    place = Place()
    place.take(HALF)
    place.board.admit(KEY)
    place.board.done(place.errand(), (GRANT,))
    for _ in range(GRANT_US // 1_000_000):
        place.us += 1_000_000
        place.take(HALF)
    (end,) = place.errand().ends
    assert (end.permit, end.result) == (GRANT, None)
    assert RULES.lease_us >= GRANT_US + 60_000_000


def test_an_idle_trial_goes_back_when_somebody_waits_for_one() -> None:
    place = Place()
    place.take(HALF)
    place.board.admit(KEY)
    place.board.done(place.errand(), (GRANT,))
    place.take(HALF, wanted=True)
    errand = place.errand()
    assert [end.permit for end in errand.ends] == [GRANT] and errand.want == 0


def test_a_good_probe_of_a_half_open_one_is_told_once_with_its_beginning() -> None:
    place = Place()
    place.take(HALF)
    calls = place.calls
    place.board.probe_ok(KEY, took_us=400)
    errand = place.errand()
    assert errand.probed_us == place.us - 400 and place.calls == calls + 1
    place.board.probe_ok(KEY, took_us=100)
    place.board.done(errand, ())
    later = place.errand()
    assert later.probed_us == place.us - 100, "what came while it was told is told as well"
    place.board.done(later, ())
    assert place.board.errands() == ()


def test_how_a_shared_trial_ended_is_the_stores_to_count() -> None:
    place = Place()
    place.take(HALF)
    place.board.admit(KEY)
    place.board.done(place.errand(), (GRANT,))
    permit = place.board.admit(KEY)
    assert permit is not None
    place.board.settle(KEY, permit, Result.FAILURE)
    assert place.board.state(KEY) is Breaker.HALF_OPEN
    (end,) = place.errand().ends
    assert end.result is Result.FAILURE


def test_without_a_store_it_is_a_breaker_of_its_own() -> None:
    board = Board(RULES, clock=lambda: 0, jitter=lambda: 0.0)
    for _ in range(RULES.consecutive_failures):
        permit = board.admit(KEY)
        assert permit is not None and permit.era != SHARED
        board.settle(KEY, permit, Result.FAILURE)
    board.probe_ok(KEY)
    trials = [board.admit(KEY) for _ in range(9)]
    assert len([trial for trial in trials if trial]) == RULES.trial_slots


def test_a_store_that_is_not_seen_is_away_and_its_trials_are_not_needed() -> None:
    place = Place()
    place.take(HALF)
    place.us += AWAY_US + 1
    trials = [place.board.admit(KEY) for _ in range(9)]
    assert len([trial for trial in trials if trial]) == RULES.trial_slots


def test_each_time_alone_is_an_era_of_its_own() -> None:
    place = Place()
    eras = []
    for _ in range(3):
        place.us += AWAY_US + 1
        permit = place.board.admit(KEY)
        assert permit is not None
        eras.append(permit.era)
        place.take()
    assert len({*eras, SHARED}) == 4


def test_a_private_breaker_is_nobodys_errand_and_takes_no_copy() -> None:
    place = Place()
    mine = replace(KEY, private=True)
    for _ in range(RULES.consecutive_failures):
        permit = place.board.admit(mine)
        assert permit is not None
        place.board.settle(mine, permit, Result.FAILURE)
    assert place.board.errands() == ()
    place.take()
    assert place.board.state(mine) is Breaker.OPEN
    assert place.board.state(KEY) is Breaker.CLOSED


def test_what_is_left_of_a_term_is_never_more_than_the_term() -> None:
    stored = Circuit(stored=Breaker.OPEN, timer=Timer(since_us=1_000, lasts_us=500))
    for at_us, left in ((1_000, 500), (1_400, 100), (9_999, 0), (0, 500)):
        found = held.local(stored, at_us, 77)
        assert found.timer is not None and found.timer.ends_us - 77 == left


def test_a_breaker_that_never_moved_owes_nothing() -> None:
    assert Held(circuit=Circuit()).errand(KEY, 0) is None
