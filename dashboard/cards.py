"""Rows turned into frozen, worded facts: templates are told, they do not ask."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from routing.audit.queries import EntryRow
from routing.core.flags import FlagName
from routing.core.guards import PROVIDER, Answer, Judgement
from routing.core.values import Action, EnvironmentName
from routing.flags.queries import Cell, FlagRow, Grid

LONGEST_VALUE = 80
FLAG_STATE = frozenset({"on", "percentage", "version"})


def ago(at: datetime, now: datetime) -> str:
    """Return how long before `now` a thing happened, in words; the future is `just now`."""
    seconds = max(0, int((now - at).total_seconds()))
    if seconds < 5:
        return "just now"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def absolute(at: datetime) -> str:
    """Return the time to the second with its zone."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def diff(before: Any, after: Any) -> tuple[tuple[str, str, str], ...]:
    """Return what differs as (name, before, after), nested names joined by a dot.

    A flag's state is one word. A side that is absent is empty; equal sides differ in nothing.
    """
    old, new = dict(_flat("", before)), dict(_flat("", after))
    names = [*old, *(name for name in new if name not in old)]
    told = ((name, old.get(name, ""), new.get(name, "")) for name in names)
    return tuple(line for line in told if line[1] != line[2])


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield name, _plain(value)
    elif FLAG_STATE.issubset(value):
        yield name, flag_text(value["on"], value["percentage"])
    else:
        for key, inner in value.items():
            yield from _flat(f"{name} · {key}" if name else str(key), inner)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return ("no", "yes")[value]
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        text = ", ".join(_plain(inner) for inner in value)
    else:
        text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def flag_text(on: Any, percentage: Any) -> str:
    """Word the state of a flag."""
    if not on:
        return "off"
    return "on" if percentage == 100 else f"on for {percentage} %"


