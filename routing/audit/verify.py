"""Proof that the stored trail is the one that was written, as far as a chain alone can prove it.

A chain shows every edit, gap and wrong link. It cannot show that its newest entries are missing,
nor that all of it was computed anew: only a head kept elsewhere shows that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from routing.audit import body, guards, ledger, triggers
from routing.audit.ledger import EntryRef
from routing.core import chain
from routing.core.errors import Invalid

BATCH = 500
_DERIVED = (
    "at",
    "actor_kind",
    "actor",
    "action",
    "environment",
    "object_type",
    "object_id",
    "outcome",
    "request_id",
)
# Raw, so that a value of a wrong type is seen as what it is instead of failing to convert: an
# expression has no declared type by which SQLite's driver would choose a converter.
_AT = "COALESCE(at, NULL)"
_ROWS = (
    f"SELECT seq, body, prev, hash, {_AT}, {', '.join(_DERIVED[1:])} "  # noqa: S608
    "FROM routing_entry WHERE stream = %s AND seq > %s ORDER BY seq LIMIT %s"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found: `entries` checked good, `head` the last of them in the control stream.

    `first_bad` is the number of the first entry that is wrong or missing, `problem` says it in
    words (empty when `ok`). `unguarded` names the triggers that the database lacks; it does not
    change `ok`, since the entries are what they are.
    """

    ok: bool
    entries: int
    head: EntryRef | None
    first_bad: int | None
    problem: str
    unguarded: tuple[str, ...]


class _Bad(Exception):
    def __init__(self, seq: int | None, problem: str) -> None:
        super().__init__(problem)
        self.seq = seq
        self.problem = problem


def verify(*, on_progress: Callable[[int, int], None] | None = None) -> Report:
    """Check all entries of all streams that stand now; in memory never more than 500 of them.

    `on_progress` is told (done, total) after each batch. An empty log is not ok.
    """
    unguarded = tuple(guards.missing(connection))
    progress = _Progress(tell=on_progress)
    try:
        if not _migrated():
            raise _Bad(
                None,
                "There is nothing to verify: the database has no audit tables. "
                "Run `manage.py migrate`.",
            )
        progress.total = _total()
        if progress.total == 0 and not _opened():
            raise _Bad(None, "There is nothing to verify: no entry was ever written here.")
        _check_streams(progress)
        found = _Bad(None, "")
    except _Bad as bad:
        found = bad
    return Report(
        ok=not found.problem,
        entries=progress.done,
        head=progress.head,
        first_bad=found.seq,
        problem=found.problem,
        unguarded=unguarded,
    )


@dataclass(slots=True, kw_only=True)
class _Progress:
    tell: Callable[[int, int], None] | None
    total: int = 0
    done: int = 0
    head: EntryRef | None = None

    def step(self) -> None:
        if self.tell is not None:
            self.tell(self.done, max(self.total, self.done))


def _migrated() -> bool:
    return {triggers.ENTRY, triggers.STREAM} <= set(connection.introspection.table_names())


def _total() -> int:
    return int(_all("SELECT COUNT(*) FROM routing_entry")[0][0])


def _opened() -> dict[str, tuple[bytes, Any]]:
    rows = _all("SELECT name, log_id, COALESCE(opened_at, NULL) FROM routing_stream ORDER BY name")
    return {name: (_bytes(log_id), opened_at) for name, log_id, opened_at in rows}


def _all(statement: str, *values: str | int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _check_streams(progress: _Progress) -> None:
    opened = _opened()
    for name in sorted({str(row[0]) for row in _all("SELECT DISTINCT stream FROM routing_entry")}):
        if name not in opened:
            raise _Bad(1, f"The stream {name} has entries but was never opened.")
    for name, (log_id, opened_at) in opened.items():
        _check_stream(name, log_id, opened_at, progress)


def _check_stream(name: str, log_id: bytes, opened_at: Any, progress: _Progress) -> None:
    if len(log_id) != chain.HASH_BYTES:
        raise _Bad(1, f"The id of the log {name} was altered: it has {len(log_id)} bytes.")
    last = EntryRef(stream=name, seq=0, hash=chain.genesis(log_id).hex())
    for rows in _batches(name):
        for row in rows:
            last = _check_entry(row, last)
            if last.seq == 1:
                _check_opening(_bytes(row[1]), log_id, opened_at, row[4])
            progress.done += 1
            if name == ledger.CONTROL:
                progress.head = last
        progress.step()
    if last.seq == 0:
        raise _Bad(1, f"The stream {name} was opened and holds no entries: they were removed.")


def _batches(name: str) -> Iterator[list[tuple[Any, ...]]]:
    """Yield rows by keyset, so that what is appended meanwhile joins at the end, never between."""
    after = -1
    while rows := _all(_ROWS, name, after, BATCH):
        yield rows
        after = rows[-1][0]


def _check_entry(row: tuple[Any, ...], last: EntryRef) -> EntryRef:
    seq, text, prev, digest = row[0], _bytes(row[1]), _bytes(row[2]), _bytes(row[3])
    expected = last.seq + 1
    if seq != expected:
        raise _Bad(expected, f"Entry {expected} is missing: entry {seq} stands in its place.")
    if prev.hex() != last.hash:
        follows = f"entry {last.seq}" if last.seq else "the opening of this log"
        raise _Bad(seq, f"Entry {seq} does not follow {follows}: one of the two was replaced.")
    if chain.link(last.stream, seq, prev, text) != digest:
        raise _Bad(seq, f"Entry {seq} was altered: its text does not match its hash.")
    try:
        said = body.columns(text)
    except Invalid as error:
        raise _Bad(seq, f"Entry {seq} is no entry that we wrote. {error.message}") from None
    _check_columns(seq, said, row[4:], last.stream)
    return EntryRef(stream=last.stream, seq=seq, hash=digest.hex())


def _check_columns(seq: int, said: dict[str, Any], held: tuple[Any, ...], stream: str) -> None:
    for name, here in (("stream", stream), ("seq", seq)):
        if said[name] != here:
            raise _Bad(seq, f"Entry {seq} was moved: its text names {name} {said[name]}.")
    for name, value in zip(_DERIVED, held, strict=True):
        wanted = _stored(said[name]) if name == "at" else said[name]
        if value != wanted:
            raise _Bad(
                seq,
                f"Entry {seq} is shown wrongly: its text says {name} {_short(wanted)}, the "
                f"column beside it says {_short(value)}.",
            )


def _check_opening(text: bytes, log_id: bytes, opened_at: Any, at: Any) -> None:
    said: Any = chain.read(text)
    facts = said["facts"] if isinstance(said["facts"], dict) else {}
    if said["action"] != "stream.open" or facts.get("log_id") != log_id.hex():
        raise _Bad(1, "Entry 1 does not open this log: it names another log or none.")
    if opened_at != at:
        raise _Bad(1, "The time at which the log was opened differs from its first entry.")


def _stored(at: Any) -> Any:
    """Return `at` as the database's own driver gives it back, unconverted."""
    return connection.ops.adapt_datetimefield_value(at)


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


def _short(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 80 else text[:77] + "...")
