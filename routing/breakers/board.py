"""The breakers of this process: one circuit per environment, path and target, under one lock.

The lock is held only while values are swapped; the guarded call runs outside it, and so does all
talk with the store (`sharing`), which fetches errands here and brings copies back.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from routing.breakers.held import SHARED, Copy, Errand, Held, Key
from routing.core import circuit, window
from routing.core.circuit import Circuit, CircuitSettings, Permit, Result, Transition
from routing.core.values import Breaker

_LETS_ALL_THROUGH = (Breaker.CLOSED, Breaker.FORCED_CLOSED)
_MENDING = (Breaker.HALF_OPEN, Breaker.CLOSED)
__all__ = ["AWAY_US", "Board", "Key", "View", "monotonic_us"]

AWAY_US = 3_000_000  # a store that was not seen for so long is away


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One breaker as a page shows it; `wait_us` is how long its state lasts yet.

    Times are µs of the board's clock, which showed `now_us`. The figures are what this process
    counted; `shared` tells whether it has the store's state.
    """

    key: Key
    state: Breaker
    wait_us: int
    history: tuple[Transition, ...]
    now_us: int
    shared: bool = False
    consecutive: int = 0
    calls: int = 0
    failures: int = 0
    slow: int = 0

    @property
    def shut_for_us(self) -> int | None:
        """How long ago it left closed, as far as its history reaches; None while it is closed."""
        if self.state in _LETS_ALL_THROUGH or not self.history:
            return None
        left = [step for step in self.history if step.source in _LETS_ALL_THROUGH]
        return self.now_us - (left[-1] if left else self.history[0]).at_us


def monotonic_us() -> int:
    """Return the monotonic clock in µs: breakers do not care what time it is."""
    return time.monotonic_ns() // 1000


def nobody() -> None:
    """Nobody shares these breakers."""