DID: Mapping[str, str] = {
    Action.STREAM_OPEN: "opened the audit trail",
    Action.SIGNIN: "signed in",
    Action.SIGNIN_FAILURES: "failed to sign in",
    Action.SIGNOUT: "signed out",
    Action.USER_CREATE: "made the account",
    Action.ROLE_GRANT: "granted a role to",
    Action.ROLE_REVOKE: "took a role from",
    Action.TOKEN_ISSUE: "issued the token",
    Action.TOKEN_REVOKE: "revoked the token",
    Action.ENVIRONMENT_CREATE: "set up the environment",
    Action.FLAG_CREATE: "laid the flags of",
    Action.FLAG_CHANGE: "changed",
    Action.DENIALS_SUPPRESSED: "was refused more often than is booked one by one",
}
# These say all by themselves; the object would only repeat the actor.
_NO_OBJECT = frozenset({Action.SIGNIN, Action.SIGNOUT, Action.STREAM_OPEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One entry in words. `who` is a name where one is known, `actor` always what is booked."""

    seq: int
    at: datetime | None
    who: str
    actor: str
    role: str
    did: str
    target: str
    changes: tuple[tuple[str, str, str], ...]
    reason: str
    outcome: str
    broken: str


def audit_line(row: EntryRow, names: Mapping[str, str]) -> AuditLine:
    """Word one entry; `names` maps what is booked for a person to the username of today."""
    return AuditLine(
        seq=row.seq,
        at=None if row.broken and not row.action else row.at,
        who=names.get(row.actor, row.actor) or "nobody known",
        actor=row.actor,
        role=row.role,
        did=DID.get(row.action, row.action) if row.outcome == "done" else _tried(row),
        target="" if row.action in _NO_OBJECT else names.get(row.object_id, row.object_id),
        changes=diff(row.before, row.after),
        reason=row.reason,
        outcome=row.outcome or "unknown",
        broken=row.broken,
    )


def _tried(row: EntryRow) -> str:
    # Counted failures are booked as refused, and their words already say so.
    if row.action in (Action.SIGNIN_FAILURES, Action.DENIALS_SUPPRESSED, ""):
        return DID.get(row.action, row.action)
    return f"tried, and was refused: {DID.get(row.action, row.action)}"


def pretty(value: Any) -> str:
    """Return a booked value as JSON for reading; empty for none."""
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagCell:
    """One flag in one environment. `to` is what a lever would switch it to."""

    environment: EnvironmentName
    word: str
    text: str
    to: str
    version: int
    changed_at: datetime
    changed_by: str
    entry_seq: int
    declared: str
    differs: bool
    was_changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagCard:
    """One flag: what it is for, its state here, and in the other environments of this person.

    `row` is its place in the grid, counted from 1 in declared order, for both sides of the grid.
    """

    name: FlagName
    row: int
    purpose: str
    when_off: str
    here: FlagCell
    elsewhere: tuple[FlagCell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsGrid:
    """The flags of one environment at one version of their set."""

    environment: EnvironmentName
    version: int
    now: datetime
    rows: tuple[FlagCard, ...]


def flags_grid(
    grid: Grid, environment: EnvironmentName, *, names: Mapping[str, str], now: datetime
) -> FlagsGrid:
    """Word `grid` as seen from `environment`; flags that were never laid there are left out."""
    return FlagsGrid(
        environment=environment,
        version=grid.versions.get(environment, 0),
        now=now,
        rows=tuple(
            flag_card(row, environment, names) for row in grid.rows if environment in row.cells
        ),
    )


def flag_card(row: FlagRow, environment: EnvironmentName, names: Mapping[str, str]) -> FlagCard:
    """Word one flag as seen from `environment`, where it must be laid."""
    others = (cell for name, cell in row.cells.items() if name is not environment)
    return FlagCard(
        name=row.name,
        row=list(FlagName).index(row.name) + 1,
        purpose=row.purpose,
        when_off=row.when_off,
        here=_flag_cell(row.cells[environment], names),
        elsewhere=tuple(_flag_cell(cell, names) for cell in others),
    )


def _flag_cell(cell: Cell, names: Mapping[str, str]) -> FlagCell:
    state, declared = cell.state, ("off", "on")[cell.default]
    word = "off" if not state.on else "on" if state.percentage == 100 else "partly"
    return FlagCell(
        environment=cell.environment,
        word=word,
        text=flag_text(state.on, state.percentage),
        to="off" if state.on else "on",
        version=state.version,
        changed_at=cell.changed_at,
        changed_by=names.get(cell.changed_by, cell.changed_by),
        entry_seq=cell.entry_seq,
        declared=declared,
        differs=word != declared,
        was_changed=state.version > 1,
    )


def flags_summary(grid: FlagsGrid) -> str:
    """Say in one sentence how the flags of an environment stand against their declaration."""
    if not grid.rows:
        return f"No flags were laid in {grid.environment} yet"
    off = [str(card.name) for card in grid.rows if card.here.differs]
    if not off:
        return f"All {len(grid.rows)} flags of {grid.environment} stand as declared"
    if len(off) == 1:
        return f"{off[0]} differs from its declaration in {grid.environment}"
    return (
        f"{len(off)} of {len(grid.rows)} flags differ from their declaration in {grid.environment}"
    )


def last_changed(cards: Sequence[FlagCard]) -> FlagCard | None:
    """Return the flag that changed last, None while all are as they were laid."""
    changed = [card for card in cards if card.here.was_changed]
    return max(changed, key=lambda card: card.here.changed_at, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A change before it is made: from what to what, what stops, and what is asked for it."""

    name: FlagName
    purpose: str
    when_off: str
    before: FlagCell
    to: str
    cause: str
    effects: tuple[str, ...]
    refused: str
    is_done: bool
    needs_reason: bool
    needs_typed: bool
    needs_confirm: bool
    shuts_path: bool


def review(
    card: FlagCard,
    *,
    to: str,
    cause: str = "",
    judgement: Judgement | None = None,
    refused: str = "",
) -> Review:
    """Word the change of one flag `to` on or off; without a judgement there is nothing to do."""
    environment = card.here.environment
    effects = judgement.effects or (judgement.sentence,) if judgement else ()
    return Review(
        name=card.name,
        purpose=card.purpose,
        when_off=card.when_off,
        before=card.here,
        to=to,
        cause=cause,
        effects=effects,
        refused=refused,
        is_done=judgement is None,
        needs_reason=environment is not EnvironmentName.DEVELOPMENT,
        needs_typed=environment is EnvironmentName.PRODUCTION,
        needs_confirm=judgement is not None and judgement.answer is Answer.CONFIRM,
        shuts_path=to == "off" and card.name in PROVIDER.values(),
    )
