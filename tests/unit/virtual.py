"""An event loop whose time passes only when everybody waits: seconds cost nothing, and repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer instead of waiting for it."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        inner: Any = self
        timers = [one.when() for one in inner._scheduled if not one.cancelled()]
        if not timers and not inner._ready:
            raise AssertionError("everybody waits, and nothing will ever happen")
        if not inner._ready:
            self.now_s = max(self.now_s, min(timers))
        super()._run_once()  # type: ignore[misc]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
