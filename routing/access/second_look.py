"""One more look for a token that this process does not know: it may have been issued just now.

Without it a fresh token would be refused until the next poll, or until the announcement is heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

PAUSE_S = 0.2  # so often at most, however many strangers ask
WITHIN_S = 1.0  # a database that is away must not hold a caller up for longer


class SecondLook:
    """Has the tokens read again by `read`; all who wait share a reading."""

    def __init__(self, read: Callable[[], Awaitable[object]], pause_s: float = PAUSE_S) -> None:
        self._read = read
        self._pause_s = pause_s
        self._begun = self._ended = 0
        self._last = float("-inf")
        self._looking: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return once a reading has ended that began after this call, or after `WITHIN_S`."""
        wanted = self._begun + 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHIN_S):
                while self._ended < wanted:
                    if self._looking is None or self._looking.done():
                        self._looking = asyncio.create_task(self._look())
                    await asyncio.shield(self._looking)

    def close(self) -> None:
        """End what is under way."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        await asyncio.sleep(self._last + self._pause_s - time.monotonic())
        self._begun += 1
        self._last = time.monotonic()
        try:
            await self._read()
        finally:
            self._ended = self._begun
