"""Compare-and-set on planned changes in the caller's transaction; neither books nor announces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from routing.core.flags import SetFlag
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, PlanKind, PlanState
from routing.schedule.models import PlannedChange
from routing.schedule.queries import PlanRow, row


def put(
    *,
    environment: EnvironmentName,
    kind: PlanKind,
    sets: Sequence[SetFlag],
    due_at: datetime,
    grace: timedelta,
    by: Actor,
    now: datetime,
    reason: str,
    lasts: timedelta | None = None,
    local: str = "",
    zone: str = "",
    cause: str = "",
    agreed: Sequence[str] = (),
    asked_entry: int = 0,
) -> PlanRow:
    """Plan a change; it waits from now on."""
    made = PlannedChange.objects.create(
        environment_id=environment,
        kind=str(kind),
        sets=[as_json(one) for one in sets],
        due_at=due_at,
        grace_s=int(grace.total_seconds()),
        lasts_s=None if lasts is None else int(lasts.total_seconds()),
        local=local,
        zone=zone,
        reason=reason,
        cause=cause,
        agreed=list(agreed),
        asked_at=now,
        asked_by=by.id,
        asked_kind=str(by.kind),
        asked_entry=asked_entry,
    )
    return row(made)


def as_json(one: SetFlag) -> dict[str, str | bool | int | list[str]]:
    """Return one flag's part of a plan as it is kept and booked."""
    return {
        "flag": str(one.flag),
        "on": one.on,
        "percentage": one.percentage,
        "groups": list(one.groups),
        "base_version": one.base_version,
    }


def seal(id: int, *, asked_entry: int) -> None:
    """Note the audit entry that planned it."""
    PlannedChange.objects.filter(pk=id).update(asked_entry=asked_entry)


def claim(id: int, state: PlanState, *, by: str, because: str, now: datetime) -> PlanRow | None:
    """Close a waiting one as `state`; None when somebody else was faster.

    The row stays locked until the caller's commit, so whoever claimed it acts alone.
    """
    rows = PlannedChange.objects.filter(pk=id, state=str(PlanState.WAITING))
    closed = rows.update(
        state=str(state), closed_at=now, closed_by=by, closed_because=because[:1000]
    )
    return row(PlannedChange.objects.get(pk=id)) if closed else None


def conclude(id: int, state: PlanState, *, because: str, entry_seq: int) -> None:
    """Write what became of a claimed one, in the transaction of its claim."""
    PlannedChange.objects.filter(pk=id).update(
        state=str(state), closed_because=because[:1000], entry_seq=entry_seq
    )


def see(id: int, *, by: str, now: datetime) -> bool:
    """Note that somebody saw what did not come; False when somebody had."""
    rows = PlannedChange.objects.filter(pk=id, seen_at=None)
    return bool(rows.update(seen_at=now, seen_by=by))
