"""How a background loop runs: its own thread, its own connection, no failure that ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from django.db import Error, connection

from routing import patience

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
Loop = Callable[[], Awaitable[None]]


class Hand:
    """One thread with one database connection that stays open between jobs."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._failing = False

    async def do(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `job` on the thread and return what it returns; raises what it raises."""
        loop = asyncio.get_running_loop()

        def work() -> T:
            with patience.within(patience.LOOP_S):
                return job(*args, **kwargs)

        return await loop.run_in_executor(self._thread, work)

    async def try_to(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Run `job`; a database that is away is logged and gives None, to be tried again."""
        try:
            done = await self.do(job, *args, **kwargs)
        except Error as error:
            # Told whole once: an outage of an hour would fill the log with the same words.
            log.error(
                "%s: the database did not take it (%s); the next round tries again.",
                self._name,
                " ".join(str(error).split())[:200],
                exc_info=not self._failing,
            )
            self._failing = True
            await self.do(_let_go)
            return None
        self._failing = False
        return done

    async def end(self) -> None:
        """Close the connection and let the thread go."""
        await self.do(_let_go)
        self._thread.shutdown(wait=False)


def _let_go() -> None:
    connection.close()  # looked up here: each thread has a connection of its own


def let_pool_go() -> None:
    """Close the pool of PostgreSQL connections without waiting for what it still tries.

    At the end of the process it would wait five seconds for a database that is away.
    """
    pool = getattr(connection, "pool", None)
    if pool is not None:
        pool.close(timeout=0)


@asynccontextmanager
async def hand(name: str) -> AsyncIterator[Hand]:
    """Lend a hand named `name` for the length of a loop."""
    one = Hand(name)
    try:
        yield one
    finally:
        await asyncio.shield(one.end())


async def every(seconds: float, name: str, job: Callable[[], object]) -> None:
    """Run `job` every `seconds`, for as long as the server lives."""
    async with hand(name) as one:
        while True:
            await one.try_to(job)
            await asyncio.sleep(seconds)
