"""How many calls of one client are under way at once, and how many may wait for a place."""

from __future__ import annotations

import asyncio

from routing.core.values import Failure
from routing.paths.base import PathError

MOST_WAITING = 256


class Slots:
    """A bounded number of places with a line of bounded length before them."""

    def __init__(self, most: int) -> None:
        self._places = asyncio.Semaphore(most)
        self._waiting = 0

    async def take(self, timeout_s: float) -> None:
        """Wait for a place, within the call's time; raises PathError (queue full, not sent)."""
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        full = PathError(Failure.QUEUE_FULL, "All places of this client are taken.", sent=False)
        if self._waiting >= MOST_WAITING:
            raise full
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._places.acquire()
        except TimeoutError:
            raise full from None
        finally:
            self._waiting -= 1

    def free(self) -> None:
        """Give a place back."""
        self._places.release()
