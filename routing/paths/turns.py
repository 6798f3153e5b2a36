"""A bounded number of calls at a time, and a bounded line before them: the most urgent first.

Within one priority first come, first served. When the line is full, the last comer of the lowest
priority makes room for a more urgent one. Without a wait it costs no turn of the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from routing.core.values import Failure, Priority
from routing.paths.base import PathError

AT_ONCE = 64  # one connection each; a server of the SDK is busy with far fewer
LONGEST = 256
_URGENT_FIRST = (Priority.CRITICAL, Priority.HIGH, Priority.MEDIUM, Priority.LOW)
_RANK = {priority: rank for rank, priority in enumerate(_URGENT_FIRST)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How a line stands: calls under way and waiting, how long the first comer has waited.

    At most `at_once` are under way and `longest` wait. `refused` counts those that found it full,
    were pushed out, or waited in vain.
    """

    at_once: int
    longest: int
    under_way: int
    waiting: int
    oldest_ms: int
    refused: int


@runtime_checkable
class HasLine(Protocol):
    """A client whose calls may have to wait."""

    def line(self) -> Line: ...


@dataclass(slots=True)
class _Waiter:
    since: float
    turn: asyncio.Future[None]


class Turns:
    """Gives turns; whoever was given one by `take` gives it back by `give_back`."""

    def __init__(self, *, at_once: int = AT_ONCE, longest: int = LONGEST) -> None:
        self._at_once = at_once
        self._longest = longest
        self._under_way = 0
        self._refused = 0
        self._lines: tuple[OrderedDict[int, _Waiter], ...] = tuple(
            OrderedDict() for _ in _URGENT_FIRST
        )
        self._number = 0

    async def take(self, priority: Priority, within_s: float) -> None:
        """Return when it is this call's turn; raises PathError (queue_full, nothing sent)."""
        # Whoever leaves hands the turn on, so with somebody waiting none is free.
        if self._under_way < self._at_once:
            self._under_way += 1
            return
        rank = _RANK[priority]
        if self._waiting() >= self._longest and not self._push_out(rank):
            raise self._refusal("All slots of this MCP server and all places in line are taken.")
        await self._wait(rank, within_s)

    async def _wait(self, rank: int, within_s: float) -> None:
        self._number += 1
        number = self._number
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line = self._lines[rank]
        line[number] = _Waiter(since=time.monotonic(), turn=turn)
        try:
            async with asyncio.timeout(within_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()  # the turn came and the caller went in the same moment
            if isinstance(error, TimeoutError):
                raise self._refusal("No slot came free in the time of the call.") from None
            raise
        finally:
            line.pop(number, None)

    def give_back(self) -> None:
        """End a turn: the next in line has it."""
        for line in self._lines:
            while line:
                _, waiter = line.popitem(last=False)
                if not waiter.turn.done():
                    waiter.turn.set_result(None)
                    return
        self._under_way -= 1

    def look(self) -> Line:
        """Return how the line stands."""
        now = time.monotonic()
        firsts = [next(iter(line.values())).since for line in self._lines if line]
        return Line(
            at_once=self._at_once,
            longest=self._longest,
            under_way=self._under_way,
            waiting=self._waiting(),
            oldest_ms=int((now - min(firsts, default=now)) * 1000),
            refused=self._refused,
        )

    def _waiting(self) -> int:
        return sum(map(len, self._lines))

    def _push_out(self, rank: int) -> bool:
        """Take the last comer of the lowest priority out, if that is below `rank`."""
        for line in reversed(self._lines[rank + 1 :]):
            while line:
                _, waiter = line.popitem()
                if not waiter.turn.done():
                    waiter.turn.set_exception(self._refusal("A more urgent call took its place."))
                    return True
        return False

    def _refusal(self, why: str) -> PathError:
        self._refused += 1
        return PathError(Failure.QUEUE_FULL, why, sent=False)
