"""Breakers in words: what each does with calls now, by what it would trip, what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboard.cards.wording import absolute, took
from routing.breakers.queries import BreakerRow, MoveRow
from routing.core.circuit import CircuitSettings, Why
from routing.core.values import Breaker, EnvironmentName, Path

# A breaker that is closed says nothing of health, so it is never drawn green.
SHAPED: Mapping[Breaker, str] = {
    Breaker.CLOSED: "on",
    Breaker.OPEN: "unhealthy",
    Breaker.HALF_OPEN: "partly",
    Breaker.FORCED_OPEN: "maintenance",
    Breaker.FORCED_CLOSED: "maintenance",
}
WORDS: Mapping[Breaker, str] = {
    Breaker.CLOSED: "closed",
    Breaker.OPEN: "open",
    Breaker.HALF_OPEN: "half-open",
    Breaker.FORCED_OPEN: "forced open",
    Breaker.FORCED_CLOSED: "forced closed",
}
BECAUSE: Mapping[Why, str] = {
    Why.FAILURE_RATIO: "too large a share of its calls failed",
    Why.SLOW_RATIO: "too large a share of its calls was slow",
    Why.CONSECUTIVE_FAILURES: "too many calls failed in a row",
    Why.WAIT_OVER: "its wait was over",
    Why.GOOD_PROBE: "a probe was answered",
    Why.TRIALS_PASSED: "enough trials passed",
    Why.TRIAL_FAILED: "a trial failed",
    Why.TRIAL_SLOW: "a trial was slow",
    Why.FORCED: "a person forced it",
    Why.FORCE_ENDED: "the time for which it was forced was over",
    Why.RELEASED: "a person released it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What the process that answers counted lately; all 0 where it saw no call."""

    process: str
    consecutive: int = 0
    calls: int = 0
    failures: int = 0
    slow: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One figure against the threshold at which the breaker opens."""

    name: str
    value: str
    opens_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveLine:
    """One move; `who` and `reason` are empty for who may not read the audit trail."""

    at: datetime
    shape: str
    word: str
    was: str
    because: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerCard:
    """One breaker; `next` says when something happens by itself, empty where nothing does."""

    path: Path
    target: str
    shape: str
    word: str
    does: str
    since: datetime | None
    because: str
    next: str
    trips: str
    who: str
    reason: str
    entry_seq: int
    is_forced: bool
    gauges: tuple[Gauge, ...]
    counted_by: str
    told: str
    moves: tuple[MoveLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerBoard:
    """All breakers of `environment`; `version` changes when a person forced or released one."""

    environment: EnvironmentName
    now: datetime
    version: str
    summary: str
    cards: tuple[BreakerCard, ...]


def breaker_board(
    rows: Sequence[BreakerRow],
    *,
    environment: EnvironmentName,
    counted: Mapping[Path, Counted],
    rules: CircuitSettings,
    names: Mapping[str, str],
    tells_who: bool,
    now: datetime,
) -> BreakerBoard:
    """Word the breakers; `names` maps what is booked for a person to the username of today."""
    return BreakerBoard(
        environment=environment,
        now=now,
        version="-".join(str(row.entry_seq) for row in rows) or "none",
        summary=_summary(rows, environment),
        cards=tuple(
            _card(row, counted.get(row.key.path), rules, names if tells_who else None)
            for row in rows
        ),
    )


def _summary(rows: Sequence[BreakerRow], environment: EnvironmentName) -> str:
    if not rows:
        return f"No breakers in {environment}"
    words = {WORDS[row.state] for row in rows}
    if len(words) == 1 and len(rows) > 1:
        return f"Both breakers of {environment} are {words.pop()}"
    told = ", ".join(f"{row.key.path} {WORDS[row.state]}" for row in rows)
    return f"Breakers of {environment}: {told}"


def _card(
    row: BreakerRow,
    counted: Counted | None,
    rules: CircuitSettings,
    names: Mapping[str, str] | None,
) -> BreakerCard:
    return BreakerCard(
        path=row.key.path,
        target=row.key.target,
        shape=SHAPED[row.state],
        word=WORDS[row.state],
        does=_does(row, rules),
        since=row.since,
        because=BECAUSE[row.why] if row.why else "",
        next=_next(row),
        trips="never opened" if not row.trips else f"opened {row.trips} ×",
        who=_who(row.by, names),
        reason=row.reason if names is not None else "",
        entry_seq=row.entry_seq,
        is_forced=row.is_forced,
        gauges=_gauges(counted, rules) if counted else (),
        counted_by=counted.process if counted else "",
        told=f"{len(row.moves)} move{'s' if len(row.moves) > 1 else ''}",
        moves=tuple(_line(move, names) for move in row.moves),
    )


def _does(row: BreakerRow, rules: CircuitSettings) -> str:
    if row.state is Breaker.HALF_OPEN:
        return (
            f"Trials decide: {row.trials_passed} of {rules.trials_to_close} passed, "
            f"{row.trials_out} of {rules.trial_slots} slots taken. Other calls are held back."
        )
    return {
        Breaker.CLOSED: "Calls go through.",
        Breaker.OPEN: "Calls are held back.",
        Breaker.FORCED_OPEN: "A person holds every call back, emergencies too.",
        Breaker.FORCED_CLOSED: "A person lets every call through; failures open nothing.",
    }[row.state]


def _next(row: BreakerRow) -> str:
    if row.ends_at is None:
        return ""
    at = absolute(row.ends_at)
    if row.state is Breaker.OPEN:
        return f"Next trial at {at}"
    then = "trials decide" if row.state is Breaker.FORCED_OPEN else "its own count decides"
    return f"It ends at {at}, then {then}"


def _gauges(counted: Counted, rules: CircuitSettings) -> tuple[Gauge, ...]:
    window = took(rules.bucket_us * rules.buckets)
    least = f"of at least {rules.min_calls} calls"
    return (
        Gauge(
            name="failures in a row",
            value=str(counted.consecutive),
            opens_at=f"opens at {rules.consecutive_failures}",
        ),
        Gauge(
            name=f"failed in the last {window}",
            value=f"{counted.failures} of {counted.calls}",
            opens_at=f"opens at {rules.failure_percent} % {least}",
        ),
        Gauge(
            name=f"slow in the last {window}",
            value=f"{counted.slow} of {counted.calls}",
            opens_at=f"opens at {rules.slow_percent} % {least}",
        ),
    )


def _line(move: MoveRow, names: Mapping[str, str] | None) -> MoveLine:
    seen = f"seen by {move.process}" if move.process else ""
    alone = ", which was alone" if move.alone else ""
    return MoveLine(
        at=move.at,
        shape=SHAPED[move.state],
        word=WORDS[move.state],
        was=WORDS[move.source],
        because=BECAUSE[move.why],
        who=_who(move.by, names) if move.by else f"{seen}{alone}",
        reason=move.reason if names is not None else "",
    )


def _who(by: str, names: Mapping[str, str] | None) -> str:
    if not by or names is None:
        return ""
    return f"by {names.get(by, by)}"
