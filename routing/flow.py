"""One answer on its way to a caller piece by piece: its limits, and what was passed on.

What is decided before the first piece and booked around it is the router's; here nothing is
tried twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from routing.core.values import Failure, Path, Reason
from routing.paths.base import Answer, PathError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds between two pieces, also for a caller to take one; and for all of them."""

    gap_s: float = 10.0
    whole_s: float = 300.0


class Left(Exception):
    """The caller no longer takes what it asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What is known when the first piece is there; its record is on disk.

    `path` is None for an answer that is given again.
    """

    decision_id: str
    path: Path | None
    reason: Reason

    @property
    def in_one_piece(self) -> bool:
        """Whether the answer comes as one piece: MCP has no other, nor has the cache."""
        return self.path is not Path.DIRECT_BEDROCK


class Outlet(Protocol):
    """Where the pieces go: a door's connection to its caller."""

    async def open(self, opening: Opening) -> None:
        """Begin the answer; nothing went out before."""
        ...

    async def piece(self, text: str) -> None:
        """Pass on one piece, at once; it is well-formed Unicode."""
        ...


@dataclass(slots=True, kw_only=True)
class Flow:
    """One stream; `begin` books that it begins. `first_at` is on the monotonic clock.

    `size` counts bytes of UTF-8.
    """

    outlet: Outlet
    begin: Callable[[Path | None], Awaitable[Opening]]
    limits: Limits
    first_at: float | None = None
    pieces: int = 0
    size: int = 0
    _ends: float = field(init=False)

    def __post_init__(self) -> None:
        self._ends = time.monotonic() + self.limits.whole_s

    @property
    def begun(self) -> bool:
        """Whether the caller has been told that an answer begins."""
        return self.first_at is not None

    async def carry(
        self, stream: AsyncGenerator[str | Answer], path: Path, *, first_s: float
    ) -> Answer:
        """Pass on what `stream` yields and return the whole answer; closes `stream` in any case.

        Raises TimeoutError when nothing came within `first_s`, PathError when it fails or broke
        off, Left when the caller takes no more, and what `begin` raises.
        """
        async with aclosing(stream):
            async with asyncio.timeout(first_s):
                item = await anext(stream, None)
            if item is not None:
                await self._open(path)
            while isinstance(item, str):
                await self._pass_on(item)
                item = await self._next(stream)
        if item is None:
            raise PathError(Failure.TRUNCATED, "The stream ended without an end of its answer.")
        return item

    async def give(self, answer: Answer) -> None:
        """Pass on an answer that is there already, in one piece; raises Left, and as `begin`."""
        await self._open(None)
        await self._pass_on(answer.text)

    async def _open(self, path: Path | None) -> None:
        self.first_at = time.monotonic()
        try:
            opening = await self.begin(path)
        except Exception:
            self.first_at = None  # nothing has begun
            raise
        await self._within(self.outlet.open(opening))

    async def _pass_on(self, text: str) -> None:
        if not text:
            return
        data = text.encode("utf-8", "replace")
        self.pieces += 1
        self.size += len(data)
        await self._within(self.outlet.piece(data.decode()))

    async def _within(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self.limits.gap_s):
                await sending
        except TimeoutError:
            raise Left from None

    async def _next(self, stream: AsyncGenerator[str | Answer]) -> str | Answer | None:
        gap_s, left_s = self.limits.gap_s, self._ends - time.monotonic()
        try:
            async with asyncio.timeout(min(gap_s, left_s)):
                return await anext(stream, None)
        except TimeoutError:
            if left_s < gap_s:
                text = f"The answer was not over after {self.limits.whole_s:g} s."
                raise PathError(Failure.TIMEOUT, text) from None
            text = f"No further piece within {gap_s:g} s."
            raise PathError(Failure.TRUNCATED, text) from None
