"""An override sends one operation to a path until an end, within 4 h: set, ended, expired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.changes import consent, standing
from routing.core import guards, reasons, rights
from routing.core.chain import Json
from routing.core.errors import Invalid, Stale
from routing.core.guards import Judgement
from routing.core.rights import Actor, Right, system_actor
from routing.core.values import Action, EnvironmentName, Health, Operation, Path
from routing.flags import store as flags
from routing.matrix import overrides, queries, store
from routing.matrix.overrides import OverrideRow

LONGEST = timedelta(hours=4)
BECAUSE_END = "its end came"
_OBJECT = "override"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOverride:
    """Where an operation shall begin until `ends_at`; the row's rule on falling back stays."""

    operation: Operation
    path: Path
    ends_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What was done: the audit entry, and the override as it is now."""

    entry_seq: int
    row: OverrideRow


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    wish: SetOverride,
    reason: str,
    health: Mapping[Path, Health],
    confirmed: bool = False,
    typed_environment: str = "",
) -> Booked:
    """Set an override; every process is told after the commit.

    Raises Forbidden, Invalid (no reason of 5 characters or more, an end that will not do), Stale
    where the operation has one already, RuleBroken and NeedsConfirm; each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.OVERRIDE_SET,
        environment=environment,
        object_type=_OBJECT,
        object_id=str(wish.operation),
        reason=reason,
    ):
        rights.check(by, Right.CHANGE, environment)
        why = _said(reason, environment)
        reasons.check_place(typed_environment, environment)
        _check_end(wish.ends_at, now)
        with transaction.atomic(durable=True):
            flags.lock(environment)  # one lock for all that a guard judges together
            _expire(environment, now)
            judgement = _judge(environment, now, wish, health)
            consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
            row = overrides.put(
                environment=environment,
                operation=wish.operation,
                path=wish.path,
                reason=why,
                by=by.id,
                now=now,
                ends_at=wish.ends_at,
            )
            return _book(Action.OVERRIDE_SET, row, by=by, now=now, reason=why, judged=judgement)


def end(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    id: int,
    reason: str = "",
    confirmed: bool = False,
    typed_environment: str = "",
) -> Booked:
    """End an override before its time; its operation follows the matrix again.

    Raises Forbidden, Invalid, Stale (it has ended), RuleBroken and NeedsConfirm; each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.OVERRIDE_END,
        environment=environment,
        object_type=_OBJECT,
        object_id=str(id),
        reason=reason,
    ):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        with transaction.atomic(durable=True):
            flags.lock(environment)
            kept = next((r for r in overrides.open_ones(environment) if r.id == id), None)
            if kept is None or not kept.holds(now):
                raise _ended(environment, id)
            judgement = guards.judge_matrix(
                flags=standing.flags_for_everyone(environment),
                before=standing.matrix(environment, now),
                after=standing.matrix(environment, now, but=kept.operation),
            )
            consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
            return _end(kept, by=by, now=now, because=why or "ended early", judged=judgement)


def expire(now: datetime) -> int:
    """Book the end of every override whose end has come; return how many were booked here.

    They count for nothing since then. Of several processes that see it, one books it.
    """
    booked = 0
    for environment in sorted({r.environment for r in overrides.open_ones() if now >= r.ends_at}):
        with transaction.atomic():
            booked += _expire(environment, now)
    return booked


def _expire(environment: EnvironmentName, now: datetime) -> int:
    booked = 0
    for row in overrides.open_ones(environment):
        if now < row.ends_at:
            continue
        ended = overrides.end(row.id, by=_SYSTEM.id, because=BECAUSE_END, now=now)
        if ended is not None:
            _book(Action.OVERRIDE_END, ended, by=_SYSTEM, now=now, reason=BECAUSE_END, was=row)
            booked += 1
    return booked


_SYSTEM = system_actor("overrides")


def _said(reason: str, environment: EnvironmentName) -> str:
    why = reasons.check(reason, environment)
    if len(why) < reasons.SHORTEST:
        raise Invalid(
            f"An override needs a reason of at least {reasons.SHORTEST} characters, in "
            f"{environment} too: say why, for whoever finds it at night.",
            field="reason",
        )
    return why


def _check_end(ends_at: datetime, now: datetime) -> None:
    if not now < ends_at <= now + LONGEST:
        hours = int(LONGEST.total_seconds() // 3600)
        raise Invalid(
            f"An override ends after now and within {hours} h; choose such an end. What shall "
            "stay longer belongs into the matrix.",
            field="ends_at",
        )


def _judge(
    environment: EnvironmentName,
    now: datetime,
    wish: SetOverride,
    health: Mapping[Path, Health],
) -> Judgement:
    before = standing.matrix(environment, now)
    return guards.judge_override(
        flags=standing.flags_for_everyone(environment),
        before=before,
        after=before.sent(wish.operation, wish.path),
        path=wish.path,
        health=health.get(wish.path, Health.UNKNOWN),
    )


def _ended(environment: EnvironmentName, id: int) -> Stale:
    return Stale(
        f"Override {id} of {environment} has ended: somebody or its end was faster. Nothing was "
        "changed.",
        current=None,
    )


def _end(row: OverrideRow, *, by: Actor, now: datetime, because: str, judged: Judgement) -> Booked:
    ended = overrides.end(row.id, by=by.id, because=because, now=now)
    if ended is None:
        raise _ended(row.environment, row.id)
    return _book(
        Action.OVERRIDE_END, ended, by=by, now=now, reason=because, judged=judged, was=row
    )


def _book(
    action: Action,
    row: OverrideRow,
    *,
    by: Actor,
    now: datetime,
    reason: str,
    judged: Judgement | None = None,
    was: OverrideRow | None = None,
) -> Booked:
    version = overrides.versions()[row.environment]
    entry = ledger.record(
        by=by,
        now=now,
        action=action,
        environment=row.environment,
        object_type=_OBJECT,
        object_id=str(row.operation),
        reason=reason,
        before=_as_json(was) if was else None,
        after=_as_json(row),
        facts={
            "overrides_version": version,
            "matrix_version": store.read(row.environment).version,
            "rule": judged.rule if judged else None,
        },
    )
    transaction.on_commit(queries.refresh, robust=True)
    stream.announce("matrix", row.environment)
    return Booked(entry_seq=entry.seq, row=row)


def _as_json(row: OverrideRow) -> dict[str, Json]:
    return {
        "id": row.id,
        "operation": str(row.operation),
        "path": str(row.path),
        "ends_at": row.ends_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "ended_because": row.ended_because,
    }
