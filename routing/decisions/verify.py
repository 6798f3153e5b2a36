"""Proof that the decisions in the database are the ones that were written, as far as chains can.

Every stream is checked from its `opened` record on: links, gapless numbers, the query columns
against the bytes that were chained, and that each answer in pieces has begun once and ended once,
as far as no gap is booked. A whole stream that was removed leaves nothing to check here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from routing.core import chain
from routing.core.errors import Invalid
from routing.decisions import record, shipper

BATCH = 500
TABLE = "routing_decision"
_DERIVED = (
    "at",
    "kind",
    "decision_id",
    "environment",
    "operation",
    "intended",
    "effective",
    "reason",
    "synthetic",
    "within_budget",
    "duration_us",
)
# Raw, so that a value of a wrong type is seen as what it is: an expression has no declared type
# by which SQLite's driver would choose a converter.
_ROWS = (
    "SELECT seq, body, prev, hash, COALESCE(at, NULL), "  # noqa: S608 - constants of ours
    + ", ".join(_DERIVED[1:])
    + f" FROM {TABLE} WHERE stream = %s AND seq > %s ORDER BY seq LIMIT %s"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found: `records` checked good in `streams` streams; none at all is ok.

    `bad_stream` and `first_bad` name the first record that is wrong or missing, `problem` says it
    in words (empty when `ok`).
    """

    ok: bool
    streams: int
    records: int
    bad_stream: str
    first_bad: int | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    seq: int
    hash: bytes
    kind: str
    pairs: _Pairs


@dataclass(slots=True)
class _Pairs:
    """The answers that have begun in a stream and not ended, in memory as many as were at once.

    `missing` is how many records a gap says that it lacks: one of a pair may be among them.
    """

    open: set[str] = field(default_factory=set)
    missing: int = 0

    def see(self, said: dict[str, Any]) -> str:
        """Take in one record; return what is wrong with it, empty for nothing."""
        kind, id = said["kind"], str(said.get("id", ""))
        if kind == "gap":
            self.missing += int(said["count"])
        elif kind == record.OPENING:
            if id in self.open:
                return f"begins the answer {id}, which had begun already"
            self.open.add(id)
        elif kind == "decision" and said.get("streamed"):
            if id not in self.open and not self._lacks(1):
                return f"ends the answer {id}, which had not begun or had ended already"
            self.open.discard(id)
        elif kind == "closed" and not self._lacks(len(self.open)):
            return f"closes the stream, and no record ends the answer {min(self.open)}"
        return ""

    def _lacks(self, count: int) -> bool:
        self.missing -= count
        return self.missing >= 0


class _Bad(Exception):
    def __init__(self, seq: int, problem: str) -> None:
        super().__init__(problem)
        self.seq = seq
        self.problem = problem


def verify(*, on_progress: Callable[[int, int], None] | None = None) -> Report:
    """Check all records that stand now; in memory never more than 500 of them.

    `on_progress` is told (done, total) after each batch.
    """
    if TABLE not in connection.introspection.table_names():
        return _report(0, 0, problem="The database has no decisions: run `manage.py migrate`.")
    total = int(_all(f"SELECT COUNT(*) FROM {TABLE}")[0][0])  # noqa: S608 - a constant of ours
    streams = [str(row[0]) for row in _all(f"SELECT DISTINCT stream FROM {TABLE} ORDER BY stream")]  # noqa: S608
    records = 0
    for count, stream in enumerate(streams):
        try:
            for checked in _check_stream(stream):
                records += checked
                if on_progress is not None:
                    on_progress(records, max(total, records))
        except _Bad as bad:
            return _report(
                count, records + bad.seq - 1, stream=stream, seq=bad.seq, problem=bad.problem
            )
    return _report(len(streams), records)


def _report(
    streams: int, records: int, *, stream: str = "", seq: int | None = None, problem: str = ""
) -> Report:
    return Report(
        ok=not problem,
        streams=streams,
        records=records,
        bad_stream=stream,
        first_bad=seq,
        problem=problem,
    )


def _all(statement: str, *values: str | int) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _check_stream(stream: str) -> Iterator[int]:
    """Yield how many records of each batch are good; raises _Bad at the first that is not."""
    last = _Last(seq=0, hash=b"", kind="", pairs=_Pairs())
    while rows := _all(_ROWS, stream, last.seq, BATCH):
        for row in rows:
            last = _check(stream, row, last)
        yield len(rows)


def _check(stream: str, row: tuple[Any, ...], last: _Last) -> _Last:
    seq, text, prev, digest = row[0], _bytes(row[1]), _bytes(row[2]), _bytes(row[3])
    expected = last.seq + 1
    if seq != expected:
        raise _Bad(
            expected,
            f"Record {expected} of {stream} is missing: record {seq} stands in its place.",
        )
    said = _said(stream, seq, text)
    if prev != (last.hash or _opening(stream, said)):
        follows = f"record {last.seq}" if last.seq else "the opening of its stream"
        raise _Bad(seq, f"Record {seq} of {stream} does not follow {follows}.")
    if chain.link(stream, seq, prev, text) != digest:
        raise _Bad(seq, f"Record {seq} of {stream} was altered: its text does not match its hash.")
    if last.kind == "closed":
        raise _Bad(seq, f"Record {seq} of {stream} follows the one that closed the stream.")
    _check_columns(stream, seq, said, row[4:])
    problem = last.pairs.see(said)
    if problem:
        raise _Bad(seq, f"Record {seq} of {stream} {problem}.")
    return _Last(seq=seq, hash=digest, kind=str(said["kind"]), pairs=last.pairs)


def _said(stream: str, seq: int, text: bytes) -> dict[str, Any]:
    try:
        said = chain.read(text)
    except Invalid as error:
        raise _Bad(seq, f"Record {seq} of {stream} is none of ours. {error.message}") from None
    if not isinstance(said, dict) or (said.get("stream"), said.get("seq")) != (stream, seq):
        raise _Bad(seq, f"Record {seq} of {stream} was moved: its text names another place.")
    return said


def _opening(stream: str, said: dict[str, Any]) -> bytes:
    """Return what the first record must follow: the id that it gives its stream."""
    try:
        if said["kind"] != "opened":
            raise ValueError(said["kind"])
        return chain.genesis(bytes.fromhex(said["log_id"]))
    except (Invalid, KeyError, TypeError, ValueError):
        raise _Bad(1, f"Record 1 of {stream} does not open the stream.") from None


def _check_columns(stream: str, seq: int, said: dict[str, Any], held: tuple[Any, ...]) -> None:
    try:
        wanted = shipper.derive(said)
    except (KeyError, TypeError, ValueError):
        raise _Bad(seq, f"Record {seq} of {stream} lacks what every record says.") from None
    for name, value in zip(_DERIVED, held, strict=True):
        expected = _stored(wanted[name]) if name == "at" else wanted[name]
        if value != expected:
            raise _Bad(
                seq,
                f"Record {seq} of {stream} is shown wrongly: its text says {name} "
                f"{_short(expected)}, the column beside it says {_short(value)}.",
            )


def _stored(at: Any) -> Any:
    """Return `at` as the database's own driver gives it back, unconverted."""
    return connection.ops.adapt_datetimefield_value(at)


def _bytes(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""


def _short(value: Any) -> str:
    text = str(value)
    return repr(text if len(text) <= 80 else text[:77] + "...")
