"""Changes planned for a time: when they may still be made, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from routing.core.values import PlanKind, PlanState

GRACE = timedelta(minutes=15)
LONGEST_GRACE = timedelta(hours=12)
FURTHEST = timedelta(days=90)
SHORTEST_END, LONGEST_END = timedelta(minutes=1), timedelta(days=7)
MONITORING_OFF_MOST = timedelta(hours=1)
UNDO_WITHIN = timedelta(seconds=10)
GLASS_MOST = timedelta(minutes=30)

NEXT: Mapping[PlanState, tuple[PlanState, ...]] = {
    PlanState.WAITING: tuple(state for state in PlanState if state is not PlanState.WAITING),
    **{state: () for state in PlanState if state is not PlanState.WAITING},
}
# What a person has to hear of: they counted on it, and it did not come.
ALARMS = frozenset({PlanState.REFUSED, PlanState.DRIFTED, PlanState.MISSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The moment of a change, and how a person said it; `grace` after it nobody makes it."""

    due_at: datetime
    local: str = ""
    zone: str = ""
    grace: timedelta = GRACE


class Time(StrEnum):
    """How the time of a planned change stands to now."""

    EARLY = "early"
    DUE = "due"
    TOO_LATE = "too_late"


def time_of(kind: PlanKind, due_at: datetime, grace: timedelta, now: datetime) -> Time:
    """Tell whether a change planned for `due_at` is early, due, or too late to be made at `now`.

    An end is never too late: what was meant for a while must not stay because nobody was there.
    """
    if now < due_at:
        return Time.EARLY
    if kind is PlanKind.CHANGE and now - due_at > grace:
        return Time.TOO_LATE
    return Time.DUE
