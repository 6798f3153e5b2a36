"""Who starts, who waits and who is sent away: the line before execution, in integer µs.

Anybody starts while fewer than `capacity` run; an emergency while fewer than `capacity +
reserved` do, so nobody else can take the reserved places. Who waits starts by rank, then by
arrival. A full room sends away the youngest of the lowest rank, which may be the newcomer.

A short queue absorbs bursts; a standing one only makes everybody late. So waiting is cut to
`overload_wait_us` from `overload_after_us` after the first had to wait, until a place has been
free for as long ("controlled delay", Nichols and Jacobson 2012, as Facebook's "Fail at Scale"
applies it; without the second part an overload would end with every gap between two arrivals).
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from routing.core.errors import Invalid
from routing.core.values import Priority


class Rank(StrEnum):
    """Who goes first; an emergency is an operation, above every priority that a caller names."""

    EMERGENCY = "emergency"
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Shed(StrEnum):
    """Why a request was sent away."""

    FULL = "full"  # nobody in the room ranked lower, or too many are ahead
    EVICTED = "evicted"  # somebody came who ranks higher
    WAITED = "waited"  # its time in the line was over


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Places and times of one process.

    `capacity`: the paths hang for 18 s at most while a fallback is left (60 % of 30 s), so 50
    requests a second need 900 places until the breaker opens; a waiting call costs memory, not
    CPU. Nobody waits longer than `longest_wait_us`, nor for more than half of what is left.
    """

    capacity: int = 1024
    reserved: int = 16
    room: int = 128
    longest_wait_us: int = 2_000_000
    overload_wait_us: int = 25_000
    overload_after_us: int = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One request in the line or under way."""

    number: int
    rank: Rank
    since_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """`started`: go on at once. Otherwise it waits, unless `shed` names it; others may be shed
    in its favour."""

    ticket: Ticket
    started: bool
    shed: Mapping[int, Shed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a page, a report and a metric show; `waiting` and `shed` by rank."""

    capacity: int
    reserved: int
    room: int
    in_use: int
    waiting: Mapping[str, int]
    oldest_wait_us: int
    overloaded: bool
    shed: Mapping[str, Mapping[str, int]]


_RANKS = tuple(Rank)
_BY_PRIORITY: Mapping[Priority, Rank] = {priority: Rank(str(priority)) for priority in Priority}
_HALF = 2


def rank(priority: Priority, *, emergency: bool) -> Rank:
    """Return where a request stands in the line."""
    return Rank.EMERGENCY if emergency else _BY_PRIORITY[priority]


def check(settings: QueueSettings) -> None:
    """Raise Invalid, naming the setting, unless requests can run and emergencies have a place."""
    for name in settings.__dataclass_fields__:
        least = 0 if name == "room" else 1
        if getattr(settings, name) < least:
            raise Invalid(f"Set the queue's {name} to at least {least}.")


def come_back_s(waiting: int, capacity: int, served_us: float) -> int:
    """Return the seconds after which the line should have passed: 1 to 30."""
    drain_s = (waiting + 1) * served_us / capacity / 1_000_000
    return min(30, max(1, math.ceil(drain_s)))


