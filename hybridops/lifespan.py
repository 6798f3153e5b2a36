"""The server's life: loops start with it, are kept alive by it and stop with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from hybridops.edge import Receive, Send

log = logging.getLogger(__name__)

Loop = tuple[str, Callable[[], Awaitable[None]]]

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
# A loop that ran this long before it died was well: its next pause is the first one again.
WELL_AFTER_S = 60.0
STOP_WITHIN_S = 2.0  # the whole end takes 5 s at most


class Life:
    """Holds the tasks between start and stop; `ready` says whether requests should come."""

    def __init__(
        self,
        prepare: Callable[[], Awaitable[Sequence[Loop]]],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        put_away: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._prepare = prepare
        self._put_away = put_away
        self._pause = pause
        self._tasks: list[asyncio.Task[None]] = []
        self.ready = False

    async def run(self, receive: Receive, send: Send) -> None:
        """Speak the lifespan protocol; a start that fails says why and stops the server."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.start()
                except Exception as error:
                    log.exception("the server cannot start")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def start(self) -> None:
        """Prepare, then start every loop as a task of this event loop."""
        for name, loop in await self._prepare():
            self._tasks.append(asyncio.create_task(self._keep(name, loop), name=name))
        self.ready = True

    async def stop(self) -> None:
        """Cancel the loops, wait until they have ended, then put away what `prepare` made."""
        self.ready = False
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            _done, late = await asyncio.wait(self._tasks, timeout=STOP_WITHIN_S)
            for task in late:
                log.error("loop %s did not stop within %s s", task.get_name(), STOP_WITHIN_S)
        self._tasks.clear()
        if self._put_away is not None:
            await self._put_away()

    async def _keep(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        clock = asyncio.get_running_loop().time
        pause_s = FIRST_PAUSE_S
        while True:
            began = clock()
            try:
                await loop()
            except Exception:
                log.exception("loop %s died", name)
                if _is_ending():
                    return
            else:
                log.info("loop %s ended by itself", name)
                return
            pause_s = FIRST_PAUSE_S if clock() - began > WELL_AFTER_S else pause_s
            log.warning("loop %s starts again in %s s", name, pause_s)
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


def _is_ending() -> bool:
    """Tell whether this task was cancelled, even if the loop put another error in its place."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
