"""Planned changes and broken glass in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dashboard.cards.overview import OpenItem
from dashboard.cards.wording import flag_text
from routing.changes import ends, wall
from routing.core.flags import SetFlag
from routing.core.values import PlanKind, PlanState
from routing.glass.queries import GlassRow
from routing.schedule.queries import PlanRow

# Each state as one of the statuses that have a shape.
SHAPED: Mapping[PlanState, str] = {
    PlanState.WAITING: "partly",
    PlanState.DONE: "done",
    PlanState.CANCELLED: "off",
    PlanState.REFUSED: "failed",
    PlanState.DRIFTED: "failed",
    PlanState.MISSED: "failed",
    PlanState.DROPPED: "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """One planned change; `words` is what it sets, `at` its time as it was asked for."""

    id: int
    words: str
    is_end: bool
    state: str
    shape: str
    due_at: datetime
    at: str
    lasts: str
    reason: str
    who: str
    asked_at: datetime
    asked_entry: int
    alarms: bool
    closed_at: datetime | None
    because: str
    entry_seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassLine:
    """One time of break-glass with people's names."""

    id: int
    who: str
    reason: str
    broken_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    holds: bool
    reviewed_at: datetime | None
    reviewed_by: str
    review: str


def plan_line(row: PlanRow, names: Mapping[str, str]) -> PlanLine:
    """Word one planned change."""
    return PlanLine(
        id=row.id,
        words=turns(row.sets),
        is_end=row.kind is PlanKind.END,
        state=str(row.state),
        shape=SHAPED[row.state],
        due_at=row.due_at,
        at=wall.words(row.due_at, row.zone),
        lasts="" if row.lasts is None else ends.words(row.lasts),
        reason=row.reason,
        who=names.get(row.asked_by, row.asked_by),
        asked_at=row.asked_at,
        asked_entry=row.asked_entry,
        alarms=row.alarms,
        closed_at=row.closed_at,
        because=row.closed_because,
        entry_seq=row.entry_seq,
    )


def turns(sets: Iterable[SetFlag]) -> str:
    """Word what a planned change sets."""
    return ", ".join(f"{one.flag} {flag_text(one.on, one.percentage, one.groups)}" for one in sets)


def glass_line(row: GlassRow, names: Mapping[str, str], now: datetime) -> GlassLine:
    """Word one time of break-glass."""
    return GlassLine(
        id=row.id,
        who=names.get(row.broken_by, row.broken_by),
        reason=row.reason,
        broken_at=row.broken_at,
        ends_at=row.ends_at,
        ended_at=row.ended_at or (row.ends_at if now >= row.ends_at else None),
        holds=row.holds(now),
        reviewed_at=row.reviewed_at,
        reviewed_by=names.get(row.reviewed_by, row.reviewed_by),
        review=row.review,
    )


def plan_items(
    alarms: Sequence[PlanRow], waiting: Sequence[PlanRow], glass: Sequence[GlassRow], now: datetime
) -> tuple[OpenItem, ...]:
    """Return what is open about times: broken glass, what did not come, then what will come."""
    found = [_glass_item(row, now) for row in glass]
    found += [
        OpenItem(
            text=f"The {_kind(row)} planned for {_clock(row.due_at)} did not come "
            f"({row.state}): {turns(row.sets)}. {row.closed_because}",
            route="schedule",
        )
        for row in alarms
    ]
    found += [
        OpenItem(
            text=f"{turns(row.sets)} {'again ' if row.kind is PlanKind.END else ''}"
            f"at {_clock(row.due_at)}.",
            route="schedule",
        )
        for row in waiting
    ]
    return tuple(found)


def _kind(row: PlanRow) -> str:
    return "end" if row.kind is PlanKind.END else "change"


def _glass_item(row: GlassRow, now: datetime) -> OpenItem:
    if row.holds(now):
        text = f"The glass is broken until {_clock(row.ends_at)}."
    else:
        text = f"The break-glass of {_clock(row.broken_at)} waits for its review."
    return OpenItem(text=text, route="glass")


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%d %b %H:%M} UTC"
