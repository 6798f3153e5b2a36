"""Reading the shared breakers: what they are, what they guard, what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from routing.breakers import store
from routing.breakers.held import Key
from routing.breakers.models import BreakerMove
from routing.core import circuit
from routing.core.circuit import Why
from routing.core.values import Breaker, EnvironmentName, Path
from routing.fleet import clock
from routing.fleet import queries as fleet
from routing.fleet.queries import EnvironmentRow

SHOWN_MOVES = 20
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRow:
    """One change of state; `process` saw it, `by` ordered it where a person did."""

    at: datetime
    source: Breaker
    state: Breaker
    why: Why
    generation: int
    process: str
    alone: bool
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRow:
    """One breaker as stored, at the time of the clock that judges.

    `why` and `since` are those of the last move, None before the first; `ends_at` is when an open
    or forced state ends. `by`, `reason` and `entry_seq` are those of a forced state.
    """

    key: Key
    state: Breaker
    why: Why | None = None
    since: datetime | None = None
    ends_at: datetime | None = None
    trials_out: int = 0
    trials_passed: int = 0
    by: str = ""
    reason: str = ""
    entry_seq: int = 0
    generation: int = 0
    trips: int = 0
    moves: tuple[MoveRow, ...] = ()

    @property
    def is_forced(self) -> bool:
        return self.state in (Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED)


def key(row: EnvironmentRow, path: Path) -> Key | None:
    """Return what the breaker of `path` guards under these settings; None: not configured."""
    if path is Path.MCP:
        target = row.mcp_target
    elif row.bedrock_target and row.bedrock_region and row.bedrock_model:
        target = f"{row.bedrock_region}/{row.bedrock_model}"
    else:
        target = ""
    return Key(environment=row.name, path=path, target=target) if target else None


def row(wanted: Key, *, now: datetime) -> BreakerRow:
    """Return one breaker with the last of its moves; one that never moved is closed."""
    at = clock.read(now)
    kept = store.read(wanted)
    found = circuit.aged(kept.circuit, store.at_us(at))
    forcing = kept.forcing if found.generation == kept.circuit.generation else None
    moves = _moves(wanted)
    return BreakerRow(
        key=wanted,
        state=found.stored,
        why=found.history[-1].why if found.history else kept.why if kept.version else None,
        since=store.moment(found.history[-1].at_us) if found.history else kept.since,
        ends_at=store.moment(found.timer.ends_us) if found.timer else None,
        trials_out=len(found.leases),
        trials_passed=found.passed,
        by=forcing.by if forcing else "",
        reason=forcing.reason if forcing else "",
        entry_seq=forcing.entry_seq if forcing else 0,
        generation=found.generation,
        trips=_trips(wanted, at - DAY),
        moves=moves,
    )


def shut(environment: EnvironmentName, *, now: datetime) -> frozenset[Path]:
    """Return the paths that a person holds open, so that no call goes over them."""
    held = forced_open(environment, now=now)
    if not held:
        return frozenset()
    row = fleet.environment(environment)
    return frozenset(path for path in Path if key(row, path) in held)


def forced_open(environment: EnvironmentName, *, now: datetime) -> frozenset[Key]:
    """Return what a person holds open in `environment` now."""
    at_us = store.at_us(clock.read(now))
    return frozenset(
        kept.key
        for kept in store.read_all((environment,))
        if circuit.state(kept.circuit, at_us) is Breaker.FORCED_OPEN
    )


def _moves(wanted: Key) -> tuple[MoveRow, ...]:
    found = _of(wanted).order_by("-id")[:SHOWN_MOVES]
    return tuple(_move(one) for one in found)


def _trips(wanted: Key, since: datetime) -> int:
    """Count how often it opened; a person's forcing is no trip."""
    return _of(wanted).filter(at__gte=since, state=str(Breaker.OPEN)).count()


def _of(wanted: Key) -> QuerySet[BreakerMove]:
    return BreakerMove.objects.filter(
        environment_id=str(wanted.environment), path=str(wanted.path), target=wanted.target
    )


def _move(one: BreakerMove) -> MoveRow:
    return MoveRow(
        at=one.at,
        source=Breaker(one.source),
        state=Breaker(one.state),
        why=Why(one.why),
        generation=one.generation,
        process=one.process,
        alone=one.alone,
        by=one.by,
        reason=one.reason,
    )
