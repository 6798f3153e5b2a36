"""Undo, outside production and for 10 s: the flags as they were before one's own last change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing.audit import ledger
from routing.audit import queries as audit
from routing.audit.queries import EntryRow, Filters
from routing.changes import change
from routing.changes.change import Applied
from routing.core import plans, rights
from routing.core.chain import Json
from routing.core.errors import NotFound, RuleBroken, Stale
from routing.core.flags import FlagName, SetFlag
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName, Health, Outcome, Path
from routing.schedule import queries as schedule

RULE = "undo_window"


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoable:
    """A change that may still be undone: its entry, its flags, and until when."""

    entry_seq: int
    flags: tuple[FlagName, ...]
    until: datetime


def latest(by: Actor, environment: EnvironmentName, now: datetime) -> Undoable | None:
    """Return what `by` may undo in `environment` at `now`, None where there is nothing.

    It is the last change of flags of the environment, if it is theirs and was made in the last
    10 s.
    """
    if environment is EnvironmentName.PRODUCTION:
        return None
    if not rights.can(by, Right.CHANGE, environment):
        return None
    asked = Filters(
        environment=environment,
        action=Action.FLAG_CHANGE,
        outcome=Outcome.DONE,
    )
    # The newest is found by an index; there is none over times.
    rows = audit.page(filters=asked, size=1).rows
    if not rows or rows[0].actor != by.id or now - rows[0].at > plans.UNDO_WITHIN:
        return None
    return Undoable(
        entry_seq=rows[0].seq,
        flags=tuple(one.flag for one in _back(rows[0])),
        until=rows[0].at + plans.UNDO_WITHIN,
    )


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    entry_seq: int,
    health: Mapping[Path, Health],
) -> Applied:
    """Put every flag of that change back to the state before it, as a new change.

    Its entry names the one that it undoes. A state that would have ended by itself gets its end
    back. Raises Forbidden, RuleBroken (production, another's change, or over 10 s ago), NotFound,
    Stale where somebody changed a flag since, and whatever a guard refuses; each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.FLAG_CHANGE,
        environment=environment,
        object_type="flags",
        object_id=str(environment),
        reason=_why(entry_seq),
    ):
        rights.check(by, Right.CHANGE, environment)
        sets = _back(_undoable(by, now, environment, entry_seq))
    return change.apply(
        by=by,
        now=now,
        environment=environment,
        sets=sets,
        reason=_why(entry_seq),
        health=health,
        confirmed=True,  # it was so ten seconds ago
        ends_at=_end_again(environment, sets, now),
        told={"undoes": entry_seq},
    )


def _why(entry_seq: int) -> str:
    return f"Undo of entry #{entry_seq}."


def _undoable(by: Actor, now: datetime, environment: EnvironmentName, entry_seq: int) -> EntryRow:
    if environment is EnvironmentName.PRODUCTION:
        raise RuleBroken(
            "Nothing is undone in production: a step back is a change of its own there, with its "
            "effect shown before it.",
            rule=RULE,
        )
    row = audit.entry(stream=ledger.CONTROL, seq=entry_seq)
    is_change = row.action == Action.FLAG_CHANGE and row.outcome == Outcome.DONE
    if not is_change or row.environment != environment:
        raise NotFound(f"Entry #{entry_seq} is no change of flags in {environment}.")
    if row.actor != by.id:
        raise RuleBroken(
            "Only the person who made a change undoes it. Switch the flag yourself instead.",
            rule=RULE,
        )
    if now - row.at > plans.UNDO_WITHIN:
        raise RuleBroken(
            f"Over: a change is undone within {plans.UNDO_WITHIN.seconds} s. Switch the flag "
            "back instead.",
            rule=RULE,
        )
    return row


def _back(row: EntryRow) -> tuple[SetFlag, ...]:
    before, after = _booked(row.before), _booked(row.after)
    return tuple(
        SetFlag(
            flag=FlagName(name),
            on=was["on"],
            percentage=was["percentage"],
            groups=tuple(was.get("groups", ())),
            base_version=after[name]["version"],
        )
        for name, was in before.items()
    )


def _booked(value: Json) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _end_again(
    environment: EnvironmentName, sets: tuple[SetFlag, ...], now: datetime
) -> datetime | None:
    """Return the end that the state to be restored had, if it is still ahead."""
    had = [schedule.end_of(environment, one.flag, one.base_version - 1) for one in sets]
    ahead = [plan.due_at for plan in had if plan and plan.due_at - now >= plans.SHORTEST_END]
    if any(had) and not ahead:
        raise Stale(
            "What was before would have ended within a minute. Nothing was undone; leave it, or "
            "switch the flag yourself.",
            current=None,
        )
    return min(ahead, default=None)
