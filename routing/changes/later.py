"""What happened while the audit trail could not be reached: kept on disk, booked afterwards.

A note is one line of JSON, synced before `note` returns, so neither an outage of the database nor
a kill loses it. It is booked once: an entry that carries the note's id says that it was.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path as Folder
from typing import Any

from django.db import transaction

from routing import stream
from routing.audit import ledger, queries
from routing.audit.queries import Filters
from routing.core.chain import Json
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName, Outcome

log = logging.getLogger(__name__)
NOTE = "note"  # the fact that carries a note's id
_LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to be booked; `at` is when it happened, whenever it is booked."""

    action: Action
    environment: EnvironmentName
    at: datetime
    facts: Mapping[str, Json]
    reason: str = ""
    outcome: Outcome = Outcome.DONE
    before: Json = None
    after: Json = None


class Notebook:
    """The notes of one home; `note` may be called from any thread and never asks a database."""

    def __init__(self, file: Folder) -> None:
        self._file = file
        self._lock = threading.Lock()

    def note(self, event: Event) -> None:
        """Keep `event` until it is booked; a disk that is full is logged, not raised."""
        line = f"\n{json.dumps(_packed(event))}\n"  # a torn line before it stays one of its own
        try:
            with self._lock:
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with self._file.open("a", encoding="utf-8") as kept:
                    self._file.chmod(0o600)
                    kept.write(line)
                    kept.flush()
                    os.fsync(kept.fileno())
        except OSError:
            log.exception("This cannot be kept for the audit trail: %s", line.strip())

    def waiting(self) -> int:
        """Return how many notes are not booked yet."""
        return len(self._lines())

    def book(self, by: Actor, now: datetime) -> int:
        """Book every note, each in its own transaction; return how many there were.

        Raises DatabaseError while the database is away; what is not booked then stays.
        """
        lines = self._lines()
        for line in lines:
            event = _unpacked(line)
            if event is None:
                log.error("A note for the audit trail cannot be read and is left out: %r", line)
            else:
                _book(*event, by=by, now=now)
            self._drop(line)
        return len(lines)

    def _lines(self) -> list[str]:
        try:
            return [line for line in self._file.read_text("utf-8", "replace").splitlines() if line]
        except FileNotFoundError:
            return []

    def _drop(self, line: str) -> None:
        with self._lock:
            left = self._lines()
            left.remove(line)
            if not left:
                self._file.unlink()
                return
            fresh = self._file.with_suffix(".new")
            fresh.write_text("".join(f"{one}\n" for one in left), "utf-8")
            fresh.chmod(0o600)
            fresh.replace(self._file)


def _packed(event: Event) -> dict[str, Any]:
    return {
        "id": secrets.token_hex(8),
        "action": str(event.action),
        "environment": str(event.environment),
        "at": event.at.isoformat(),
        "facts": dict(event.facts),
        "reason": event.reason,
        "outcome": str(event.outcome),
        "before": event.before,
        "after": event.after,
    }


def _unpacked(line: str) -> tuple[str, Event] | None:
    """Return a note's id and event; None for a line that a power loss cut off."""
    try:
        said = json.loads(line)
        return str(said["id"]), Event(
            action=Action(said["action"]),
            environment=EnvironmentName(said["environment"]),
            at=datetime.fromisoformat(said["at"]),
            facts=dict(said["facts"]),
            reason=str(said["reason"]),
            outcome=Outcome(said["outcome"]),
            before=said["before"],
            after=said["after"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def _book(note: str, event: Event, *, by: Actor, now: datetime) -> None:
    kind = event.action.partition(".")[0]
    with transaction.atomic(durable=True):
        if _is_booked(note, event):
            return
        ledger.record(
            by=by,
            now=now,
            action=event.action,
            environment=event.environment,
            object_type=kind,
            object_id=str(event.environment),
            outcome=event.outcome,
            reason=event.reason,
            before=event.before,
            after=event.after,
            facts={**event.facts, "at": event.at.isoformat(), NOTE: note},
        )
        stream.announce(kind, event.environment)


def _is_booked(note: str, event: Event) -> bool:
    """Tell whether an entry carries the note: who booked it may have died before dropping it."""
    asked = Filters(
        environment=event.environment, action=event.action, since=event.at - _LOOK_BACK
    )
    rows = queries.page(filters=asked, size=queries.MAX_SIZE).rows
    return any(isinstance(row.facts, Mapping) and row.facts.get(NOTE) == note for row in rows)
