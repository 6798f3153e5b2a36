"""Idempotency keys: a request under a key is carried out once, however often it is sent.

In flight: who sends it again gets the same answer. Ended: the decision's id, for answers are not
kept. This process knows the keys of its own requests, exactly, and those that the decision records
under its HYBRIDOPS_HOME name; it does not know what another process is asked.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from routing.api.refusals import KeyReused, Repeated
from routing.core.errors import Invalid, TooMany, Unavailable
from routing.core.once import KEPT_S, Once, used_up
from routing.decisions.recent import Kept
from routing.router import Routed, new_id

MOST = 100_000  # keys; beyond it the oldest ended one is forgotten early
END_WITHIN_S = 1.0
LEARN_WITHIN_S = 5.0
KEPT = timedelta(seconds=KEPT_S)


@dataclass(slots=True, kw_only=True)
class _Entry:
    body: str
    decision_id: str
    at: datetime
    task: asyncio.Task[Routed] | None = None


class Keys:
    """The keys of this process; belongs to one event loop. Keyed requests wait for `learn`."""

    def __init__(self, clock: Callable[[], datetime], most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # in the order of their beginning
        self._learned = asyncio.Event()

    def learn(self, kept: Iterable[Kept]) -> None:
        """Take in what an earlier process of this home left, and let keyed requests begin."""
        for one in sorted(kept, key=lambda found: found.at):
            entry = _Entry(body=one.body, decision_id=one.decision_id, at=one.at)
            self._entries.setdefault(one.key, entry)
        self._learned.set()

    async def once(
        self, key: str, body: str, work: Callable[[Once], Coroutine[Any, Any, Routed]]
    ) -> Routed:
        """Return what became of the request; `work` carries it out where nobody has.

        It goes on when its callers leave, so that one who comes back can still join. Raises
        Repeated, KeyReused, Unavailable while earlier keys are not known, and whatever `work`
        raises.
        """
        await self._until_learned()
        self._forget()
        entry = self._entries.get(key)
        if entry is None:
            entry = self._begin(key, body, work)
        if entry.body != body:
            raise KeyReused(
                "This Idempotency-Key came with another request before; use a new key.",
                decision_id=entry.decision_id,
            )
        if entry.task is None:
            raise Repeated(
                f"This request was carried out before, as decision {entry.decision_id}. Its "
                "answer is not kept, as no prompt and no answer is; use a new key to ask again.",
                decision_id=entry.decision_id,
            )
        return await asyncio.shield(entry.task)

    async def _until_learned(self) -> None:
        if self._learned.is_set():
            return
        try:
            async with asyncio.timeout(LEARN_WITHIN_S):
                await self._learned.wait()
        except TimeoutError:
            raise Unavailable(
                "This server still reads which keys were used before; send it again in a moment, "
                "or without the key.",
                retry_after_s=5,
            ) from None

    async def close(self) -> None:
        """Cut off what is still under way; it books that."""
        tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_WITHIN_S)

    def _begin(
        self, key: str, body: str, work: Callable[[Once], Coroutine[Any, Any, Routed]]
    ) -> _Entry:
        now = self._clock()
        once = Once(key=key, body=body, decision_id=new_id(now))
        entry = _Entry(body=body, decision_id=once.decision_id, at=now)
        self._entries[key] = entry
        entry.task = asyncio.create_task(self._carry_out(once, entry, work(once)))
        entry.task.add_done_callback(_look_at)
        return entry

    async def _carry_out(
        self, once: Once, entry: _Entry, work: Coroutine[Any, Any, Routed]
    ) -> Routed:
        spent = True  # whatever broke, it may have been carried out
        try:
            done = await work
            found = [a.failure for a in done.attempts if a.failure is not None]
            spent = used_up(answered=done.answer is not None, failures=found)
            return done
        except (TooMany, Invalid):  # refused before anything was tried
            spent = False
            raise
        finally:
            entry.task = None
            if not spent:
                del self._entries[once.key]

    def _forget(self) -> None:
        since = self._clock() - KEPT
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            fresh = oldest.at > since and len(self._entries) <= self._most
            if fresh or oldest.task is not None:
                return
            del self._entries[key]


def fresh(clock: Callable[[], datetime]) -> Keys:
    """Return keys that know of no earlier process."""
    keys = Keys(clock)
    keys.learn(())
    return keys


def _look_at(task: asyncio.Task[Routed]) -> None:
    """Retrieve an error that no caller has stayed for; it is booked by now."""
    if not task.cancelled():
        task.exception()
