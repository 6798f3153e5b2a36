"""What the other side wrote down: only this makes a result proven, and only the runner looks.

A check claims that a value of its own carries its nonce and stands in a journal that it cannot
write: a stand-in's request log, the decision stream of the serving process, the control stream.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path as Folder
from typing import Any

from routing.audit import queries as trail
from routing.audit.queries import Filters
from routing.core.values import Action, EnvironmentName, Path
from routing.decisions import lookup

TAIL_BYTES = 4 * 1024 * 1024
WITHIN_S = 5.0
LOOK_EVERY_S = 0.05


class Journal(StrEnum):
    UPSTREAM = "upstream"
    DECISIONS = "decisions"
    CONTROL = "control"
    REPORT = "report"  # of the serving process, asked for by the runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One record that the other side must hold: its nonce, and every field as in `says`.

    `path` names the stand-in's log; `place` is (stream, number) of a decision record; `action`
    what a control entry books.
    """

    journal: Journal
    nonce: str
    says: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    place: tuple[str, int] | None = None
    action: Action | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Journals:
    """The journals of one environment, as this machine and the database hold them."""

    home: Folder
    environment: EnvironmentName
    since: datetime

    def find(self, claim: Claim, within_s: float = WITHIN_S) -> Mapping[str, Any] | None:
        """Return the record that bears `claim` out, None if there is none within `within_s`."""
        deadline = time.monotonic() + within_s
        while True:
            for record in self._records(claim):
                if _bears_out(record, claim):
                    return record
            if time.monotonic() > deadline:
                return None
            time.sleep(LOOK_EVERY_S)

    def _records(self, claim: Claim) -> Iterator[Mapping[str, Any]]:
        if claim.journal is Journal.UPSTREAM and claim.path is not None:
            yield from self._upstream(claim.path)
        elif claim.journal is Journal.DECISIONS:
            yield from self._decisions(claim)
        elif claim.journal is Journal.CONTROL:
            yield from self._entries(claim)

    def _upstream(self, path: Path) -> Iterator[Mapping[str, Any]]:
        name = self.home / "run" / "journal" / f"{self.environment}-{path}.jsonl"
        for file in (name.with_name(name.name + ".1"), name):
            yield from _lines(file)

    def _decisions(self, claim: Claim) -> Iterator[Mapping[str, Any]]:
        if claim.place is not None:
            found = lookup.record(*claim.place)
        else:
            found = lookup.decision(str(claim.says.get("id", "")))
        if found is not None:
            yield found

    def _entries(self, claim: Claim) -> Iterator[Mapping[str, Any]]:
        asked = Filters(environment=self.environment, action=claim.action, since=self.since)
        for row in trail.page(filters=asked, size=200).rows:
            if row.broken:
                continue
            yield {
                "nonce": claim.nonce if _mentions(row, claim.nonce) else "",
                "action": row.action,
                "outcome": row.outcome,
                "seq": row.seq,
                "object_id": row.object_id,
            }


def _mentions(row: trail.EntryRow, nonce: str) -> bool:
    return nonce in row.reason or nonce in json.dumps(row.facts, default=str)


def _bears_out(record: Mapping[str, Any], claim: Claim) -> bool:
    if not claim.nonce or record.get("nonce") != claim.nonce:
        return False
    return all(record.get(key) == value for key, value in claim.says.items())


def _lines(file: Folder) -> Iterator[Mapping[str, Any]]:
    """Yield the records at the end of `file`; what is torn or no record is passed over."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - TAIL_BYTES))
            text = stream.read()
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found
