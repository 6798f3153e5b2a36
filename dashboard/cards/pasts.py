"""The flags as they were, and what became of one of them, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboard.cards.wording import flag_text
from routing.core.flags import FlagName, State
from routing.core.values import Action, EnvironmentName
from routing.flags.past import Turn as Booked
from routing.flags.queries import Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A state of a flag: its shape's word and its text."""

    word: str
    text: str


def stand(state: State) -> Stand:
    """Word a state."""
    word = "off" if not state.on else "on" if state.percentage == 100 else "partly"
    return Stand(word=word, text=flag_text(state.on, state.percentage, state.groups))


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCell:
    """One flag in one environment at a past moment; `now` words what it is now if that differs.

    Without `then` it was not laid there yet.
    """

    environment: EnvironmentName
    then: Stand | None
    since: datetime | None
    by: str
    entry_seq: int
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRow:
    """One flag at a past moment, a cell for each environment of the grid."""

    name: FlagName
    purpose: str
    cells: tuple[PastCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastGrid:
    """All flags at a past moment; `summary` says how that differs from now."""

    at: datetime
    environments: tuple[EnvironmentName, ...]
    versions: Mapping[EnvironmentName, int]
    rows: tuple[PastRow, ...]
    summary: str


def past_grid(
    then: Grid,
    now: Grid,
    environments: Sequence[EnvironmentName],
    *,
    at: datetime,
    names: Mapping[str, str],
) -> PastGrid:
    """Word `then`, beside what is in force `now`."""
    today = {row.name: row.cells for row in now.rows}
    rows = []
    for row in then.rows:
        cells = []
        for environment in environments:
            old, new = row.cells.get(environment), today.get(row.name, {}).get(environment)
            differs = new is not None and not (old and old.state.gives_as(new.state))
            cells.append(
                PastCell(
                    environment=environment,
                    then=stand(old.state) if old else None,
                    since=old.changed_at if old else None,
                    by=names.get(old.changed_by, old.changed_by) if old else "",
                    entry_seq=old.entry_seq if old else 0,
                    now=stand(new.state).text if differs and new else "",
                )
            )
        rows.append(PastRow(name=row.name, purpose=row.purpose, cells=tuple(cells)))
    return PastGrid(
        at=at,
        environments=tuple(environments),
        versions=then.versions,
        rows=tuple(rows),
        summary=_summary(rows),
    )


def _summary(rows: Sequence[PastRow]) -> str:
    cells = [cell for row in rows for cell in row.cells]
    laid = [cell for cell in cells if cell.then]
    if not laid:
        return "No flags were laid yet"
    differing = sum(bool(cell.now) for cell in cells)
    if not differing:
        return f"All {len(cells)} states were as they are now"
    return f"{differing} of {len(cells)} states were not as they are now"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLine:
    """One booked change of a flag in words; `why` is empty for who may not read the trail.

    `just_after` is a moment at which all flags stood as this change left them.
    """

    environment: str
    seq: int
    at: datetime
    did: str
    before: Stand | None
    after: Stand | None
    version: int
    who: str
    role: str
    why: str
    together: tuple[str, ...]
    broken: str
    may_open: bool
    just_after: str


_DID: Mapping[str, str] = {
    Action.FLAG_CREATE: "laid",
    Action.FLAG_ADOPT: "adopted as it was found",
}


def turn_line(
    turn: Booked, names: Mapping[str, str], readable: Collection[EnvironmentName]
) -> TurnLine:
    """Word one change; the trail of the environments `readable` may be read by this person."""
    may_open = turn.environment in readable
    return TurnLine(
        environment=str(turn.environment or "nobody knows where"),
        seq=turn.seq,
        at=turn.at,
        did=_DID.get(turn.action, ""),
        before=stand(turn.before) if turn.before else None,
        after=stand(turn.after) if turn.after else None,
        version=turn.after.version if turn.after else 0,
        who=names.get(turn.actor, turn.actor),
        role=turn.role,
        why=turn.reason if may_open else "",
        together=turn.together,
        broken=turn.broken,
        may_open=may_open,
        just_after=moment(turn.at + timedelta(milliseconds=1)),
    )


def moment(at: datetime) -> str:
    """Write a moment to the millisecond as a field of a form and an address take it, in UTC."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}"
