"""How many calls of one client are under way at once, and how many may wait for a place."""

from __future__ import annotations

import asyncio

from routing.core.values import Failure
from routing.paths import base
from routing.paths.base import PathError
from routing.paths.bedrock_patience import Patience

MOST_WAITING = 256


class Slots:
    """A bounded number of places with a line of bounded length before them."""

    def __init__(self, most: int) -> None:
        self._places = asyncio.Semaphore(most)
        self._waiting = 0

    async def take(self, patience: Patience) -> None:
        """Wait for a place, within the call's time; raises PathError (not sent).

        That is where the line is full, and where the breaker opened while it waited.
        """
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        full = PathError(Failure.QUEUE_FULL, "All places of this client are taken.", sent=False)
        if self._waiting >= MOST_WAITING:
            raise full
        self._waiting += 1
        try:
            async with asyncio.timeout(patience.left_s()):
                await self._places.acquire()
        except TimeoutError:
            raise full from None
        finally:
            self._waiting -= 1
        try:
            base.ask_leave(patience.may_go)
        except PathError:
            self.free()
            raise

    def free(self) -> None:
        """Give a place back."""
        self._places.release()
