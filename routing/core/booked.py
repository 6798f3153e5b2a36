"""What the audit trail says the flags of an environment are, and how a table differs from it.

Every booked change of flags says the state of each after it, so the newest entry that names a
flag tells its state. Folding them gives the table; a row that does not come out of the fold was
written around us.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from routing.core.chain import Json
from routing.core.errors import AuditBroken
from routing.core.flags import State
from routing.core.values import Action

# What a fold reads; a drift that was found or reverted leaves the booked states as they are.
SETTING = frozenset({Action.FLAG_CREATE, Action.FLAG_CHANGE, Action.FLAG_ADOPT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A booked change as a fold reads it; `at` as the entry spells it."""

    seq: int
    at: str
    actor: str
    after: Json
    facts: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One flag as a table row or the trail has it; `entry_seq` is the entry of its change."""

    state: State
    entry_seq: int
    changed_by: str
    changed_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """All flags of an environment as booked; `version` is that of the set, 0 before the first."""

    version: int
    rows: Mapping[str, Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A flag that does not stand as booked; None where there is no row, or was never one."""

    flag: str
    booked: Row | None
    found: Row | None

    @property
    def is_state(self) -> bool:
        """Whether the flag itself differs, not only by whom and when it was changed."""
        return _said(self.booked) != _said(self.found)


def _said(row: Row | None) -> State | None:
    return row.state if row else None


def fold(newest_first: Iterable[Entry], wanted: Collection[str] = ()) -> Book:
    """Return the flags as the entries leave them; reads no further than `wanted` needs.

    Without `wanted` all entries are read. Raises AuditBroken for an entry that does not say it.
    """
    version = 0
    rows: dict[str, Row | None] = {}
    for number, entry in enumerate(newest_first):
        try:
            if number == 0:
                version = _whole(_mapping(entry.facts)["flags_version"])
            for flag, said in _mapping(entry.after).items():
                rows.setdefault(flag, None if said is None else _row(entry, said))
        except (KeyError, TypeError, ValueError):
            raise AuditBroken(
                f"Entry {entry.seq} does not say which flags it left in which state; run "
                "`manage.py verify_audit`."
            ) from None
        if wanted and rows.keys() >= set(wanted):
            break
    return Book(version=version, rows={flag: row for flag, row in rows.items() if row})


def differences(book: Book, table: Mapping[str, Row]) -> tuple[Difference, ...]:
    """Return each flag whose row is not what was booked, by name."""
    return tuple(
        Difference(flag=flag, booked=book.rows.get(flag), found=table.get(flag))
        for flag in sorted(book.rows.keys() | table.keys())
        if book.rows.get(flag) != table.get(flag)
    )


def as_json(state: State) -> dict[str, Json]:
    """Return a flag's state as it is booked."""
    return {
        "on": state.on,
        "percentage": state.percentage,
        "groups": list(state.groups),
        "version": state.version,
    }


def state_of(said: Any) -> State:
    """Return the state of a flag as an entry has it; raises KeyError, TypeError, ValueError."""
    return State(
        on=_is(said["on"], bool),
        percentage=_whole(said["percentage"]),
        groups=tuple(_is(group, str) for group in said["groups"]),
        version=_whole(said["version"]),
    )


def _row(entry: Entry, said: Any) -> Row:
    return Row(
        state=state_of(said), entry_seq=entry.seq, changed_by=entry.actor, changed_at=entry.at
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _is(value, dict)
    return found


def _whole(value: Any) -> int:
    return int(_is(value, int))


def _is(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(kind)
    return value
