"""Copies segments into the database, in order and idempotently by (stream, sequence).

A segment whose writer has died is read to its last whole record, closed by its successor and
shipped like the others; a part that is shipped whole is kept under the ending `.shipped`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import DatabaseError, connection, transaction

from routing.core import chain
from routing.core.errors import Broken
from routing.decisions import record, segment
from routing.decisions.log import stamp
from routing.decisions.models import Decision

log = logging.getLogger(__name__)
UNDER_WAY_S = 600.0  # an answer in pieces takes half of it at most
BATCH = 512  # keeps each transaction under 50 ms; each one waits for the disk at its end
ROWS = 128  # of one statement
# Of a Decision: what the record is, then what `derive` finds in it.
_COLUMNS = (
    *("stream", "seq", "body", "prev", "hash"),
    *("kind", "at", "decision_id", "environment", "operation", "intended", "effective"),
    *("reason", "synthetic", "within_budget", "duration_us"),
)
AT_ONCE = 5_000  # of one stream, before the other streams and whoever waits have their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one stream was shipped: its last record's number and link, and where that ends."""

    path: Path
    seq: int = 0
    link: bytes = b""
    offset: int = 0
    closed: bool = False


class Shipper:
    """Ships the segments of `folder`; `live` is the stream of this process.

    `synced` tells how far that one is on disk: what is not might still be taken back. `broken`
    holds, by stream, what is wrong with a segment that is left alone until somebody looked at it.
    `count` is told what each batch says within the transaction that stores it, so that what it
    adds up holds each record once; what it raises takes the batch back. `known` returns, by number
    and link, what a record of `live` says (`fresh.SAID` of its body), None where it is to be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        live: str,
        synced: Callable[[], int],
        count: Callable[[Sequence[Mapping[str, Any]]], None] = lambda _: None,
        known: Callable[[int, bytes], dict[str, Any] | None] = lambda *_: None,
    ) -> None:
        self.folder = folder
        self.live = live
        self.broken: dict[str, str] = {}
        self._synced = synced
        self._count = count
        self._known = known
        self._at: dict[str, Progress] = {}
        self._settled: set[str] = set()

    def close_the_dead(self, now: datetime) -> list[str]:
        """Close every segment whose process has ended; return their streams.

        One server uses a home at a time (its lock file), so every other segment is a dead one's.
        What the disk does not take now is tried again with the next call.
        """
        closed = []
        for stream, parts in self._streams():
            if stream == self.live or stream in self._settled:
                continue
            try:
                if _close(parts, stream, now, by=self.live):
                    closed.append(stream)
                self._settled.add(stream)
            except Broken as error:
                self._leave(stream, error)
            except OSError:
                log.exception("%s could not be closed; the next round tries again.", stream)
        return closed

    def ship(self) -> int:
        """Copy what is new into the database, at most 5 000 records a stream; return how many.

        Raises DatabaseError while the database is away; the next call goes on where it stands.
        """
        copied = 0
        for stream, parts in self._streams():
            try:
                copied += self._ship(stream, parts)
            except Broken as error:
                self._leave(stream, error)
            except OSError:
                log.exception("%s could not be read; the next round tries again.", stream)
        return copied

    def lag(self) -> int:
        """Return how many records of this process are not in the database yet."""
        return self._synced() - self.stored()

    def stored(self) -> int:
        """Return the last record of this process that the database is known to have."""
        mine = self._at.get(self.live)
        return mine.seq if mine else 0

    def others(self) -> int:
        """Return how many streams of ended processes are not in the database whole."""
        return sum(stream != self.live for stream, _ in self._streams())

    def _streams(self) -> list[tuple[str, list[Path]]]:
        found = segment.streams(self.folder)
        return [(stream, parts) for stream, parts in found.items() if stream not in self.broken]

    def _leave(self, stream: str, error: Broken) -> None:
        log.error("%s", error.message)
        self.broken[stream] = error.message

    def _ship(self, stream: str, parts: Sequence[Path]) -> int:
        at = self._at.get(stream) or _resume(stream, parts)
        first = at.seq
        for path in parts[parts.index(at.path) :] if at.path in parts else parts:
            if path != at.path:
                at = replace(at, path=path, offset=0)
            at = self._ship_part(stream, at, most=AT_ONCE - (at.seq - first))
            if at.seq - first >= AT_ONCE:
                break
        self._put_aside(stream, parts, at)
        return at.seq - first

    def _ship_part(self, stream: str, at: Progress, *, most: int) -> Progress:
        upto = self._synced() if stream == self.live else None
        found = segment.read(at.path, stream=stream, after=at.seq, offset=at.offset, upto=upto)
        records = islice(found, most)
        while batch := list(islice(records, BATCH)):
            if batch[0].seq != at.seq + 1 or (at.seq and batch[0].prev != at.link):
                raise Broken(
                    f"{at.path.name} does not follow record {at.seq} of its stream; look for the "
                    "part in between.",
                    seq=batch[0].seq,
                )
            at = self._copy(stream, at, batch)
        self._at[stream] = at
        return at

    def _put_aside(self, stream: str, parts: Sequence[Path], at: Progress) -> None:
        """Rename what is shipped whole: every part before the one under way, and a closed one."""
        for path in parts:
            if path == at.path and not at.closed:
                return
            path.rename(path.with_suffix(".shipped"))
            if path == at.path:
                self._at.pop(stream, None)
                return

    def _copy(self, stream: str, at: Progress, batch: list[segment.Record]) -> Progress:
        known = self._known if stream == self.live else _nothing
        bodies = [known(kept.seq, kept.link) or _read(kept) for kept in batch]
        rows = [_row(stream, *one) for one in zip(batch, bodies, strict=True)]
        try:
            with transaction.atomic():
                insert(rows)
                self._count(bodies)
        except DatabaseError:
            # The commit may have come through all the same: look before going on.
            self._at.pop(stream, None)
            raise
        last, closed = batch[-1], bodies[-1]["kind"] == "closed"
        at = replace(at, seq=last.seq, link=last.link, offset=last.end, closed=closed)
        self._at[stream] = at
        return at


def _resume(stream: str, parts: Sequence[Path]) -> Progress:
    """Find the place behind the last record that the database has."""
    last = Decision.objects.filter(stream=stream).order_by("-seq").first()
    if last is None:
        return Progress(path=parts[0])
    place = Progress(
        path=parts[0], seq=last.seq, link=bytes(last.hash), closed=last.kind == "closed"
    )
    begun = [path for path in parts if (segment.first_seq(path) or last.seq + 1) <= last.seq]
    if not begun and segment.first_seq(parts[0]) == last.seq + 1:
        return place
    for path in begun[-1:]:
        for kept in segment.read(path, stream=stream, upto=last.seq):
            if kept.seq == last.seq:
                if kept.link != bytes(last.hash):
                    raise Broken(f"{path.name} and the database disagree on record {last.seq}.")
                return replace(place, path=path, offset=kept.end)
    raise Broken(
        f"{parts[-1].name} ends before record {last.seq}, which the database has.", seq=last.seq
    )


def _row(stream: str, kept: segment.Record, body: dict[str, Any]) -> tuple[Any, ...]:
    """Return what `_COLUMNS` hold of one record."""
    derived = derive(body)
    if derived["at"] is not None:
        derived["at"] = connection.ops.adapt_datetimefield_value(derived["at"])
    return (stream, kept.seq, kept.body, kept.prev, kept.link, *derived.values())


def insert(rows: Sequence[tuple[Any, ...]]) -> None:
    """Store `rows` in a few statements.

    The request path shares the interpreter with this, and models would cost four times as much:
    one statement for many rows means that the database works without the interpreter's lock.
    Numbers of rows are powers of two, since SQLite keeps each statement that it has compiled:
    as many as there are numbers would take tens of MiB.
    """
    at = 0
    with connection.cursor() as cursor:
        while at < len(rows):
            left = min(len(rows) - at, ROWS)
            size = 1 << (left.bit_length() - 1)  # the largest power that is left
            values = [value for row in rows[at : at + size] for value in row]
            cursor.execute(_statement(size), values)
            at += size


@cache
def _statement(size: int) -> str:
    one = f"({', '.join(['%s'] * len(_COLUMNS))})"
    return (
        f"INSERT INTO {Decision._meta.db_table} ({', '.join(_COLUMNS)}) "  # noqa: S608 - names
        f"VALUES {', '.join([one] * size)}"
    )


def _nothing(_seq: int, _link: bytes) -> None:
    """Nothing is known of the records of other processes but what they say."""


def _read(kept: segment.Record) -> dict[str, Any]:
    """Return what a record says; only our own pen writes records that link, so it is an object.

    That it is canonical too is for who verifies the copy: here it would double the cost.
    """
    try:
        body = json.loads(kept.body)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Broken(f"Record {kept.seq} is no object, although its link holds.", seq=kept.seq)
    return body


def derive(body: dict[str, Any]) -> dict[str, Any]:
    """Return the query columns that follow from a record's body.

    An answer in pieces has two records, the one that says that it begins and its decision's:
    only the second is of the kind `decision`, so whoever counts those counts each once.
    """
    at = body.get("at")
    duration = body.get("duration_us")
    budget = body.get("budget_ms")
    return {  # in the order of _COLUMNS
        "kind": body["kind"],
        "at": datetime.fromisoformat(at) if at else None,
        "decision_id": body.get("id") or "",
        "environment": body.get("environment") or "",
        "operation": body.get("operation") or "",
        "intended": body.get("intended") or "",
        "effective": body.get("effective") or "",
        "reason": body.get("reason") or "",
        "synthetic": bool(body.get("synthetic")),
        "within_budget": None if duration is None or budget is None else duration <= budget * 1000,
        "duration_us": duration,
    }


def _close(parts: Sequence[Path], stream: str, now: datetime, *, by: str) -> bool:
    """Cut a torn tail, end what had begun, append `closed`; False when it was closed already."""
    for position in range(len(parts) - 1, -1, -1):
        last, lost = _last(parts[position], stream)
        if last is not None:
            upto = parts[: position + 1]
            return _close_behind(upto, last, stream, now, by=by, lost=lost)
        parts[
            position
        ].unlink()  # killed before its first record: it holds nothing that was acknowledged
    return False


def _last(path: Path, stream: str) -> tuple[segment.Record | None, bytes]:
    """Return the last record that holds, and the remains of an append that a power loss tore.

    Raises Broken where what does not hold was once synced, for then somebody altered it.
    """
    last, batch = None, 0
    try:
        for last in segment.read(path, stream=stream):
            batch = max(batch, segment.batch_of(last))
    except Broken:
        # Within the batch that was begun last, or the next one: nobody had an answer for those.
        if last is None or segment.goes_on(path, offset=last.end, batch=batch + 1):
            raise
        return last, path.read_bytes()[last.end :]
    return last, b""


def _close_behind(
    parts: Sequence[Path],
    last: segment.Record,
    stream: str,
    now: datetime,
    *,
    by: str,
    lost: bytes,
) -> bool:
    path = parts[-1]
    if _read(last)["kind"] == "closed" and not lost:
        return False
    note: dict[str, chain.Json] = {"v": 1, "kind": "closed", "at": stamp(now), "by": by}
    if lost:
        log.error(
            "%s ends in %d bytes that do not verify, as a power loss leaves them; they are kept "
            "in %s, and the stream is closed before them.",
            path.name,
            len(lost),
            path.with_suffix(".cut").name,
        )
        path.with_suffix(".cut").write_bytes(lost)
        note["cut_bytes"] = len(lost)
    begun = _begun([*_before(parts[0], stream), *parts], stream, last.seq)
    notes = [*(record.lost(body, now=now) for body in begun.open.values()), note]
    with path.open("r+b") as file:
        file.truncate(last.end)
        file.seek(last.end)
        file.write(_blocks(stream, last, notes))
        file.flush()
        os.fdatasync(file.fileno())
    return True


def _before(first: Path, stream: str) -> list[Path]:
    """Return the parts before `first` that are shipped and may hold what was under way in it."""
    shipped = segment.streams(first.parent, "shipped").get(stream, ())
    since = first.stat().st_mtime - UNDER_WAY_S
    return [path for path in shipped if path.stat().st_mtime >= since]


def _begun(parts: Sequence[Path], stream: str, upto: int) -> _Begun:
    begun = _Begun()
    for path in parts:
        for kept in segment.read(path, stream=stream, upto=upto):
            begun.see(_read(kept))
    return begun


@dataclass(slots=True)
class _Begun:
    """Which answers of a stream of records have begun and not ended."""

    open: dict[str, dict[str, Any]] = field(default_factory=dict)

    def see(self, body: dict[str, Any]) -> None:
        if body["kind"] == record.OPENING:
            self.open[body["id"]] = body
        elif body["kind"] == "decision":
            self.open.pop(body.get("id", ""), None)


def _blocks(stream: str, last: segment.Record, notes: Sequence[Mapping[str, chain.Json]]) -> bytes:
    """Return `notes` as the records that follow `last`."""
    parts, prev = [], last.link
    for seq, note in enumerate(notes, start=last.seq + 1):
        data = chain.canonical({**note, "stream": stream, "seq": seq})
        prev = chain.link(stream, seq, prev, data)
        parts.append(len(data).to_bytes(4, "big") + data + prev)
    return b"".join(parts)
