"""How processes come to have the same breakers: errands to the store, copies back.

Every call is decided by the copy in memory; this runs beside, on a thread of its own. Between
processes the times are those of the database's clock (`fleet.clock`); how much of a term is left
each process measures by its own. A round that fails leaves the process alone until one succeeds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.breakers import board, held, store
from routing.breakers.board import Board
from routing.breakers.held import Copy, Errand
from routing.breakers.store import Kept
from routing.core import circuit
from routing.core.circuit import Circuit, Permit, PermitKind, Timer, Transition
from routing.core.values import Breaker, EnvironmentName
from routing.fleet import clock

TOPIC = "breakers"
TRIES = 20  # to be the faster one; each loss means that another process got on
PAUSE_S = 0.01  # between two rounds, whatever calls for the next one

log = logging.getLogger(__name__)


class Sharing:
    """Shares the breakers of `board`; one instance a process, one thread at a time."""

    def __init__(
        self,
        *,
        board: Board,
        environments: Sequence[EnvironmentName],
        process: str,
        now: Callable[[], datetime],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._board = board
        self._environments = tuple(environments)
        self._process = process
        self._now = now
        self._jitter = jitter
        self._called = asyncio.Event()
        self._versions: dict[EnvironmentName, int] = {}

    async def keep(self, try_to: Callable[..., Awaitable[bool | None]], poll_s: float) -> None:
        """Make round after round, until cancelled; `try_to` runs one where a database is.

        The next one is due after `poll_s`, at the end of a term, or as soon as something is to
        be told or was announced. A round that gives None leaves the process alone.
        """
        loop = asyncio.get_running_loop()
        self._board.wake = lambda: _call(loop, self._called)
        try:
            while True:
                self._called.clear()
                if await try_to(self.round) is None:
                    self._board.part()
                await asyncio.sleep(PAUSE_S)
                left_us = self._board.next_us()
                wait_s = poll_s if left_us is None else min(poll_s, left_us / 1_000_000)
                with contextlib.suppress(TimeoutError):  # no wait_for: it may lose a cancel
                    async with asyncio.timeout(wait_s):
                        await self._called.wait()
        finally:
            self._board.wake = board.nobody

    def versions(self) -> dict[EnvironmentName, int]:
        """Return how often the breakers of each environment had moved at the last round."""
        return dict(self._versions)

    def hear(self) -> None:
        """Make the next round at once: another process announced something."""
        self._called.set()

    def round(self) -> bool:
        """Tell the store what it has to hear, then become what it holds."""
        began_us = self._board.now_us()
        for errand in self._board.errands():
            if errand.key.environment in self._environments:
                self._run(errand, began_us)
        kept = store.read_all(self._environments)
        at_us = store.at_us(clock.read(self._now()))
        self._board.take({one.key: self._copy(one, at_us) for one in kept}, began_us)
        self._versions = {
            environment: sum(
                one.circuit.generation for one in kept if one.key.environment is environment
            )
            for environment in self._environments
        }
        return True

    def leave(self) -> bool:
        """Tell the store the last that it has to hear: a slot must not wait for its lease."""
        self._board.leave()
        return self.round()

    def _copy(self, kept: Kept, at_us: int) -> Copy:
        return Copy(
            circuit=held.local(kept.circuit, at_us, self._board.now_us()),
            why=kept.why,
            wanted=kept.wanted == kept.circuit.generation,
        )

    def _run(self, errand: Errand, began_us: int) -> None:
        """Run one errand; one that others outrun time and again is left to the next round."""
        for _ in range(TRIES):
            with transaction.atomic():
                if self._board.now_us() - began_us > board.AWAY_US:
                    return  # while we waited for the store, the process went on alone
                kept = store.read(errand.key)
                at_us = store.at_us(clock.read(self._now()))
                after, alone = self._merged(kept, errand, at_us)
                after, grants = self._granted(after, errand.want, at_us)
                stored = self._store(kept, after, errand, alone, short=len(grants) < errand.want)
            if stored:
                self._board.done(errand, grants)
                return
        log.warning("Others changed the breaker of %s %d times in a row.", errand.key, TRIES)

    def _merged(
        self, kept: Kept, errand: Errand, at_us: int
    ) -> tuple[Circuit, tuple[Transition, ...]]:
        """Return the stored circuit after what this process saw, and what it did while alone."""
        after = kept.circuit
        alone: tuple[Transition, ...] = ()
        if errand.alone is not None:
            alone = self._moved(errand, at_us)
            if after.generation == errand.base:
                after = self._joined(after, errand.alone, alone, at_us)
        for move in errand.moves:
            moved = circuit.follow(
                after, self._board.settings, move.generation, move.why, at_us, self._jitter()
            )
            if moved is after:
                break  # others went another way, and what followed here is not theirs
            after = moved
        for end in errand.ends:
            if end.result is None:
                after = circuit.cancel(after, end.permit)
                continue
            after = circuit.settle(
                after, self._board.settings, end.permit, end.result, at_us, self._jitter()
            )
        if errand.probed_us is not None and after.stored is Breaker.HALF_OPEN:
            began_us = at_us - (self._board.now_us() - errand.probed_us)
            after = circuit.probe_ok(after, began_us, at_us)
        return after, alone

    def _moved(self, errand: Errand, at_us: int) -> tuple[Transition, ...]:
        """Return what the process did alone, in the store's time."""
        if errand.alone is None:
            return ()
        ahead_us = at_us - self._board.now_us()
        steps = (step for step in errand.alone.history if step.generation > errand.base)
        return tuple(replace(step, at_us=step.at_us + ahead_us) for step in steps)

    def _joined(
        self, kept: Circuit, alone: Circuit, moves: Sequence[Transition], at_us: int
    ) -> Circuit:
        """Return the stored circuit gone on to where the process is; nobody else had moved it."""
        ahead_us = at_us - self._board.now_us()
        timer = alone.timer
        return replace(
            kept,
            stored=alone.stored,
            generation=alone.generation,
            timer=timer and Timer(since_us=timer.since_us + ahead_us, lasts_us=timer.lasts_us),
            backoff_us=alone.backoff_us,
            leases=(),
            overtaken=(),
            passed=0,
            history=tuple(moves),
        )

    def _granted(
        self, after: Circuit, want: int, at_us: int
    ) -> tuple[Circuit, tuple[Permit, ...]]:
        grants: list[Permit] = []
        while len(grants) < want:
            after, permit = circuit.admit(after, self._board.settings, at_us)
            if permit is None or permit.kind is not PermitKind.TRIAL:
                break
            grants.append(permit)
        return after, tuple(grants)

    def _store(
        self,
        kept: Kept,
        after: Circuit,
        errand: Errand,
        alone: Sequence[Transition],
        *,
        short: bool,
    ) -> bool:
        """Write what changed; what was done alone and lost to others is history all the same."""
        wanted = kept.wanted
        if errand.want:
            in_vain = short and after.stored is Breaker.HALF_OPEN
            wanted = after.generation if in_vain else -1
        joined = bool(alone) and after.generation > kept.circuit.generation
        lost = () if joined else alone
        if (after, wanted) != (kept.circuit, kept.wanted):
            if not store.swap(kept, after, wanted=wanted, process=self._process, alone=joined):
                return False
            if self._is_news(kept, after, wanted):
                stream.announce(TOPIC, errand.key.environment)
        store.note_alone(errand.key, lost, process=self._process)
        return True

    @staticmethod
    def _is_news(kept: Kept, after: Circuit, wanted: int) -> bool:
        """Tell whether others act on it: a move, a trial slot that is waited for."""
        waited = wanted != -1 and (
            wanted != kept.wanted or len(after.leases) < len(kept.circuit.leases)
        )
        return after.generation != kept.circuit.generation or waited


def _call(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the server ends, and its loop has ended
        loop.call_soon_threadsafe(event.set)
