"""Events between the test's thread and the server's loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal


class _Event(asyncio.Event):
    """Remembers the loop of who waits, so that another thread can wake it."""

    loop: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> Literal[True]:
        self.loop = asyncio.get_running_loop()
        return await super().wait()


@dataclass(slots=True)
class Gate:
    """Holds a piece back on the server's loop until the test opens it."""

    event: _Event = field(default_factory=_Event)

    def open(self) -> None:
        until(lambda: self.event.loop is not None)
        assert self.event.loop is not None
        self.event.loop.call_soon_threadsafe(self.event.set)


def until(holds: Callable[[], bool], *, most_s: float = 10.0) -> None:
    """Return once `holds` does; fails when it does not within `most_s`."""
    ends = time.monotonic() + most_s
    never = threading.Event()
    while not holds():
        assert time.monotonic() < ends, f"not within {most_s} s"
        never.wait(0.01)
