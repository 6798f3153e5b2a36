"""How much one token may ask: requests a second, and how many at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from routing.breakers.reserve import Slots
from routing.core.errors import TooMany


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """For each token of one process."""

    per_second: int = 200
    at_once: int = 64


class Quota:
    """Counts in this process's memory; belongs to one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rate = RateLimitItemPerSecond(limits.per_second)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._slots = Slots()

    async def hit(self, token: str) -> None:
        """Count one request; raises TooMany, saying when to come back."""
        if await self._limiter.hit(self._rate, token):
            return
        raise TooMany(
            f"This token may send {self._limits.per_second} requests a second; slow down.",
            retry_after_s=1,  # the window is a second long
        )

    @contextmanager
    def hold(self, token: str) -> Iterator[None]:
        """Hold one of the token's places for the block; raises TooMany when all are taken."""
        with self._slots.hold(token, most=self._limits.at_once) as free:
            if not free:
                raise TooMany(
                    f"This token has {self._limits.at_once} requests under way; wait for one to "
                    "end.",
                    retry_after_s=1,
                )
            yield
