"""Changes of flags for a later time: scheduled, cancelled, and seen where they did not come.

An end is cancelled like any other; the change that it would have put back stays then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from routing import stream
from routing.approvals import store as proposals
from routing.audit import ledger
from routing.changes import approval as approvals
from routing.changes import around, change, consent
from routing.changes.consent import Confirmed
from routing.core import plans, reasons, rights
from routing.core.approval import Agreed, Content
from routing.core.chain import Json
from routing.core.errors import Invalid, RuleBroken, Stale
from routing.core.flags import FlagName, SetFlag, State
from routing.core.guards import Cause, Judgement
from routing.core.plans import Due
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName, Health, Path, PlanKind, PlanState
from routing.flags import store as flags
from routing.schedule import queries, store
from routing.schedule.queries import PlanRow

OBJECT = "schedule"


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The time of a change: its moment, and how the person said it.

    With `lasts` it goes back that long after it was made. Later than `grace` after its moment it
    is not made any more.
    """

    due_at: datetime
    local: str = ""
    zone: str = ""
    lasts: timedelta | None = None
    grace: timedelta = plans.GRACE


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """What was done: the audit entry, and the planned change as it is now."""

    entry_seq: int
    row: PlanRow


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    sets: Sequence[SetFlag],
    when: When,
    reason: str,
    health: Mapping[Path, Health],
    cause: Cause | None = None,
    confirmed: bool = False,
    typed_environment: str = "",
    under: Agreed | None = None,
) -> Booked:
    """Plan that all of `sets` are made together at `when`.

    It is judged now, as if it were made now, and again when it is due: from the versions in
    `sets`, with the rights that `by` has then, and with no more consent than is given now.
    `under` is the approved proposal that it stands on, which must still hold when it is due.
    Raises as `change.apply` does, and Invalid for a time that will not do; each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.SCHEDULE_SET,
        environment=environment,
        object_type=OBJECT,
        object_id=str(environment),
        reason=reason,
    ):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        check(when, now)
        with transaction.atomic(durable=True):
            judgement = change.judge_sets(
                now=now,
                environment=environment,
                sets=sets,
                health=health,
                cause=cause,
                ends_at=None if when.lasts is None else now + when.lasts,
            )
            consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
            agreed = approvals.check_plan(
                by=by,
                now=now,
                content=Content(
                    environment=environment,
                    reason=why,
                    sets=change.wishes(environment, sets),
                    due=_due(when),
                    lasts=when.lasts,
                ),
                needed=change.needing(environment, sets, cause),
                under=under,
            )
            row = store.put(
                environment=environment,
                kind=PlanKind.CHANGE,
                sets=sets,
                due_at=when.due_at,
                grace=when.grace,
                by=by,
                now=now,
                reason=why,
                lasts=when.lasts,
                local=when.local,
                zone=when.zone,
                cause=str(cause) if cause else "",
                agreed=judgement.effects if confirmed else (),
            )
            booked = _book_set(row, by=by, now=now, judged=judgement, agreed=agreed)
            approvals.seal(under, entry_seq=booked.entry_seq)
            return booked


def cancel(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    id: int,
    health: Mapping[Path, Health],
    reason: str = "",
    typed_environment: str = "",
    confirmed: Confirmed = False,
) -> Booked:
    """Take back a scheduled change that still waits, or an end: then its change stays.

    What stays is judged as if it were made now without an end, and `confirmed` like that. Raises
    Forbidden, Invalid, NeedsConfirm, RuleBroken (it must not stay), NotFound and Stale (it was
    made, or somebody was faster); each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.SCHEDULE_CANCEL,
        environment=environment,
        object_type=OBJECT,
        object_id=str(id),
        reason=reason,
    ):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        kept = queries.one(environment, id)
        with transaction.atomic(durable=True):
            row = store.claim(id, PlanState.CANCELLED, by=by.id, because=why, now=now)
            if row is None:
                raise _gone(environment, id)
            facts: dict[str, Json] = {}
            if kept.kind is PlanKind.END:
                facts = _check_lasting(
                    kept, by=by, now=now, reason=why, health=health, confirmed=confirmed
                )
            entry = ledger.record(
                by=by,
                now=now,
                action=Action.SCHEDULE_CANCEL,
                environment=environment,
                object_type=OBJECT,
                object_id=str(id),
                reason=why,
                before=as_json(kept),
                after=as_json(row),
                facts=facts,
            )
            store.conclude(id, PlanState.CANCELLED, because=why, entry_seq=entry.seq)
            stream.announce("schedule", environment)
            return Booked(entry_seq=entry.seq, row=row)


