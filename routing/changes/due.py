"""What is planned is made when its time has come: once, judged anew, and booked however it ends.

Claim, change and booking are one transaction. Of many processes that see it due, the one whose
claim commits has made it; one that dies on the way has left it waiting for the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.access import standing as people
from routing.audit import ledger
from routing.changes import around, change, glass
from routing.changes.schedule import OBJECT, agreed, as_json
from routing.core import plans, rights
from routing.core.approval import Bypass
from routing.core.chain import Json
from routing.core.errors import HybridOpsError, Refused, Stale, Unavailable
from routing.core.flags import SetFlag
from routing.core.guards import Cause
from routing.core.plans import Time
from routing.core.rights import Actor, Right, system_actor
from routing.core.values import (
    Action,
    EnvironmentName,
    Health,
    Outcome,
    Path,
    PlanKind,
    PlanState,
    Role,
)
from routing.flags import store as flags
from routing.health import snapshot as judged
from routing.schedule import queries, store
from routing.schedule.queries import PlanRow

log = logging.getLogger(__name__)
SYSTEM = system_actor("schedule")
HealthOf = Callable[[EnvironmentName], Mapping[Path, Health]]


def keep(environments: Collection[EnvironmentName], now: datetime) -> None:
    """Do what is due now, as the health in this process's memory has it; book what is over."""
    now_us = int(now.timestamp() * 1_000_000)
    run(environments, now, lambda environment: judged.of(environment, now_us))
    glass.expire(now)


def run(environments: Collection[EnvironmentName], now: datetime, health: HealthOf) -> int:
    """Make what is due in `environments`; return how many were closed here, however they ended.

    What another process closes first is left alone. Raises DatabaseError; what was not closed
    then is due again.
    """
    return sum(_tried(id, now, health) for id in queries.due(environments, now))


def _tried(id: int, now: datetime, health: HealthOf) -> bool:
    """Close one; one that breaks keeps no other one from its time."""
    try:
        return _close(id, now, health)
    except (HybridOpsError, ValueError):
        log.exception(
            "What was planned as %s could not be closed; the next round tries again.", id
        )
        return False


def _close(id: int, now: datetime, health: HealthOf) -> bool:
    try:
        with transaction.atomic(durable=True):
            row = store.claim(id, PlanState.DONE, by=SYSTEM.id, because="", now=now)
            if row is None:
                return False
            state, because, entry_seq = _end(row, now, health)
            store.conclude(id, state, because=because, entry_seq=entry_seq)
            stream.announce("schedule", row.environment)
    except Unavailable:  # the trail is busy: nothing was kept, and the next round tries again
        return False
    return True


def _end(row: PlanRow, now: datetime, health: HealthOf) -> tuple[PlanState, str, int]:
    """Do what is to be done for a claimed one; return what became of it, why, and its entry."""
    if plans.time_of(row.kind, row.due_at, row.grace, now) is Time.TOO_LATE:
        late = int((now - row.due_at).total_seconds() // 60)
        allowed = int(row.grace.total_seconds() // 60)
        because = (
            f"Nobody was there to make it for {late} min; it may be {allowed} min late. "
            "Nothing was changed."
        )
        return _fail(row, PlanState.MISSED, because, now)
    sets = row.sets if row.kind is PlanKind.CHANGE else _as_left(row, now)
    if not sets:
        return _drop(row, now)
    try:
        with transaction.atomic():
            applied = _make(row, sets, now, health)
    except Unavailable:
        raise
    except Stale as error:
        return _fail(row, PlanState.DRIFTED, f"Nothing was changed. {error.message}", now, error)
    except Refused as error:
        return _fail(row, PlanState.REFUSED, f"Nothing was changed. {error.message}", now, error)
    return PlanState.DONE, _left_out(row, sets), applied.entry_seq


def _as_left(row: PlanRow, now: datetime) -> tuple[SetFlag, ...]:
    """Return those flags of an end that still are as its change left them, kept so."""
    around.begin(row.environment, now=now)
    states = flags.read(row.environment)
    return tuple(
        one
        for one in row.sets
        if one.flag in states and states[one.flag].version == one.base_version
    )


def _left_out(row: PlanRow, sets: tuple[SetFlag, ...]) -> str:
    names = _names_left_out(row, sets)
    if not names:
        return ""
    return f"Not put back, for somebody changed it meanwhile: {', '.join(names)}."


def _names_left_out(row: PlanRow, sets: tuple[SetFlag, ...]) -> list[str]:
    return [str(one.flag) for one in row.sets if one not in sets]


def _make(
    row: PlanRow, sets: tuple[SetFlag, ...], now: datetime, health: HealthOf
) -> change.Applied:
    late = max(0, int((now - row.due_at).total_seconds()))
    told: dict[str, Json] = {"late_s": late, "schedule": row.id}
    if row.kind is PlanKind.END:
        told |= {"ends": row.asked_entry, "left_out": [*_names_left_out(row, sets)]}
        by = _acting(row.environment, Role.ADMIN)
        confirmed: bool | frozenset[str] = True  # it was agreed to with the change that it ends
    else:
        told |= {"asked_by": row.asked_by, "asked_entry": row.asked_entry}
        role = people.role_now(row.asked_kind, row.asked_by, row.environment, now)
        by = _acting(row.environment, role)
        confirmed = frozenset(row.agreed)
    rights.check(by, Right.CHANGE, row.environment)
    return change.carry_out(
        by=by,
        now=now,
        environment=row.environment,
        sets=sets,
        reason=row.reason,
        health=health(row.environment),
        cause=Cause(row.cause) if row.cause else None,
        confirmed=confirmed,
        ends_at=None if row.lasts is None else now + row.lasts,
        told=told,
        under=Bypass.END if row.kind is PlanKind.END else agreed(row),
    )


def _acting(environment: EnvironmentName, role: Role | None) -> Actor:
    """Return the schedule with the rights that whoever asked has now, booked as the schedule."""
    return replace(SYSTEM, grants={} if role is None else {environment: role})


def _fail(
    row: PlanRow, state: PlanState, because: str, now: datetime, error: Refused | None = None
) -> tuple[PlanState, str, int]:
    facts: dict[str, Json] = {"asked_by": row.asked_by, "asked_entry": row.asked_entry}
    if error is not None:
        facts |= {"code": error.code, "rule": error.facts.get("rule")}
    outcome = Outcome.FAILED if state is PlanState.MISSED else Outcome.REFUSED
    entry = _book(
        Action.SCHEDULE_FAIL, row, state, because=because, now=now, outcome=outcome, facts=facts
    )
    return state, because, entry


def _drop(row: PlanRow, now: datetime) -> tuple[PlanState, str, int]:
    because = "Nothing to put back: somebody changed it meanwhile."
    entry = _book(
        Action.SCHEDULE_DROP,
        row,
        PlanState.DROPPED,
        because=because,
        now=now,
        outcome=Outcome.DONE,
        facts={"ends": row.asked_entry},
    )
    return PlanState.DROPPED, because, entry


def _book(
    action: Action,
    row: PlanRow,
    state: PlanState,
    *,
    because: str,
    now: datetime,
    outcome: Outcome,
    facts: dict[str, Json],
) -> int:
    entry = ledger.record(
        by=SYSTEM,
        now=now,
        action=action,
        environment=row.environment,
        object_type=OBJECT,
        object_id=str(row.id),
        outcome=outcome,
        reason=because[:1000],
        after=as_json(replace(row, state=state)),
        facts=facts,
    )
    return entry.seq
