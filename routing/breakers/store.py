"""Compare-and-set on the shared breakers inside the caller's transaction; it announces nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from routing.breakers.held import Key
from routing.breakers.models import BreakerMove, SharedBreaker
from routing.core import circuit
from routing.core.circuit import Circuit, Lease, Timer, Transition, Why
from routing.core.values import Breaker, EnvironmentName, Path

KEPT_MOVES = 500  # of one breaker
_FORCED = (Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forcing:
    """Who forces a breaker, why, and the audit entry that booked it."""

    by: str
    reason: str
    entry_seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One breaker as stored; version 0 means that it has no row: closed, never moved."""

    key: Key
    circuit: Circuit
    version: int = 0
    why: Why = Why.WAIT_OVER
    since: datetime | None = None
    wanted: int = -1
    forcing: Forcing | None = None


def read(key: Key) -> Kept:
    """Return the breaker of `key` as this transaction sees it."""
    found = _row(key).first()
    return Kept(key=key, circuit=Circuit()) if found is None else _kept(found)


def read_all(environments: Iterable[EnvironmentName]) -> tuple[Kept, ...]:
    """Return every breaker of `environments` that was ever moved, by one statement."""
    rows = SharedBreaker.objects.filter(environment_id__in=[str(e) for e in environments])
    return tuple(_kept(row) for row in rows)


def swap(
    kept: Kept,
    after: Circuit,
    *,
    wanted: int = -1,
    forcing: Forcing | None = None,
    process: str = "",
    alone: bool = False,
) -> bool:
    """Store `after` in place of `kept` with the moves between; False when another was faster."""
    news = circuit.news(kept.circuit, after)
    values = _values(kept, after, news, wanted, forcing)
    if not _write(kept, values):
        return False
    _note(kept.key, news, process=process, alone=alone, forcing=forcing)
    return True


def note_alone(key: Key, moves: Sequence[Transition], *, process: str) -> None:
    """Keep what a process did by itself while this store was away."""
    _note(key, moves, process=process, alone=True)


def seal(key: Key, *, entry_seq: int) -> None:
    """Note under which audit entry `key` is forced."""
    _row(key).update(entry_seq=entry_seq)


def at_us(at: datetime) -> int:
    """Return a moment in µs, as circuits count."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """Return µs of a stored circuit as a moment."""
    return _EPOCH + timedelta(microseconds=us)


def _row(key: Key) -> Any:
    return SharedBreaker.objects.filter(
        environment_id=str(key.environment), path=str(key.path), target=key.target
    )


def _write(kept: Kept, values: Mapping[str, Any]) -> bool:
    if kept.version:
        return bool(_row(kept.key).filter(version=kept.version).update(**values))
    key = kept.key
    place = {"environment_id": str(key.environment), "path": str(key.path), "target": key.target}
    # get_or_create keeps a lost race from breaking the caller's transaction.
    _, made = SharedBreaker.objects.get_or_create(**place, defaults=dict(values))
    return made


def _values(
    kept: Kept,
    after: Circuit,
    news: Sequence[Transition],
    wanted: int,
    forcing: Forcing | None,
) -> dict[str, Any]:
    who = forcing if news else kept.forcing
    if who is None or after.stored not in _FORCED:
        who = Forcing(by="", reason="")
    return {
        "version": kept.version + 1,
        "generation": after.generation,
        "state": str(after.stored),
        "why": str(news[-1].why if news else kept.why),
        "since": moment(news[-1].at_us) if news else kept.since or _EPOCH,
        "circuit": _encode(after),
        "wanted": wanted,
        "by": who.by,
        "reason": who.reason,
        "entry_seq": who.entry_seq or None,
    }


def _note(
    key: Key,
    moves: Sequence[Transition],
    *,
    process: str,
    alone: bool = False,
    forcing: Forcing | None = None,
) -> None:
    if not moves:
        return
    BreakerMove.objects.bulk_create(
        BreakerMove(
            environment_id=str(key.environment),
            path=str(key.path),
            target=key.target,
            generation=step.generation,
            source=str(step.source),
            state=str(step.target),
            why=str(step.why),
            at=moment(step.at_us),
            process=process[:64],
            alone=alone,
            by=forcing.by if forcing and step.why in (Why.FORCED, Why.RELEASED) else "",
            reason=forcing.reason if forcing and step.why in (Why.FORCED, Why.RELEASED) else "",
        )
        for step in moves
    )
    ours = BreakerMove.objects.filter(
        environment_id=str(key.environment), path=str(key.path), target=key.target
    ).order_by("-id")
    last = ours.values_list("id", flat=True)[KEPT_MOVES : KEPT_MOVES + 1].first()
    if last is not None:
        ours.filter(id__lte=last).delete()


def _kept(row: SharedBreaker) -> Kept:
    forcing = Forcing(by=row.by, reason=row.reason, entry_seq=row.entry_seq or 0)
    return Kept(
        key=Key(
            environment=EnvironmentName(row.environment_id),
            path=Path(row.path),
            target=row.target,
        ),
        circuit=_decode(row),
        version=row.version,
        why=Why(row.why) if row.why else Why.WAIT_OVER,
        since=row.since,
        wanted=row.wanted,
        forcing=forcing if row.by else None,
    )


def _encode(found: Circuit) -> dict[str, Any]:
    """What the columns do not say; the window is each process's own."""
    return {
        "timer": found.timer and [found.timer.since_us, found.timer.lasts_us],
        "backoff_us": found.backoff_us,
        "leases": _written(found.leases),
        "overtaken": _written(found.overtaken),
        "issued": found.issued,
        "passed": found.passed,
    }


def _decode(row: SharedBreaker) -> Circuit:
    said = row.circuit
    timer = said["timer"]
    return Circuit(
        stored=Breaker(row.state),
        generation=row.generation,
        timer=Timer(since_us=timer[0], lasts_us=timer[1]) if timer else None,
        backoff_us=said["backoff_us"],
        leases=_read(said["leases"]),
        overtaken=_read(said.get("overtaken", ())),  # rows of older versions have none
        issued=said["issued"],
        passed=said["passed"],
    )


def _written(leases: Sequence[Lease]) -> list[list[int]]:
    return [[x.number, x.timer.since_us, x.timer.lasts_us] for x in leases]


def _read(leases: Iterable[Sequence[int]]) -> tuple[Lease, ...]:
    return tuple(
        Lease(number=number, timer=Timer(since_us=since_us, lasts_us=lasts_us))
        for number, since_us, lasts_us in leases
    )