class Queue:
    """The line of one process; every method leaves nobody waiting who could start."""

    def __init__(self, settings: QueueSettings) -> None:
        check(settings)
        self.settings = settings
        self._running: dict[int, Ticket] = {}
        self._lines: dict[Rank, OrderedDict[int, Ticket]] = {r: OrderedDict() for r in _RANKS}
        self._issued = 0
        self._full_since_us: int | None = None  # when the first had to wait
        self._free_since_us: int | None = None  # when a place became free
        self._left_us = 0  # when a place was given back last
        self._counts: dict[Rank, Counter[Shed]] = {r: Counter() for r in _RANKS}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._lines.values()))

    def arrive(self, rank: Rank, now_us: int) -> Arrival:
        """Take a newcomer in: it starts, waits, or somebody is shed."""
        self._issued += 1
        ticket = Ticket(number=self._issued, rank=rank, since_us=now_us)
        if self._may_start(rank):
            self._running[ticket.number] = ticket
            self._note_free(now_us)
            return Arrival(ticket=ticket, started=True)
        shed = self.overdue(now_us)
        if self.waiting >= self.settings.room:
            out = self._lowest(rank) or ticket
            shed[out.number] = Shed.FULL if out is ticket else Shed.EVICTED
            self._take_out(out)
            self._counts[out.rank][shed[out.number]] += 1
        if ticket.number not in shed:
            if self._full_since_us is None:
                self._full_since_us = now_us
            self._lines[rank][ticket.number] = ticket
        return Arrival(ticket=ticket, started=False, shed=shed)

    def turn_away(self, rank: Rank, now_us: int, served_us: float) -> bool:
        """Tell whether a newcomer could only wait in vain; it is counted as shed.

        The room is full of those who rank no lower; or, in an overload, more of them wait than
        places come free in the time that one may wait: as often as with each held for
        `served_us`, and no oftener than lately. Never an emergency.
        """
        if rank is Rank.EMERGENCY or self._may_start(rank):
            return False
        ahead = sum(len(self._lines[r]) for r in _RANKS[: _RANKS.index(rank) + 1])
        full = ahead >= self.settings.room
        if not full and self.overloaded(now_us):
            every_us = max(served_us / self.settings.capacity, now_us - self._left_us)
            full = ahead * every_us > self.settings.overload_wait_us
        if full:
            self._counts[rank][Shed.FULL] += 1
        return full

    def patience_us(self, ticket: Ticket, now_us: int) -> int:
        """Return how long `ticket` may wait from now on, at most.

        Beyond half a room the line is long enough to be late, burst or not.
        """
        crowded = self.waiting > self.settings.room // _HALF
        if ticket.rank is not Rank.EMERGENCY and (crowded or self.overloaded(now_us)):
            return self.settings.overload_wait_us
        return self.settings.longest_wait_us

    def leave(self, ticket: Ticket, now_us: int) -> list[Ticket]:
        """Give the place of `ticket` back; return who starts in its stead, at most once."""
        if self._running.pop(ticket.number, None) is None:
            return []
        self._left_us = now_us
        started = []
        while (first := self._first()) is not None and self._may_start(first.rank):
            self._take_out(first)
            self._running[first.number] = first
            started.append(first)
        self._note_free(now_us)
        return started

    def withdraw(self, ticket: Ticket, why: Shed | None = None) -> bool:
        """Take `ticket` out of the line; False where it waits no more. `why` counts it as shed."""
        if ticket.number not in self._lines[ticket.rank]:
            return False
        self._take_out(ticket)
        if why is not None:
            self._counts[ticket.rank][why] += 1
        return True

    def overdue(self, now_us: int) -> dict[int, Shed]:
        """Send away, by number, whom the overload found with more patience than is left now."""
        shed: dict[int, Shed] = {}
        if not self.overloaded(now_us):
            return shed
        for rank in _RANKS[1:]:
            line = self._lines[rank]
            while line:
                oldest = next(iter(line.values()))
                if now_us - oldest.since_us < self.settings.overload_wait_us:
                    break
                del line[oldest.number]
                shed[oldest.number] = Shed.WAITED
                self._counts[rank][Shed.WAITED] += 1
        return shed

    def overloaded(self, now_us: int) -> bool:
        """Tell whether places have been short for too long to call it a burst."""
        since_us = self._full_since_us
        if since_us is None or self._calm(now_us):
            return False
        return now_us - since_us >= self.settings.overload_after_us

    def figures(self, now_us: int) -> Figures:
        """Return what is in use, who waits and who was sent away so far."""
        oldest = [next(iter(line.values())).since_us for line in self._lines.values() if line]
        return Figures(
            capacity=self.settings.capacity,
            reserved=self.settings.reserved,
            room=self.settings.room,
            in_use=len(self._running),
            waiting={str(r): len(line) for r, line in self._lines.items()},
            oldest_wait_us=max(0, now_us - min(oldest)) if oldest else 0,
            overloaded=self.overloaded(now_us),
            shed={str(r): {str(s): n for s, n in c.items()} for r, c in self._counts.items()},
        )

    def _calm(self, now_us: int) -> bool:
        since_us = self._free_since_us
        return since_us is not None and now_us - since_us >= self.settings.overload_after_us

    def _note_free(self, now_us: int) -> None:
        if self._may_start(Rank.LOW):
            if self._free_since_us is None:
                self._free_since_us = now_us
            return
        if self._calm(now_us):
            self._full_since_us = None
        self._free_since_us = None

    def _may_start(self, rank: Rank) -> bool:
        places = self.settings.capacity
        if rank is Rank.EMERGENCY:
            places += self.settings.reserved
        return len(self._running) < places

    def _first(self) -> Ticket | None:
        return next((next(iter(line.values())) for line in self._lines.values() if line), None)

    def _lowest(self, above: Rank) -> Ticket | None:
        """Return the youngest of the lowest rank that waits below `above`."""
        for rank in reversed(_RANKS[_RANKS.index(above) + 1 :]):
            if self._lines[rank]:
                return next(reversed(self._lines[rank].values()))
        return None

    def _take_out(self, ticket: Ticket) -> None:
        self._lines[ticket.rank].pop(ticket.number, None)
