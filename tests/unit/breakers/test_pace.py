"""When a path counts as slow: laws over simulated traffic, in a time of its own."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.breakers import pace
from routing.breakers.held import Key
from routing.breakers.pace import (
    LEAST_S,
    REMEMBERED,
    SPARED_S,
    TIMES_USUAL,
    Pace,
    Paces,
    Wait,
)
from routing.core.values import EnvironmentName, Operation, Path

MOST_S, CUT_S = 15.0, 18.0
ORDER = itertools.count()
Answers = Callable[[float], float | None]  # seconds by when a call begins; None never answers


@dataclass(slots=True)
class Traffic:
    """Requests of which each asks whether the path is spared, and calls it if it is not."""

    answers: Answers
    pace: Pace = field(init=False)
    now_s: float = 0.0
    sent: list[float] = field(default_factory=list)
    spared: list[float] = field(default_factory=list)
    _timers: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pace = Pace(self.later)

    def later(self, after_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self.now_s + after_s, next(ORDER), what))

    def come(self, seconds: float, per_s: float, *, has_other: bool = True) -> None:
        """Let requests come for so long."""
        for _ in range(int(seconds * per_s)):
            self.go_on(1 / per_s)
            if self.pace.spares(self.now_s) and has_other:
                self.spared.append(self.now_s)
            else:
                self.send()

    def send(self) -> Wait:
        wait = self.pace.begin(lambda: self.now_s, MOST_S)
        self.sent.append(self.now_s)
        takes = self.answers(self.now_s)
        answered = takes is not None and takes < CUT_S
        after_s = takes if takes is not None and answered else CUT_S
        self.later(after_s, lambda: self.pace.end(wait, answered=answered))
        return wait

    def go_on(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self._timers and self._timers[0][0] <= end_s:
            due, _, what = heapq.heappop(self._timers)
            self.now_s = max(self.now_s, due)
            what()
        self.now_s = max(self.now_s, end_s)


def turns(before: float, at_s: float, after: float | None) -> Answers:
    return lambda began: before if began < at_s else after


@given(
    st.floats(0.001, 0.25), st.floats(0.5, 300), st.none() | st.floats(1.3, 17.9), st.floats(8, 9)
)
def test_a_path_that_goes_silent_loses_its_traffic_within_ten_requests_or_two_seconds(
    usual_s: float, per_s: float, silent_s: float | None, extra: float
) -> None:
    healthy_s = 40 / per_s + extra
    traffic = Traffic(turns(usual_s, healthy_s, silent_s))
    traffic.come(healthy_s, per_s)
    assert not traffic.spared
    began, sent = traffic.now_s, len(traffic.sent)
    traffic.come(max(3.0, 40 / per_s), per_s)
    assert traffic.spared, "it never moved"
    calls = sum(1 for at in traffic.sent[sent:] if at < traffic.spared[0])
    assert calls <= 10 or traffic.spared[0] - began <= 2.0


@given(st.integers(0, 2**32), st.floats(0.5, 200))
def test_answers_in_time_are_never_held_against_a_path(seed: int, per_s: float) -> None:
    chance = random.Random(seed)
    traffic = Traffic(lambda _: chance.choice([0.001, 0.1, 0.5, 0.99]))
    traffic.come(200 / per_s, per_s)
    assert not traffic.spared


@given(st.integers(0, 2**32))
def test_answers_of_very_different_lengths_are_no_fault(seed: int) -> None:
    """As models answer: one in a hundred takes more than four times the median."""
    chance = random.Random(seed)
    traffic = Traffic(lambda _: chance.lognormvariate(0, 0.6))
    traffic.come(60, 20)
    assert not traffic.spared


def test_it_is_spared_from_the_fifth_late_call_and_one_in_a_while_tries_it() -> None:
    traffic = Traffic(turns(0.02, 10, 17.0))
    traffic.come(10, 50)
    traffic.come(30, 50)
    lost = [at for at in traffic.sent if at >= 10]
    tries = [at for at in lost if at > traffic.spared[0]]
    # Five that began within 0.1 s are late a second after, and once more in the next look.
    assert traffic.spared[0] == pytest.approx(10 + 5 / 50 + LEAST_S + 0.05, abs=0.05)
    assert 5 <= len(tries) <= 6
    assert min(b - a for a, b in itertools.pairwise(tries)) >= SPARED_S


@given(st.floats(0.2, 40))
def test_it_is_back_with_the_first_call_that_is_answered_in_time(sick_s: float) -> None:
    heals_at = 10 + sick_s
    traffic = Traffic(lambda began: None if 10 <= began < heals_at else 0.02)
    traffic.come(heals_at, 50)
    traffic.come(SPARED_S + 1, 50)
    assert not traffic.spared or traffic.spared[-1] <= heals_at + SPARED_S + 0.1
    assert traffic.pace.lag(traffic.now_s) is None


def test_what_was_slow_while_it_was_spared_does_not_become_usual() -> None:
    traffic = Traffic(turns(0.02, 10, 3.0))
    traffic.come(10, 200)
    traffic.come(30, 200)
    assert traffic.pace.usual_s == pytest.approx(0.02)


def test_a_lasting_change_becomes_usual_within_ten_minutes() -> None:
    traffic = Traffic(turns(0.02, 10, 3.0))
    traffic.come(10, 20)
    traffic.come(600, 20)
    assert traffic.spared[-1] < traffic.now_s - 60
    assert traffic.pace.limit_s(MOST_S) == pytest.approx(TIMES_USUAL * 3.0)
    assert traffic.spared[-1] > 10 + REMEMBERED / 2 * SPARED_S * 0.8, "learnt in no time"


def _stands_still(reading_s: float) -> bool:
    """Stand still for 3 s with 40 calls under way, each long answered; then read for so long."""
    traffic = Traffic(turns(0.02, 1e9, None))
    traffic.come(10, 50)
    traffic.go_on(1)
    waits = [traffic.pace.begin(lambda: traffic.now_s, MOST_S) for _ in range(40)]
    traffic.now_s += 3
    traffic.go_on(reading_s)  # what was due meanwhile is done first
    for wait in waits:
        traffic.pace.end(wait, answered=True)
    return traffic.pace.spares(traffic.now_s)


def test_a_process_that_stood_still_holds_it_against_nobody() -> None:
    assert not _stands_still(0.01)
    assert _stands_still(0.06), "answers that come later than that are late"


def test_a_call_that_speaks_early_and_ends_late_is_in_time() -> None:
    traffic = Traffic(lambda _: 10.0)
    for _ in range(60):
        traffic.send().heard()
        traffic.go_on(0.5)
        assert not traffic.pace.spares(traffic.now_s)
    assert traffic.pace.usual_s == pytest.approx(0.0)


def test_one_at_a_time_is_judged_like_many() -> None:
    traffic = Traffic(turns(0.02, 40, 4.0))
    traffic.come(39, 1)
    traffic.come(60, 0.2)
    assert len([at for at in traffic.sent if at >= 40 and at < traffic.spared[0]]) == 5


def test_without_another_path_it_goes_on_being_called() -> None:
    traffic = Traffic(turns(0.02, 10, 3.0))
    traffic.come(10, 20)
    traffic.come(10, 20, has_other=False)
    assert len(traffic.sent) == 400


def test_nothing_is_usual_before_enough_is_known() -> None:
    traffic = Traffic(lambda _: 2.0)
    traffic.come(5, 20)
    assert not traffic.spared
    assert traffic.pace.limit_s(MOST_S) == TIMES_USUAL * 2.0


def test_a_lag_tells_its_figures_and_is_forgotten_when_nobody_asks() -> None:
    key = Key(environment=EnvironmentName.PRODUCTION, path=Path.MCP, target="there")
    other = Key(environment=EnvironmentName.STAGING, path=Path.MCP, target="there")
    traffic = Traffic(turns(0.02, 10, None))
    paces = Paces(traffic.later)
    traffic.pace = paces.of(key, Operation.STANDARD)
    traffic.come(10, 50)
    assert not paces.lags(key, traffic.now_s)
    traffic.come(5, 50)
    lag = paces.lags(key, traffic.now_s)[Operation.STANDARD]
    assert lag.silent_s == LEAST_S
    assert lag.usual_s == pytest.approx(0.02)
    assert lag.in_a_row >= pace.IN_A_ROW
    assert not paces.lags(other, traffic.now_s)
    assert not paces.lags(key, traffic.now_s + 3 * SPARED_S)
    traffic.come(20, 2, has_other=False)
    assert paces.lags(key, traffic.now_s), "who has no other path meets it all the while"


def test_it_looks_once_a_second_while_calls_wait_and_never_else() -> None:
    looks: list[float] = []
    traffic = Traffic(turns(0.02, 5, 8.0))

    def later(after_s: float, what: Callable[[], None]) -> None:
        looks.append(traffic.now_s)
        traffic.later(after_s, what)

    traffic.pace = Pace(later)
    traffic.come(5, 50)
    for _ in range(100):
        traffic.send().heard()  # and goes on speaking for 8 s
        traffic.go_on(0.1)
    assert 14 <= len(looks) <= 18
    traffic.go_on(20)
    done = len(looks)
    traffic.go_on(20)
    assert len(looks) == done, "it looks although nothing waits"


def test_what_is_no_longer_overdue_has_to_be_so_in_two_looks_again() -> None:
    now = [0.0]
    one = Pace(lambda _after_s, _what: None)
    one.usual_s = 0.02
    wait = one.begin(lambda: now[0], MOST_S)
    for now_s, usual_s, late in (
        (1.5, 0.02, False),
        (2.0, 1.0, False),  # by now 4 s are allowed
        (4.5, 1.0, False),
        (4.56, 1.0, True),
    ):
        now[0], one.usual_s = now_s, usual_s
        one._look()
        assert wait.late is late, now_s


def test_a_lag_is_told_for_as_long_as_calls_are_sent_elsewhere() -> None:
    traffic = Traffic(turns(0.02, 10, None))
    traffic.come(10, 50)
    traffic.come(3, 50)
    for _ in range(300):
        traffic.go_on(0.1)
        if not traffic.pace.spares(traffic.now_s):  # and is refused at once: neither slow nor well
            refused = traffic.pace.begin(lambda: traffic.now_s, MOST_S)
            traffic.pace.end(refused, answered=False)
        assert traffic.pace.lag(traffic.now_s) is not None
