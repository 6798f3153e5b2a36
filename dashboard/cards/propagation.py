"""How far the newest flags have come, process by process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from routing.core import propagation as spread
from routing.core.propagation import Propagation
from routing.core.values import EnvironmentName


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The proof in one sentence, with who lags and who is gone; `word` is a word of health."""

    environment: EnvironmentName
    word: str
    text: str
    lines: tuple[str, ...]
    version: int
    complete: bool
    now: datetime


def propagation(environment: EnvironmentName, told: Propagation, now: datetime) -> Spread:
    """Word who runs the newest flags of `environment`."""
    late = [
        f"{one.name} ({one.process}) still runs version {one.version}, {one.behind_s:.1f} s "
        "after the change."
        for one in told.laggards
    ]
    gone = [
        f"{one.name} ({one.process}) is gone: it ran version {one.version} and was last heard "
        f"{one.silent_s:.0f} s ago."
        for one in told.gone
    ]
    word = "healthy" if told.complete else "degraded" if told.of else "unknown"
    return Spread(
        environment=environment,
        word=word,
        text=spread.sentence(told),
        lines=(*late, *gone),
        version=told.version,
        complete=told.complete,
        now=now,
    )
