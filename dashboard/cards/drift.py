"""Flags that somebody changed around us, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dashboard.cards.wording import flag_text
from routing.changes.drift import Drift
from routing.core.booked import Difference, Row
from routing.core.values import EnvironmentName


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLine:
    """One flag that is not as booked; `note` says what else than its state differs."""

    flag: str
    booked: str
    found: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCard:
    """What waits for an admin: `touches` is the state that is looked at."""

    environment: EnvironmentName
    touches: int
    title: str
    lines: tuple[DriftLine, ...]
    needs_reason: bool
    needs_typed: bool


def drift_card(found: Drift, names: Mapping[str, str]) -> DriftCard:
    """Word a drift that is open."""
    place = found.environment
    how = "it is in force" if found.applied else "it is not applied, and every process knows"
    writes = "1 write" if found.unexplained == 1 else f"{found.unexplained} writes"
    return DriftCard(
        environment=place,
        touches=found.touches,
        title=f"{writes} of the flags of {place} that nobody booked; {how}.",
        lines=tuple(_line(one, names) for one in found.differences),
        needs_reason=place is not EnvironmentName.DEVELOPMENT,
        needs_typed=place is EnvironmentName.PRODUCTION,
    )


def _line(one: Difference, names: Mapping[str, str]) -> DriftLine:
    note = ""
    if not one.is_state and one.found is not None:
        note = f"said to be changed by {names.get(one.found.changed_by, one.found.changed_by)}"
    return DriftLine(flag=one.flag, booked=_word(one.booked), found=_word(one.found), note=note)


def _word(row: Row | None) -> str:
    if row is None:
        return "no row"
    state = row.state
    return f"{flag_text(state.on, state.percentage, state.groups)}, version {state.version}"
