"""The line before execution against a second description of it, written as plain lists."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from routing.core import admission
from routing.core.admission import Queue, QueueSettings, Rank, Shed, Ticket
from routing.core.errors import Invalid
from routing.core.values import Priority

ORDER = [Rank.EMERGENCY, Rank.CRITICAL, Rank.HIGH, Rank.MEDIUM, Rank.LOW]
SMALL = QueueSettings(
    capacity=2,
    reserved=1,
    room=3,
    longest_wait_us=2000,
    overload_wait_us=80,
    overload_after_us=500,
)
ranks = st.sampled_from(ORDER)


@dataclass
class Model:
    """What should be: everybody under way and everybody waiting, in the order of arrival."""

    running: list[Ticket]
    waiting: list[Ticket]

    def may_start(self, rank: Rank) -> bool:
        return len(self.running) < SMALL.capacity + SMALL.reserved * (rank is Rank.EMERGENCY)

    def next(self) -> Ticket | None:
        first = min(self.waiting, key=lambda t: (ORDER.index(t.rank), t.number), default=None)
        return first if first is not None and self.may_start(first.rank) else None


class Line(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue(SMALL)
        self.model = Model([], [])
        self.now_us = 0
        self.full_us: int | None = None
        self.free_us: int | None = None
        self.left_us = 0

    def _calm(self) -> bool:
        return self.free_us is not None and self.now_us - self.free_us >= 500

    def _overloaded(self) -> bool:
        full_us = self.full_us
        return full_us is not None and self.now_us - full_us >= 500 and not self._calm()

    def _note(self) -> None:
        """Remember since when there is a free place; a long while of it ends an overload."""
        free = len(self.model.running) < SMALL.capacity
        if not free and self._calm():
            self.full_us = None
        self.free_us = None if not free else self.now_us if self.free_us is None else self.free_us

    @rule(by_us=st.integers(0, 400))
    def wait(self, by_us: int) -> None:
        self.now_us += by_us

    @rule(rank=ranks)
    def arrive(self, rank: Rank) -> None:
        arrival = self.queue.arrive(rank, self.now_us)
        model, ticket = self.model, arrival.ticket
        if model.may_start(rank):
            assert arrival.started and not arrival.shed
            model.running.append(ticket)
            self._note()
            return
        expected = {}
        if self._overloaded():
            for one in list(model.waiting):
                if one.rank is not Rank.EMERGENCY and self.now_us - one.since_us >= 80:
                    expected[one.number] = Shed.WAITED
                    model.waiting.remove(one)
        if len(model.waiting) >= SMALL.room:
            lower = [t for t in model.waiting if ORDER.index(t.rank) > ORDER.index(rank)]
            out = max(lower, key=lambda t: (ORDER.index(t.rank), t.number), default=ticket)
            expected[out.number] = Shed.FULL if out is ticket else Shed.EVICTED
            if out is not ticket:
                model.waiting.remove(out)
        assert not arrival.started
        assert dict(arrival.shed) == expected
        if ticket.number not in expected:
            if self.full_us is None:
                self.full_us = self.now_us
            model.waiting.append(ticket)

    @rule(rank=ranks, served_us=st.sampled_from([1, 200, 5000]))
    def turn_away(self, rank: Rank, served_us: int) -> None:
        model = self.model
        before = sum(self.queue.figures(self.now_us).shed[str(rank)].values())
        ahead = [t for t in model.waiting if ORDER.index(t.rank) <= ORDER.index(rank)]
        gap_us = max(served_us / SMALL.capacity, self.now_us - self.left_us)
        slow = self._overloaded() and len(ahead) * gap_us > SMALL.overload_wait_us
        vain = rank is not Rank.EMERGENCY and not model.may_start(rank)
        vain = vain and (len(ahead) == SMALL.room or slow)
        assert self.queue.turn_away(rank, self.now_us, served_us) is vain
        after = self.queue.figures(self.now_us).shed[str(rank)]
        assert sum(after.values()) == before + vain

    @precondition(lambda self: self.model.running)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.model.running))
        self.model.running.remove(ticket)
        expected = []
        while (first := self.model.next()) is not None:
            self.model.waiting.remove(first)
            self.model.running.append(first)
            expected.append(first)
        self._note()
        self.left_us = self.now_us
        assert self.queue.leave(ticket, self.now_us) == expected
        assert self.queue.leave(ticket, self.now_us) == []  # a place is given back once

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data(), why=st.sampled_from([None, Shed.WAITED]))
    def withdraw(self, data: st.DataObject, why: Shed | None) -> None:
        ticket = data.draw(st.sampled_from(self.model.waiting))
        self.model.waiting.remove(ticket)
        assert self.queue.withdraw(ticket, why)
        assert not self.queue.withdraw(ticket, why)

    @rule(data=st.data())
    def patience(self, data: st.DataObject) -> None:
        if not self.model.waiting:
            return
        ticket = data.draw(st.sampled_from(self.model.waiting))
        crowded = len(self.model.waiting) > 1 or self._overloaded()
        cut = crowded and ticket.rank is not Rank.EMERGENCY
        assert self.queue.patience_us(ticket, self.now_us) == (80 if cut else 2000)

    @invariant()
    def nobody_waits_who_could_start(self) -> None:
        assert self.model.next() is None
        assert self.queue.waiting == len(self.model.waiting)

    @invariant()
    def there_are_never_more_than_there_are_places(self) -> None:
        others = [t for t in self.model.running if t.rank is not Rank.EMERGENCY]
        assert len(others) <= SMALL.capacity
        assert len(self.model.running) <= SMALL.capacity + SMALL.reserved
        assert len(self.model.waiting) <= SMALL.room

    @invariant()
    def an_emergency_waits_only_for_emergencies_in_the_reserved_places(self) -> None:
        """So no other rank starves the reserved places."""
        if any(t.rank is Rank.EMERGENCY for t in self.model.waiting):
            emergencies = [t for t in self.model.running if t.rank is Rank.EMERGENCY]
            assert len(emergencies) >= SMALL.reserved

    @invariant()
    def the_figures_say_what_is(self) -> None:
        seen = self.queue.figures(self.now_us)
        assert seen.in_use == len(self.model.running)
        assert sum(seen.waiting.values()) == len(self.model.waiting)
        ages = [self.now_us - t.since_us for t in self.model.waiting]
        assert seen.oldest_wait_us == max(ages, default=0)
        assert seen.overloaded is self._overloaded()


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=150, stateful_step_count=40)


def test_a_newcomer_is_turned_away_only_for_those_who_rank_no_lower() -> None:
    queue = Queue(replace(SMALL, capacity=1, room=2))
    for rank in (Rank.LOW, Rank.LOW, Rank.HIGH):
        queue.arrive(rank, 0)
    found = [rank for rank in ORDER if queue.turn_away(rank, 0, 1)]
    assert found == [Rank.LOW], "a higher one takes a low one's place, an emergency its own"


def test_in_an_overload_it_counts_how_soon_places_come_free() -> None:
    queue = Queue(replace(SMALL, capacity=1, room=10))
    running = queue.arrive(Rank.LOW, 0).ticket
    for _ in range(3):
        queue.arrive(Rank.LOW, 0)
    assert not queue.turn_away(Rank.LOW, 499, 1), "a burst may wait"
    queue.leave(running, 600)
    assert not queue.turn_away(Rank.LOW, 600, served_us=20), "2 x 20 us is within its 80"
    assert queue.turn_away(Rank.LOW, 600, served_us=50)
    assert queue.turn_away(Rank.LOW, 650, served_us=20), "for 50 us nobody has left"


def test_what_was_sent_away_is_counted_by_rank_and_reason() -> None:
    queue = Queue(replace(SMALL, room=1))
    for rank in (Rank.LOW, Rank.LOW, Rank.LOW, Rank.HIGH, Rank.HIGH):
        queue.arrive(rank, 0)
    shed = queue.figures(0).shed
    assert (shed["low"], shed["high"]) == ({"evicted": 1}, {"full": 1})


def test_every_priority_has_its_place_below_an_emergency() -> None:
    found = [admission.rank(priority, emergency=False) for priority in Priority]
    assert found == ORDER[1:]
    assert {admission.rank(priority, emergency=True) for priority in Priority} == {ORDER[0]}


@pytest.mark.parametrize("name", [n for n in QueueSettings.__dataclass_fields__ if n != "room"])
def test_a_line_that_serves_nobody_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=name):
        Queue(replace(SMALL, **{name: 0}))


@pytest.mark.parametrize(
    ("waiting", "served_us", "said_s"), [(0, 10_000, 1), (99, 1_000_000, 10), (9999, 1e9, 30)]
)
def test_the_time_to_come_back_is_when_the_line_has_passed(
    waiting: int, served_us: float, said_s: int
) -> None:
    assert admission.come_back_s(waiting, 10, served_us) == said_s
