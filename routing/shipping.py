"""The loop that copies this process's decisions, and what it knows of those that still wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from routing import loops, stream
from routing.budgeting import Budgets
from routing.cost import spend
from routing.decisions import shipper
from routing.decisions.log import DecisionLog
from routing.decisions.queries import Backlog
from routing.decisions.shipper import Shipper

AGAIN_S = 5.0  # the longest pause while the database is away
TOLD_S = 1.0  # pages need no more; thousands may be shipped within a second


class Shipping:
    """Ships what `log` writes to `folder`, and what the processes before this one left there."""

    def __init__(
        self,
        folder: Path,
        *,
        log: DecisionLog,
        clock: Callable[[], datetime],
        pause_s: float,
        budgets: Budgets,
    ) -> None:
        self._log = log
        self._clock = clock
        self._pause_s = pause_s
        self.budgets = budgets
        self._caught_up_at = clock()
        self.shipper = Shipper(
            folder,
            live=log.stream,
            synced=lambda: log.synced,
            count=spend.add,
            known=log.fresh.take,
        )

    async def run(self) -> None:
        """Copy what is new; without pause while much waits, ever more rarely without database."""
        async with loops.hand("shipper") as hand:
            untold, told_at, pause_s = 0, 0.0, self._pause_s
            while True:
                await hand.do(self.shipper.close_the_dead, self._clock())
                began, copied = self._clock(), await hand.try_to(self.shipper.ship)
                untold += copied or 0
                if copied is not None:
                    await hand.try_to(self.budgets.look, self.shipper.stored(), self._clock())
                now_s = asyncio.get_running_loop().time()
                if untold and now_s - told_at >= TOLD_S:
                    await hand.try_to(stream.announce, "decisions", None)
                    untold, told_at = 0, now_s
                pause_s = self._pause(copied, began, pause_s)
                await asyncio.sleep(pause_s)

    def _pause(self, copied: int | None, began: datetime, last_s: float) -> float:
        """Return how long to wait after a round that began then and copied so much."""
        if copied is None:
            return min(max(last_s, self._pause_s) * 2, AGAIN_S)
        if copied >= shipper.AT_ONCE:
            return 0
        self._caught_up_at = began
        return self._pause_s

    def backlog(self) -> Backlog:
        """Return what the database lacks; asks nobody but this process's memory and disk."""
        return Backlog(
            stream=self._log.stream,
            on_disk=self._log.synced,
            waiting=self.shipper.lag(),
            since=self._caught_up_at,
            others=self.shipper.others(),
            lost=self._log.lost,
            problem=self._log.problem,
            broken=dict(self.shipper.broken),
        )
