"""Copies segments into the database, in order and idempotently by (stream, sequence).

A segment whose writer has died is read to its last whole record, closed by its successor and
shipped like the others; one that is shipped whole is kept under the ending `.shipped`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from django.db import DatabaseError, transaction

from routing.core import chain
from routing.core.errors import Broken
from routing.decisions import record, segment
from routing.decisions.log import stamp
from routing.decisions.models import Decision

log = logging.getLogger(__name__)
BATCH = 200  # keeps each transaction well under 50 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one segment has been shipped: sequence number, file offset, whether to its end."""

    seq: int = 0
    offset: int = 0
    closed: bool = False


class Shipper:
    """Ships the segments of `folder`; `live` is the stream of this process.

    `synced` tells how far that one is on disk: what is not might still be taken back. `broken`
    holds, by stream, what is wrong with a segment that is left alone until somebody looked at it.
    """

    def __init__(self, folder: Path, *, live: str, synced: Callable[[], int]) -> None:
        self.folder = folder
        self.live = live
        self.broken: dict[str, str] = {}
        self._synced = synced
        self._at: dict[Path, Progress] = {}

    def close_the_dead(self, now: datetime) -> list[str]:
        """Close every segment whose process has ended; return their streams.

        One server uses a home at a time (its lock file), so every other segment is a dead one's.
        """
        closed = []
        for path, stream in self._segments():
            if stream == self.live:
                continue
            try:
                if _close(path, stream, now, by=self.live):
                    closed.append(stream)
            except Broken as error:
                self._leave(stream, error)
        return closed

    def ship(self) -> int:
        """Copy what is new into the database; return how many records were copied.

        Raises DatabaseError while the database is away; the next call goes on where it stands.
        """
        copied = 0
        for path, stream in self._segments():
            try:
                copied += self._ship(path, stream)
            except Broken as error:
                self._leave(stream, error)
        return copied

    def lag(self) -> int:
        """Return how many records of this process are not in the database yet."""
        mine = next((p for path, p in self._at.items() if stream_of(path) == self.live), None)
        return self._synced() - (mine.seq if mine else 0)

    def _segments(self) -> list[tuple[Path, str]]:
        found = ((path, stream_of(path)) for path in sorted(self.folder.glob("*.seg")))
        return [(path, stream) for path, stream in found if stream not in self.broken]

    def _leave(self, stream: str, error: Broken) -> None:
        log.error("%s", error.message)
        self.broken[stream] = error.message

    def _ship(self, path: Path, stream: str) -> int:
        at = self._at.get(path) or _resume(path, stream)
        first = at.seq
        upto = self._synced() if stream == self.live else None
        records = segment.read(path, stream=stream, after=at.seq, offset=at.offset, upto=upto)
        while batch := list(islice(records, BATCH)):
            at = self._copy(path, stream, batch)
        self._at[path] = at
        if at.closed:
            path.rename(path.with_suffix(".shipped"))
            del self._at[path]
        return at.seq - first

    def _copy(self, path: Path, stream: str, batch: list[segment.Record]) -> Progress:
        rows = [_row(stream, kept) for kept in batch]
        try:
            with transaction.atomic():
                Decision.objects.bulk_create(rows)
        except DatabaseError:
            # The commit may have come through all the same: look before going on.
            self._at.pop(path, None)
            raise
        at = Progress(seq=batch[-1].seq, offset=batch[-1].end, closed=rows[-1].kind == "closed")
        self._at[path] = at
        return at


def stream_of(path: Path) -> str:
    """Return the stream whose segment `path` is: `decision:<process>:<boot>`."""
    process, _, boot = path.stem.rpartition("-")
    return f"decision:{process}:{boot}"


def _resume(path: Path, stream: str) -> Progress:
    """Find the place behind the last record that the database has."""
    last = Decision.objects.filter(stream=stream).order_by("-seq").first()
    if last is None:
        return Progress()
    for kept in segment.read(path, stream=stream, upto=last.seq):
        if kept.seq == last.seq:
            if kept.link != bytes(last.hash):
                raise Broken(f"{path.name} and the database disagree on record {last.seq}.")
            return Progress(seq=kept.seq, offset=kept.end, closed=last.kind == "closed")
    raise Broken(f"{path.name} ends before record {last.seq}, which the database has.")


def _row(stream: str, kept: segment.Record) -> Decision:
    return Decision(
        stream=stream,
        seq=kept.seq,
        body=kept.body,
        prev=kept.prev,
        hash=kept.link,
        **derive(_read(kept)),
    )


def _read(kept: segment.Record) -> dict[str, Any]:
    """Return what a record says; only our own pen writes records that link, so it is an object."""
    body = chain.read(kept.body)
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
    return {
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


def _close(path: Path, stream: str, now: datetime, *, by: str) -> bool:
    """Cut a torn tail, end what had begun, append `closed`; False when it was closed already."""
    last, begun = None, _Begun()
    for last in segment.read(path, stream=stream):
        begun.see(_read(last))
    if last is None:
        path.unlink()  # killed before its first record: it holds nothing that was acknowledged
        return False
    if begun.closed:
        return False
    notes = [record.lost(body, now=now) for body in begun.open.values()]
    notes.append({"v": 1, "kind": "closed", "at": stamp(now), "by": by})
    with path.open("r+b") as file:
        file.truncate(last.end)
        file.seek(last.end)
        file.write(_blocks(stream, last, notes))
        file.flush()
        os.fdatasync(file.fileno())
    return True


@dataclass(slots=True)
class _Begun:
    """Which answers of a stream of records have begun and not ended, and whether it is closed."""

    open: dict[str, dict[str, Any]] = field(default_factory=dict)
    closed: bool = False

    def see(self, body: dict[str, Any]) -> None:
        if body["kind"] == record.OPENING:
            self.open[body["id"]] = body
        elif body["kind"] == "decision":
            self.open.pop(body.get("id", ""), None)
        self.closed = body["kind"] == "closed"


def _blocks(stream: str, last: segment.Record, notes: Sequence[Mapping[str, chain.Json]]) -> bytes:
    """Return `notes` as the records that follow `last`."""
    parts, prev = [], last.link
    for seq, note in enumerate(notes, start=last.seq + 1):
        data = chain.canonical({**note, "stream": stream, "seq": seq})
        prev = chain.link(stream, seq, prev, data)
        parts.append(len(data).to_bytes(4, "big") + data + prev)
    return b"".join(parts)
