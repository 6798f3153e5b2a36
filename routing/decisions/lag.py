"""How far the database's copy is behind the decision segments on disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.db.models import Max

from routing.core import chain
from routing.core.errors import Broken
from routing.decisions import segment
from routing.decisions.models import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """One segment: its last whole record, the last one copied, the time of the first that waits.

    `problem` says why the segment cannot be read to its end, empty where it can.
    """

    stream: str
    file: str
    on_disk: int
    in_database: int
    waiting_since: datetime | None
    problem: str = ""

    @property
    def waiting(self) -> int:
        """Return how many records are not in the database yet."""
        return max(0, self.on_disk - self.in_database)


def look(folder: Path) -> tuple[Lag, ...]:
    """Return every segment of `folder` that was not shipped whole, by stream and part."""
    parts = [path for found in segment.streams(folder).values() for path in found]
    return tuple(_look(path) for path in parts)


def _look(path: Path) -> Lag:
    stream, _ = segment.stream_of(path)
    copied = Decision.objects.filter(stream=stream).aggregate(last=Max("seq"))["last"] or 0
    on_disk, since, problem = 0, None, ""
    try:
        # What stands before this part is its own part's lag.
        copied = max(copied, (segment.first_seq(path) or 1) - 1)
        for record in segment.read(path, stream=stream):
            on_disk = record.seq
            if on_disk > copied and since is None:
                since = _at(record.body)
    except Broken as error:
        problem = error.message
    return Lag(
        stream=stream,
        file=path.name,
        on_disk=on_disk,
        in_database=copied,
        waiting_since=since,
        problem=problem,
    )


def _at(body: bytes) -> datetime | None:
    said = chain.read(body)
    at = said.get("at") if isinstance(said, dict) else None
    return datetime.fromisoformat(at) if isinstance(at, str) else None
