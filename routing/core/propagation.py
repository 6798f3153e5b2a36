"""Who runs the newest flags: process by process, from what each reported of itself.

Times are by one clock for all. A process that fell silent is gone: it is named, and nobody waits
for it. One that reports and still runs an older version lags, for as long as it does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

ALIVE_WITHIN_S = 15.0
FORGOTTEN_AFTER_S = 600.0  # a process that is gone for so long is no news of this version


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One process as it last reported: the version it runs, and since when (None: not told)."""

    process: str
    name: str
    version: int
    since: datetime | None
    started_at: datetime
    silent_s: float
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Laggard:
    """A process without the version; `behind_s` is how long that has been out."""

    process: str
    name: str
    version: int
    behind_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A process that fell silent without a goodbye, with the version that it ran then."""

    process: str
    name: str
    version: int
    silent_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """How far `version` has come; `took_s` from the change until the last process ran it.

    `took_s` is None while a process lags, and where none was there to take it up.
    """

    version: int
    have: tuple[str, ...]
    laggards: tuple[Laggard, ...] = ()
    gone: tuple[Gone, ...] = ()
    took_s: float | None = None
    age_s: float | None = field(default=None)

    @property
    def of(self) -> int:
        """Return how many processes there are that have to run it."""
        return len(self.have) + len(self.laggards)

    @property
    def complete(self) -> bool:
        """Tell whether every process that lives runs it, and there is one."""
        return bool(self.have) and not self.laggards


def judge(
    version: int, changed_at: datetime | None, runners: Iterable[Runner], now: datetime
) -> Propagation:
    """Return how far `version`, in force since `changed_at`, has come; total, never raises."""
    age_s = None if changed_at is None else max(0.0, (now - changed_at).total_seconds())
    here = [runner for runner in runners if not runner.ended]
    alive = [runner for runner in here if abs(runner.silent_s) <= ALIVE_WITHIN_S]
    have = [runner for runner in alive if runner.version >= version]
    laggards = tuple(
        Laggard(
            process=runner.process,
            name=runner.name,
            version=runner.version,
            behind_s=age_s or 0.0,
        )
        for runner in alive
        if runner.version < version
    )
    return Propagation(
        version=version,
        have=tuple(runner.process for runner in have),
        laggards=laggards,
        gone=tuple(
            Gone(
                process=runner.process,
                name=runner.name,
                version=runner.version,
                silent_s=runner.silent_s,
            )
            for runner in here
            if ALIVE_WITHIN_S < runner.silent_s <= FORGOTTEN_AFTER_S
        ),
        took_s=None if laggards else _took_s(changed_at, have),
        age_s=age_s,
    )


def _took_s(changed_at: datetime | None, have: Iterable[Runner]) -> float | None:
    """Return when the last of those had it that were there; who came later began with it."""
    if changed_at is None:
        return None
    there = (runner for runner in have if runner.since and runner.started_at <= changed_at)
    taken = [(runner.since - changed_at).total_seconds() for runner in there if runner.since]
    return max(0.0, *taken) if taken else None


def sentence(told: Propagation) -> str:
    """Return it in one sentence: how many of how many run which version, after how long."""
    if not told.of:
        return f"No process serves these flags now; they stand at version {told.version}"
    word = "process" if told.of == 1 else "processes"
    begun = f"{len(told.have)} of {told.of} {word} at version {told.version}"
    if told.laggards:
        late = "" if told.age_s is None else f" {_seconds(told.age_s)} after the change"
        return f"{begun}{late}"
    return begun if told.took_s is None else f"{begun} after {_seconds(told.took_s)}"


def _seconds(value: float) -> str:
    """Return a time as it is read aloud; what was faster than a figure shows is said so."""
    if value < 0.1:
        return "less than 0.1 s"
    if value < 60:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min"
