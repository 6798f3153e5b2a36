"""The flags as they were, and what became of one of them, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboard.cards.wording import flag_text, flag_word
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
    return Stand(word=flag_word(state), text=flag_text(state.on, state.percentage, state.groups))


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCell:
    """One flag in one environment at a past moment; `now` words what it is now if that differs.

    Without `then` it was not laid there yet, or the trail does not tell. `by` is empty for who may
    not read the trail there.
    """

    environment: EnvironmentName
    then: Stand | None
    since: datetime | None
    by: str
    now: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRow:
    """One flag at a past moment, a cell for each environment of the grid."""

    name: FlagName
    purpose: str
    cells: tuple[PastCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastGrid:
    """All flags at a past moment, or as entry `upto` left them; `summary` tells it beside now.

    `unknown` maps environments whose flags the trail does not tell to why.
    """

    at: datetime
    upto: int | None
    unknown: Mapping[EnvironmentName, str]
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
    upto: int | None = None,
    names: Mapping[str, str],
    readable: Collection[EnvironmentName],
) -> PastGrid:
    """Word `then`, beside what is in force `now`; the trail of `readable` ones may be read."""
    today = {row.name: row.cells for row in now.rows}
    rows = []
    for row in then.rows:
        cells = []
        for environment in environments:
            old, new = row.cells.get(environment), today.get(row.name, {}).get(environment)
            if environment in then.unknown:
                beside = ""
            elif old and new:
                beside = "" if old.state.gives_as(new.state) else stand(new.state).text
            else:
                beside = stand(new.state).text if new else "without a row" if old else ""
            cells.append(
                PastCell(
                    environment=environment,
                    then=stand(old.state) if old else None,
                    since=old.changed_at if old else None,
                    by=names.get(old.changed_by, old.changed_by)
                    if old and environment in readable
                    else "",
                    now=beside,
                )
            )
        rows.append(PastRow(name=row.name, purpose=row.purpose, cells=tuple(cells)))
    return PastGrid(
        at=at,
        upto=upto,
        unknown=then.unknown,
        environments=tuple(environments),
        versions=then.versions,
        rows=tuple(rows),
        summary=_summary(rows, then.unknown),
    )


def _summary(rows: Sequence[PastRow], unknown: Collection[EnvironmentName]) -> str:
    cells = [cell for row in rows for cell in row.cells if cell.environment not in unknown]
    if not cells:
        return "Nobody knows how the flags stood"
    differing = sum(bool(cell.now) for cell in cells)
    if not any(cell.then for cell in cells):
        words = "No flags were laid yet"
    elif not differing:
        words = f"All {len(cells)} states were as they are now"
    else:
        words = f"{differing} of {len(cells)} states were not as they are now"
    return f"{words}; of {', '.join(unknown)} nobody knows" if unknown else words


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLine:
    """One booked change of a flag in words; who and why are empty where one may not read that."""

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
        environment=str(turn.environment or ""),
        seq=turn.seq,
        at=turn.at,
        did=_DID.get(turn.action, ""),
        before=stand(turn.before) if turn.before else None,
        after=stand(turn.after) if turn.after else None,
        version=turn.after.version if turn.after else 0,
        who=names.get(turn.actor, turn.actor) if may_open else "",
        role=turn.role if may_open else "",
        why=turn.reason if may_open else "",
        together=turn.together,
        broken=turn.broken,
        may_open=may_open,
    )


def moment(at: datetime) -> str:
    """Write a moment to the millisecond as a field of a form and an address take it, in UTC."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}"
