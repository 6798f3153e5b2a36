"""Flags, and changes of them, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from dashboard.cards.wording import flag_text, flag_word
from routing.core.flags import DECLARED, FlagName, State, leftover
from routing.core.values import EnvironmentName
from routing.deployments.desired import Desired
from routing.flags.queries import Cell, FlagRow, Grid
from routing.schedule.queries import PlanRow


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagCell:
    """One flag in one environment. `to` is what a lever would switch it to.

    `wanted` is what it should be, as `wanted_by` has it: released, or declared.
    """

    environment: EnvironmentName
    word: str
    text: str
    to: str
    version: int
    changed_at: datetime
    changed_by: str
    entry_seq: int
    wanted: str
    wanted_by: str
    differs: bool
    was_changed: bool
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagCard:
    """One flag: what it is for, its state here, and in the other environments of this person.

    `row` is its place in the grid, counted from 1 in declared order, for both sides of the grid.
    `asked_at` is when it was last asked for here; `leftover` says why it looks left over, if so.
    """

    name: FlagName
    row: int
    purpose: str
    when_off: str
    owner: str
    here: FlagCell
    elsewhere: tuple[FlagCell, ...]
    asked_at: datetime | None = None
    leftover: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsGrid:
    """The flags of one environment at one version of their set.

    `is_drifted` says that somebody changed flags around us, `is_kept_back` that this is not
    applied: the rows are what is booked.
    """

    environment: EnvironmentName
    version: int
    now: datetime
    rows: tuple[FlagCard, ...]
    is_drifted: bool = False
    is_kept_back: bool = False


def flags_grid(
    grid: Grid,
    environment: EnvironmentName,
    *,
    names: Mapping[str, str],
    now: datetime,
    desired: Desired,
    planned: Sequence[PlanRow] = (),
    asked: Mapping[FlagName, datetime] | None = None,
) -> FlagsGrid:
    """Word `grid` as seen from `environment`; flags that were never laid there are left out.

    `planned` is what waits there, for the ends of what holds for a while; `asked` tells when
    each was last asked for there.
    """
    drifted = environment in grid.drifted
    return FlagsGrid(
        environment=environment,
        version=grid.versions.get(environment, 0),
        now=now,
        rows=tuple(
            _noted(flag_card(row, environment, names, desired, planned), asked or {}, now)
            for row in grid.rows
            if environment in row.cells
        ),
        is_drifted=drifted,
        is_kept_back=drifted and environment is not EnvironmentName.DEVELOPMENT,
    )


def flag_card(
    row: FlagRow,
    environment: EnvironmentName,
    names: Mapping[str, str],
    desired: Desired,
    planned: Sequence[PlanRow] = (),
) -> FlagCard:
    """Word one flag as seen from `environment`, where it must be laid; `desired` is of there."""
    others = (cell for name, cell in row.cells.items() if name is not environment)
    here = row.cells[environment]
    ends = [plan.due_at for plan in planned if plan.holds(row.name, here.state.version)]
    return FlagCard(
        name=row.name,
        row=list(FlagName).index(row.name) + 1,
        purpose=row.purpose,
        when_off=row.when_off,
        owner=row.owner,
        here=replace(_flag_cell(here, names, desired, row.name), ends_at=min(ends, default=None)),
        elsewhere=tuple(_flag_cell(cell, names, None, row.name) for cell in others),
    )


def _noted(card: FlagCard, asked: Mapping[FlagName, datetime], now: datetime) -> FlagCard:
    at = asked.get(card.name)
    why = leftover(DECLARED[card.name], changed_at=card.here.changed_at, asked_at=at, now=now)
    return replace(card, asked_at=at, leftover=why)


def _flag_cell(
    cell: Cell, names: Mapping[str, str], desired: Desired | None, name: FlagName
) -> FlagCell:
    state = cell.state
    wanted = desired.states[name] if desired else State(on=cell.default)
    return FlagCell(
        environment=cell.environment,
        word=flag_word(state),
        text=flag_text(state.on, state.percentage, state.groups),
        to="off" if state.on else "on",
        version=state.version,
        changed_at=cell.changed_at,
        changed_by=names.get(cell.changed_by, cell.changed_by),
        entry_seq=cell.entry_seq,
        wanted=flag_text(wanted.on, wanted.percentage, wanted.groups),
        wanted_by="released" if desired and desired.release else "declared",
        differs=not state.gives_as(wanted),
        was_changed=state.version > 1,
    )


def flags_summary(grid: FlagsGrid) -> str:
    """Say in one sentence how the flags of an environment stand against what they should be."""
    if not grid.rows:
        return f"No flags were laid in {grid.environment} yet"
    if grid.is_kept_back:
        return f"Flags of {grid.environment} were changed around us; that is not applied"
    differing = [card for card in grid.rows if card.here.differs]
    by = grid.rows[0].here.wanted_by
    if not differing:
        return f"All {len(grid.rows)} flags of {grid.environment} stand as {by}"
    if len(differing) > 1:
        return f"{len(differing)} of {len(grid.rows)} flags of {grid.environment} are not as {by}"
    (card,) = differing
    return f"{card.name} is {card.here.text} in {grid.environment}, {by} {card.here.wanted}"


def last_changed(cards: Sequence[FlagCard]) -> FlagCard | None:
    """Return the flag that changed last, None while all are as they were laid."""
    changed = [card for card in cards if card.here.was_changed]
    return max(changed, key=lambda card: card.here.changed_at, default=None)