class Board:
    """All breakers of one process; alone until somebody brings copies of the stored ones."""

    def __init__(
        self,
        settings: CircuitSettings | None = None,
        clock: Callable[[], int] = monotonic_us,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings or CircuitSettings()
        circuit.check(self.settings)
        self.wake: Callable[[], None] = nobody  # called when the store should hear something
        self._clock = clock
        self._jitter = jitter
        self._helds: dict[Key, Held] = {}
        self._lock = threading.Lock()
        self._era = SHARED + 1
        self._seen_us: int | None = None  # when the store was seen last; None while it is away

    def admit(self, key: Key) -> Permit | None:
        """Return leave for one call, None where the breaker holds it back."""
        with self._lock:
            now_us = self._clock()
            held = self._held(key, now_us)
            moved = len(held.moves)
            permit = held.admit(self.settings, now_us)
            news = len(held.moves) > moved or (held.held_back > 0 and not held.in_vain)
        if news:
            self.wake()
        return permit

    def stands(self, key: Key, permit: Permit) -> bool:
        """Tell whether the call of `permit` may still go out: its breaker has not opened since."""
        held = self._helds.get(key)
        if held is None:
            return True
        now = circuit.aged(held.circuit, self._clock())
        same = (now.generation, now.era) == (permit.generation, permit.era)
        return same or now.stored in _LETS_ALL_THROUGH

    def settle(self, key: Key, permit: Permit, result: Result) -> None:
        """Count the call of `permit`; one of an older generation counts for nothing."""
        with self._lock:
            now_us = self._clock()
            held = self._held(key, now_us)
            held.settle(self.settings, permit, result, now_us, self._jitter)
            news = bool(held.moves or held.ends)
        if news:
            self.wake()

    def cancel(self, key: Key, permit: Permit) -> None:
        """Give the slot of `permit` back without counting its call."""
        with self._lock:
            held = self._held(key, self._clock())
            held.cancel(permit)
            news = bool(held.ends)
        if news:
            self.wake()

    def probe_ok(self, key: Key, took_us: int = 0) -> None:
        """Let a good probe that made a real call, and took so long, end a wait or old trials."""
        with self._lock:
            now_us = self._clock()
            held = self._held(key, now_us)
            held.probe_ok(now_us - took_us, now_us)
            news = bool(held.moves) or held.probed_us is not None
        if news:
            self.wake()

    def forget(self, key: Key) -> None:
        """Drop the breaker of `key`, such as one that a check made to try the board."""
        with self._lock:
            self._helds.pop(key, None)

    def state(self, key: Key) -> Breaker:
        """Return the state now."""
        held = self._helds.get(key)
        if held is None:
            return Breaker.CLOSED
        now_us = held.used_us = self._clock()
        return circuit.state(held.circuit, now_us)

    def mended_ago_us(self, key: Key) -> int | None:
        """Return how long ago it last went half-open or closed, None if it never opened."""
        held = self._helds.get(key)
        if held is None:
            return None
        now_us = self._clock()
        steps = circuit.aged(held.circuit, now_us).history
        return next((now_us - s.at_us for s in reversed(steps) if _mends(s)), None)

    def generation(self, key: Key) -> int:
        """Return how often the breaker of `key` has changed its state."""
        held = self._helds.get(key)
        return held.circuit.generation if held else 0

    def wait_us(self, key: Key) -> int:
        """Return how long until an open or forced state ends, 0 where none runs."""
        held = self._helds.get(key)
        return 0 if held is None else circuit.wait_us(held.circuit, self._clock())

    def views(self) -> tuple[View, ...]:
        """Return every breaker that was ever used, in a stable order."""
        now_us = self._clock()
        with self._lock:
            circuits = {key: held.circuit for key, held in self._helds.items()}
        found = sorted(circuits.items(), key=lambda item: str(item[0]))
        return tuple(_view(key, value, self.settings, now_us) for key, value in found)

    def errands(self) -> tuple[Errand, ...]:
        """Return what the store has to hear; what has ended by now is noticed first."""
        with self._lock:
            now_us = self._clock()
            self._look(now_us)
            shared = [(key, held) for key, held in self._helds.items() if not key.private]
            for _, held in shared:
                held.put(circuit.aged(held.circuit, now_us))
            found = [held.errand(key, now_us) for key, held in shared]
        return tuple(errand for errand in found if errand is not None)

    def done(self, errand: Errand, grants: tuple[Permit, ...]) -> None:
        """Note that the store heard `errand` and gave `grants`."""
        with self._lock:
            held = self._helds.get(errand.key)
            if held is not None:
                held.done(errand, grants, self._clock())

    def take(self, copies: Mapping[Key, Copy], began_us: int) -> None:
        """Become the stored breakers, as read not before `began_us`; without one it is closed."""
        with self._lock:
            now_us = self._clock()
            self._seen_us = began_us
            for key in copies:
                self._helds.setdefault(key, Held(circuit=Circuit(era=self._era)))
            for key, held in self._helds.items():
                if not key.private:
                    held.take(copies.get(key) or Copy(), now_us)

    def part(self) -> None:
        """Go on alone: the store is away."""
        with self._lock:
            self._part()

    def leave(self) -> None:
        """Make ready to end: the trials kept at hand are for other processes to make."""
        with self._lock:
            for held in self._helds.values():
                held.leave()

    def next_us(self) -> int | None:
        """Return how long until the first term of all ends, None where none runs."""
        now_us = self._clock()
        with self._lock:
            waits = [circuit.wait_us(held.circuit, now_us) for held in self._helds.values()]
        return min((wait for wait in waits if wait > 0), default=None)

    def now_us(self) -> int:
        """Return the board's clock."""
        return self._clock()

    def _held(self, key: Key, now_us: int) -> Held:
        self._look(now_us)
        held = self._helds.get(key)
        if held is None:
            held = self._helds[key] = Held(circuit=self._new(key))
        return held

    def _new(self, key: Key) -> Circuit:
        alone = key.private or self._seen_us is None
        return Circuit(era=self._era if alone else SHARED)

    def _look(self, now_us: int) -> None:
        if self._seen_us is not None and now_us - self._seen_us > AWAY_US:
            self._part()

    def _part(self) -> None:
        if self._seen_us is None:
            return
        self._seen_us = None
        self._era += 1
        for key, held in self._helds.items():
            if not key.private:
                held.part(self._era)


def _mends(step: Transition) -> bool:
    """Tell whether trials began here, or had passed before this process heard of them."""
    return step.target in _MENDING and step.source not in _LETS_ALL_THROUGH


def _view(key: Key, found: Circuit, settings: CircuitSettings, now_us: int) -> View:
    seen = window.totals(
        window.recent(
            found.window, now_us=now_us, width_us=settings.bucket_us, span=settings.buckets
        )
    )
    return View(
        key=key,
        state=circuit.state(found, now_us),
        wait_us=circuit.wait_us(found, now_us),
        history=found.history,
        now_us=now_us,
        shared=found.era == SHARED,
        consecutive=found.consecutive,
        calls=seen.calls,
        failures=seen.failures,
        slow=seen.slow,
    )
