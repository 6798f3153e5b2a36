"""What a circuit breaker consists of; `circuit` holds the rules by which it moves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from routing.core import window
from routing.core.errors import Invalid
from routing.core.values import Breaker


class Result(StrEnum):
    """How a call counts. `ignored`: the caller's fault or throttling, it says nothing."""

    SUCCESS = "success"
    FAILURE = "failure"
    SLOW = "slow"
    IGNORED = "ignored"


class PermitKind(StrEnum):
    NORMAL = "normal"
    TRIAL = "trial"


class Why(StrEnum):
    """Why a circuit changed its state."""

    FAILURE_RATIO = "failure_ratio"
    SLOW_RATIO = "slow_ratio"
    CONSECUTIVE_FAILURES = "consecutive_failures"
    WAIT_OVER = "wait_over"
    GOOD_PROBE = "good_probe"
    TRIALS_PASSED = "trials_passed"
    TRIAL_FAILED = "trial_failed"
    TRIAL_SLOW = "trial_slow"
    FORCED = "forced"
    FORCE_ENDED = "force_ended"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitSettings:
    """When a circuit trips and how it comes back; the figures of reliability section 5.

    It opens on `consecutive_failures`, or once the window holds `min_calls` of which at least
    `failure_percent` failed or `slow_percent` took most of their own operation's budget. The wait
    doubles from `open_us` to `open_max_us`, shortened by up to `jitter_percent`. `lease_us` is
    longer than the longest call, for only a lost trial may lapse.
    """

    bucket_us: int = 1_000_000
    buckets: int = 10
    min_calls: int = 20
    failure_percent: int = 50
    slow_percent: int = 80
    consecutive_failures: int = 5
    open_us: int = 5_000_000
    open_max_us: int = 60_000_000
    jitter_percent: int = 20
    trial_slots: int = 3
    trials_to_close: int = 3
    lease_us: int = 65_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A term that runs from `since_us` for `lasts_us`."""

    since_us: int
    lasts_us: int

    @property
    def ends_us(self) -> int:
        return self.since_us + self.lasts_us

    def seen(self, now_us: int) -> Timer:
        """Return the term as it looks at `now_us`: begun in the future means begun now."""
        return self if self.since_us <= now_us else replace(self, since_us=now_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A half-open slot in use; it lapses with its timer if the trial never comes back."""

    number: int
    timer: Timer


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Leave to make one call; void once the circuit has moved on to another generation."""

    generation: int
    kind: PermitKind
    number: int = 0
    era: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One change of state; `generation` is the one that it began."""

    generation: int
    source: Breaker
    target: Breaker
    why: Why
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """One breaker. Ask `state` for its state: `stored` is that of the last look.

    `timer` is the term of an open or forced state, `backoff_us` the last wait before jitter,
    `history` the last transitions, oldest first. The trials of `overtaken` hold no slot: a good
    probe began after them. `era` names whose generations these are: 0 is the count that processes
    share, any other that of one process on its own.
    """

    stored: Breaker = Breaker.CLOSED
    generation: int = 0
    timer: Timer | None = None
    window: window.Window = ()
    consecutive: int = 0
    backoff_us: int = 0
    leases: tuple[Lease, ...] = ()
    overtaken: tuple[Lease, ...] = ()
    issued: int = 0
    passed: int = 0
    era: int = 0
    history: tuple[Transition, ...] = ()


Forced = Literal[Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED]


def check(settings: CircuitSettings) -> None:
    """Raise Invalid, naming the setting, unless a circuit can trip and recover under it."""
    for name in settings.__dataclass_fields__:
        least = 0 if name == "jitter_percent" else 1
        most = 100 if name.endswith("_percent") else None
        value = getattr(settings, name)
        if value < least or (most is not None and value > most):
            to = "" if most is None else f" and at most {most}"
            raise Invalid(f"Set the breaker's {name} to at least {least}{to}; it is {value}.")
    if settings.open_max_us < settings.open_us:
        raise Invalid("The breaker's open_max_us is below its open_us; raise it.")
