"""A caller's connection as the place where an answer goes out piece by piece."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from types import TracebackType

from routing.api import wire
from routing.api.dialect import Wording
from routing.api.wire import Send
from routing.core.errors import HybridOpsError
from routing.flow import Opening
from routing.router import Routed

PATH, STREAM = "x-hybridops-path", "x-hybridops-stream"
STILL_THERE_S = 3.0  # of silence, before a caller is told that it goes on


@dataclass(slots=True, kw_only=True)
class Outlet:
    """Sends what `wording` makes of each step; nothing is held back or put together.

    Until it is `begun` nothing has gone out, the status neither.
    """

    send: Send
    wording: Wording
    request_id: str
    begun: bool = False
    still_there_s: float = field(default_factory=lambda: STILL_THERE_S)
    _last: float = 0.0
    _telling: asyncio.Task[None] | None = None
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __aenter__(self) -> Outlet:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling

    async def open(self, opening: Opening) -> None:
        """Send status, headers and the first words."""
        self.begun = True
        headers = {
            **wire.always(self.request_id),
            **self.wording.headers,
            "x-accel-buffering": "no",  # nginx would gather what goes out
            wire.DECISION: opening.decision_id,
            STREAM: "one-piece" if opening.in_one_piece else "pieces",
            **({PATH: str(opening.path)} if opening.path else {}),
        }
        await wire.start(self.send, 200, headers)
        await self._put(self.wording.opened(opening))
        if self.wording.still_there:
            self._telling = asyncio.create_task(self._tell())

    async def piece(self, text: str) -> None:
        """Send one piece."""
        await self._put(self.wording.piece(text))

    async def end(self, done: Routed) -> None:
        """Send the end of the answer, or its error, and of the connection's use."""
        await self._put(self.wording.end(done), more=False)

    async def fail(self, error: HybridOpsError) -> None:
        """Send an error of ours in place of an end."""
        await self._put(self.wording.failed(error), more=False)

    async def _put(self, data: bytes, *, more: bool = True) -> None:
        async with self._one_at_a_time:
            self._last = time.monotonic()
            await self.send({"type": "http.response.body", "body": data, "more_body": more})

    async def _tell(self) -> None:
        while True:
            silent_s = time.monotonic() - self._last
            if silent_s >= self.still_there_s:
                await self._put(self.wording.still_there)
                silent_s = 0.0
            await asyncio.sleep(self.still_there_s - silent_s)
