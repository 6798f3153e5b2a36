"""The breakers of this process: one circuit per environment, path and target, under one lock.

The lock is held only while values are swapped; the guarded call runs outside it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from routing.core import circuit
from routing.core.circuit import Circuit, CircuitSettings, Permit, Result, Transition
from routing.core.values import Breaker, EnvironmentName, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a breaker guards; `target` is region and model, or the MCP server."""

    environment: EnvironmentName
    path: Path
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One breaker as a page shows it; times are µs of the board's clock, `wait_us` to its end."""

    key: Key
    state: Breaker
    wait_us: int
    history: tuple[Transition, ...]


def monotonic_us() -> int:
    """Return the monotonic clock in µs: breakers do not care what time it is."""
    return time.monotonic_ns() // 1000


class Board:
    """All breakers of one process."""

    def __init__(
        self,
        settings: CircuitSettings | None = None,
        clock: Callable[[], int] = monotonic_us,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings or CircuitSettings()
        circuit.check(self._settings)
        self._clock = clock
        self._jitter = jitter
        self._circuits: dict[Key, Circuit] = {}
        self._lock = threading.Lock()

    def admit(self, key: Key) -> Permit | None:
        """Return leave for one call, None where the breaker holds it back."""
        with self._lock:
            after, permit = circuit.admit(self._get(key), self._settings, self._clock())
            self._circuits[key] = after
            return permit

    def settle(self, key: Key, permit: Permit, result: Result) -> None:
        """Count the call of `permit`; one of an older generation counts for nothing."""
        with self._lock:
            self._circuits[key] = circuit.settle(
                self._get(key), self._settings, permit, result, self._clock(), self._jitter()
            )

    def cancel(self, key: Key, permit: Permit) -> None:
        """Give the slot of `permit` back without counting its call."""
        with self._lock:
            self._circuits[key] = circuit.cancel(self._get(key), permit)

    def probe_ok(self, key: Key) -> None:
        """Let a good probe that made a real call end an open breaker's wait."""
        with self._lock:
            self._circuits[key] = circuit.probe_ok(self._get(key), self._clock())

    def forget(self, key: Key) -> None:
        """Drop the breaker of `key`, such as one that a check made to try the board."""
        with self._lock:
            self._circuits.pop(key, None)

    def state(self, key: Key) -> Breaker:
        """Return the state now."""
        return circuit.state(self._get(key), self._clock())

    def generation(self, key: Key) -> int:
        """Return how often the breaker of `key` has changed its state."""
        return self._get(key).generation

    def wait_us(self, key: Key) -> int:
        """Return how long until an open or forced state ends, 0 where none runs."""
        return circuit.wait_us(self._get(key), self._clock())

    def views(self) -> tuple[View, ...]:
        """Return every breaker that was ever used, in a stable order."""
        now_us = self._clock()
        with self._lock:
            circuits = dict(self._circuits)
        return tuple(
            View(
                key=key,
                state=circuit.state(value, now_us),
                wait_us=circuit.wait_us(value, now_us),
                history=value.history,
            )
            for key, value in sorted(circuits.items(), key=lambda item: str(item[0]))
        )

    def _get(self, key: Key) -> Circuit:
        return self._circuits.get(key) or Circuit()
