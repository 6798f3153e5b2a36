"""The line before execution, as a coroutine sees it: a place, or words about why there is none.

`core.admission` decides; here are the clock and the futures. It belongs to one event loop: nothing
is awaited between a decision and what follows from it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from routing.core import admission
from routing.core.admission import Figures, Queue, QueueSettings, Rank, Shed, Ticket

WAIT_SHARE = 0.5  # of what is left: who waited must still have time to be answered
SMOOTHING = 0.05  # of each new duration in the average


def monotonic_us() -> int:
    """Return the monotonic clock in µs."""
    return time.monotonic_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`shed` is None for who may go on; the others may come back after `retry_after_s`."""

    waited_us: int = 0
    shed: Shed | None = None
    retry_after_s: int = 1


AT_ONCE = Place()


class _Held:
    """One place for one block."""

    __slots__ = ("_left_s", "_line", "_place", "_rank", "_ticket")

    def __init__(self, line: Admission, rank: Rank, left_s: float) -> None:
        self._line = line
        self._rank = rank
        self._left_s = left_s

    async def __aenter__(self) -> Place:
        self._ticket, self._place = await self._line.take(self._rank, self._left_s)
        return self._place

    async def __aexit__(self, *_: object) -> None:
        if self._ticket is not None:
            self._line.give_back(self._ticket, self._place)


class Admission:
    """The line of one process."""

    def __init__(
        self,
        settings: QueueSettings | None = None,
        clock: Callable[[], int] = monotonic_us,
    ) -> None:
        self._queue = Queue(settings or QueueSettings())
        self._clock = clock
        self._futures: dict[int, asyncio.Future[Shed | None]] = {}
        self._served_us = 1_000_000.0

    def place(self, rank: Rank, *, left_s: float) -> _Held:
        """Hold a place for the block, or give it a shed one; waits at most half of `left_s`."""
        return _Held(self, rank, left_s)

    async def take(self, rank: Rank, left_s: float) -> tuple[Ticket | None, Place]:
        """Return a place with the ticket that gives it back, None for one that was shed."""
        arrival = self._queue.arrive(rank, self._clock())
        if arrival.shed:
            self._settle(arrival.shed)
        ticket = arrival.ticket
        if arrival.started:
            return ticket, AT_ONCE
        shed = arrival.shed.get(ticket.number)
        if shed is None:
            shed = await self._wait(ticket, left_s)
        if shed is not None:
            return None, self._none(ticket, shed)
        return ticket, Place(waited_us=self._clock() - ticket.since_us)

    def give_back(self, ticket: Ticket, place: Place) -> None:
        """Give the place of `ticket` back; it was held since it began to be one."""
        self._leave(ticket)
        held_us = self._clock() - ticket.since_us - place.waited_us
        self._served_us += SMOOTHING * (held_us - self._served_us)

    def turn_away(self, rank: Rank) -> int | None:
        """Return when to come back, for who could only wait in vain; None for everybody else."""
        queue, now_us = self._queue, self._clock()
        if not queue.turn_away(rank, now_us, self._served_us):
            return None
        self._settle(queue.overdue(now_us))
        return self._come_back_s()

    def figures(self) -> Figures:
        """Return what is in use, who waits and who was sent away."""
        return self._queue.figures(self._clock())

    async def _wait(self, ticket: Ticket, left_s: float) -> Shed | None:
        """Return None once `ticket` may start, else why it may not."""
        future: asyncio.Future[Shed | None] = asyncio.get_running_loop().create_future()
        self._futures[ticket.number] = future
        patience_s = self._queue.patience_us(ticket, self._clock()) / 1_000_000
        try:
            # Unlike a timeout it leaves the future alone, so that no start is lost on the way.
            await asyncio.wait([future], timeout=min(patience_s, left_s * WAIT_SHARE))
        except BaseException:
            self._queue.withdraw(ticket)
            self._leave(ticket)  # it may have been started while its caller went away
            raise
        finally:
            del self._futures[ticket.number]
        if future.done():
            return future.result()
        self._queue.withdraw(ticket, Shed.WAITED)
        return Shed.WAITED

    def _leave(self, ticket: Ticket) -> None:
        for started in self._queue.leave(ticket, self._clock()):
            self._wake(started.number, None)

    def _settle(self, shed: Mapping[int, Shed]) -> None:
        for number, why in shed.items():
            self._wake(number, why)

    def _wake(self, number: int, shed: Shed | None) -> None:
        future = self._futures.get(number)
        if future is not None and not future.done():
            future.set_result(shed)

    def _none(self, ticket: Ticket, shed: Shed) -> Place:
        waited_us = self._clock() - ticket.since_us
        return Place(waited_us=waited_us, shed=shed, retry_after_s=self._come_back_s())

    def _come_back_s(self) -> int:
        queue = self._queue
        return admission.come_back_s(queue.waiting, queue.settings.capacity, self._served_us)
