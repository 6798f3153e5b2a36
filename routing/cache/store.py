"""The response cache of a process: memory first, then Redis; equal questions share one answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from routing.cache.memory import Memory

if TYPE_CHECKING:
    from routing.cache.shared import Shared


@dataclass(slots=True)
class Flight:
    """One question under way; whoever leads it lands what the others wait for, if anything."""

    landed: asyncio.Future[bytes | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def land(self, value: bytes) -> None:
        """Give `value` to everybody who waits."""
        if not self.landed.done():
            self.landed.set_result(value)


class ResponseCache:
    """One instance a process; belongs to its event loop."""

    def __init__(
        self, *, shared: Shared | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.memory = Memory(clock)
        self._shared = shared
        self._flights: dict[bytes, Flight] = {}

    async def get(self, key: bytes) -> bytes | None:
        """Return what was answered to `key`, None where nothing is kept any more.

        What only Redis had is not taken into memory: its term is known there alone.
        """
        found = self.memory.get(key)
        if found is None and self._shared is not None:
            found = await self._shared.get(key)
        return found

    async def put(self, key: bytes, value: bytes, ttl_s: int) -> None:
        """Keep `value` for `ttl_s` seconds."""
        self.memory.put(key, value, ttl_s)
        if self._shared is not None:
            await self._shared.put(key, value, ttl_s)

    async def wait_for_leader(self, key: bytes, seconds: float) -> bytes | None:
        """Return what the one who asks `key` now gets; None without one, or if he gets nothing."""
        flight = self._flights.get(key)
        if flight is None or seconds <= 0:
            return None
        await asyncio.wait({flight.landed}, timeout=seconds)
        return flight.landed.result() if flight.landed.done() else None

    @contextmanager
    def leading(self, key: bytes) -> Iterator[Flight]:
        """Ask `key` for all who come meanwhile; those who wait are let go at the end of the block.

        Where somebody leads already, this one goes alone: that leader came back with nothing, or
        takes too long.
        """
        flight = Flight()
        first = self._flights.setdefault(key, flight) is flight
        try:
            yield flight
        finally:
            if first:
                del self._flights[key]
            if not flight.landed.done():
                flight.landed.set_result(None)

    async def close(self) -> None:
        """Let go of Redis."""
        if self._shared is not None:
            await self._shared.close()