def see(*, by: Actor, now: datetime, environment: EnvironmentName, id: int) -> PlanRow:
    """Take what did not come from the open items: somebody read it.

    Raises Forbidden, NotFound and Stale (it is none, or was seen); each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.SCHEDULE_SEE,
        environment=environment,
        object_type=OBJECT,
        object_id=str(id),
    ):
        rights.check(by, Right.CHANGE, environment)
        kept = queries.one(environment, id)
        with transaction.atomic(durable=True):
            if not kept.alarms or not store.see(id, by=by.id, now=now):
                raise Stale(f"Planned change {id} waits for nobody to see it.", current=None)
            ledger.record(
                by=by,
                now=now,
                action=Action.SCHEDULE_SEE,
                environment=environment,
                object_type=OBJECT,
                object_id=str(id),
            )
            stream.announce("schedule", environment)
        return queries.one(environment, id)


def _check_lasting(
    row: PlanRow,
    *,
    by: Actor,
    now: datetime,
    reason: str,
    health: Mapping[Path, Health],
    confirmed: Confirmed,
) -> dict[str, Json]:
    """Return what is booked of an end that is cancelled; raises where its change must not stay.

    What the end would have put back counts as what was before, and what stays as a change without
    an end. Flags that somebody changed meanwhile have no end any more.
    """
    around.begin(row.environment, now=now)
    states = flags.read(row.environment)
    back = {
        one.flag: one.state
        for one in row.sets
        if one.flag in states and states[one.flag].version == one.base_version
    }
    facts: dict[str, Json] = {"ends": row.asked_entry, "stay": [str(flag) for flag in back]}
    if not back:
        return facts
    stay = [_as_set(flag, states[flag]) for flag in back]
    before = {**states, **back}
    judgement = change.judge(row.environment, before, stay, health, now=now)
    consent.check(judgement, by=by, environment=row.environment, confirmed=confirmed)
    facts |= {"rule": judgement.rule, "effects": list(judgement.effects)}
    try:
        return facts | approvals.check(
            by=by,
            now=now,
            environment=row.environment,
            pending=stay,
            states=before,
            reason=reason,
            cause=None,
            under=None,
        )
    except RuleBroken as error:
        names = ", ".join(map(str, back))
        raise RuleBroken(
            f"Refused by the rule {error.facts['rule']}: in {row.environment} it takes a second "
            f"person to leave {names} so for good. Let the end come and propose the change; an "
            "admin who cannot wait for that breaks the glass first.",
            **error.facts,
        ) from error


def _as_set(flag: FlagName, state: State) -> SetFlag:
    return SetFlag(
        flag=flag,
        on=state.on,
        percentage=state.percentage,
        groups=state.groups,
        base_version=state.version,
    )


def check(when: When, now: datetime) -> None:
    """Raise Invalid unless a change may be planned for `when`."""
    if not now < when.due_at <= now + plans.FURTHEST:
        raise Invalid(
            f"A change is scheduled for after now and within {plans.FURTHEST.days} days.",
            field="at",
        )
    if not timedelta(minutes=1) <= when.grace <= plans.LONGEST_GRACE:
        raise Invalid(
            "After a downtime a change may still be made for 1 min to 12 h; choose such a grace.",
            field="grace",
        )


def agreed(row: PlanRow) -> Agreed | None:
    """Return the proposal that a planned change stands on, None where it needed none."""
    found = proposals.applied_under(row.environment, row.asked_entry)
    if found is None:
        return None
    return Agreed(number=found.number, digest=found.digest, due=_due(row))


def _due(when: When | PlanRow) -> Due:
    return Due(due_at=when.due_at, local=when.local, zone=when.zone, grace=when.grace)


def _book_set(
    row: PlanRow, *, by: Actor, now: datetime, judged: Judgement, agreed: Mapping[str, Json]
) -> Booked:
    entry = ledger.record(
        by=by,
        now=now,
        action=Action.SCHEDULE_SET,
        environment=row.environment,
        object_type=OBJECT,
        object_id=str(row.id),
        reason=row.reason,
        after=as_json(row),
        facts={"rule": judged.rule, "effects": list(judged.effects), **agreed},
    )
    store.seal(row.id, asked_entry=entry.seq)
    stream.announce("schedule", row.environment)
    return Booked(entry_seq=entry.seq, row=queries.one(row.environment, row.id))


def _gone(environment: EnvironmentName, id: int) -> Stale:
    kept = queries.one(environment, id)
    return Stale(
        f"Planned change {id} does not wait any more: it is {kept.state}. Nothing was cancelled.",
        current=str(kept.state),
    )


def as_json(row: PlanRow) -> dict[str, Json]:
    """Return a planned change as it is booked."""
    return {
        "kind": str(row.kind),
        "state": str(row.state),
        "sets": [dict(store.as_json(one)) for one in row.sets],
        "due_at": row.due_at.isoformat(),
        "local": row.local,
        "zone": row.zone,
        "lasts_s": None if row.lasts is None else int(row.lasts.total_seconds()),
        "grace_s": int(row.grace.total_seconds()),
    }
