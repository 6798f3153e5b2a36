"""Denials on their way into the audit trail: the request that was denied never waits for it.

A bounded queue and one thread. What does not fit or cannot be written is counted, and the count
stands in the next denial that is booked.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connection

from routing.access import failures
from routing.audit import ledger
from routing.core.errors import Forbidden, Refused
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName

log = logging.getLogger(__name__)
ROOM = 1000
END_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """Who was refused what; `unbooked` denials before it were lost."""

    by: Actor
    now: datetime
    action: Action
    environment: EnvironmentName
    object_type: str
    object_id: str
    refusal: Forbidden
    unbooked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A secret that no token has, from that network."""

    network: str
    now: datetime


Fact = Denial | Unknown


def write(fact: Fact) -> None:
    """Write one fact into the trail, on the calling thread; raises what the database raises."""
    if isinstance(fact, Unknown):
        key = failures.Key(kind=failures.Kind.TOKEN, account=failures.ANY, network=fact.network)
        failures.note(key, now=fact.now)
        return
    facts = dict(fact.refusal.facts)
    if fact.unbooked:
        facts["unbooked_before"] = fact.unbooked
    with (
        contextlib.suppress(Refused),
        ledger.denied(
            by=fact.by,
            now=fact.now,
            action=fact.action,
            environment=fact.environment,
            object_type=fact.object_type,
            object_id=fact.object_id,
        ),
    ):
        raise Forbidden(fact.refusal.message, **facts)


class Booking:
    """The queue and its thread, which starts with the first fact and ends with `close`."""

    def __init__(self, write: Callable[[Fact], None] = write, room: int = ROOM) -> None:
        self._write = write
        self._queue: queue.Queue[Fact | None] = queue.Queue(maxsize=room)
        self._lock = threading.Lock()
        self._lost = 0
        self._thread: threading.Thread | None = None

    def put(self, fact: Fact) -> None:
        """Leave `fact` to the thread; returns at once, also when there is no room."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="booking", daemon=True)
                self._thread.start()
        try:
            self._queue.put_nowait(fact)
        except queue.Full:
            log.warning("A denial was not booked: too many wait for the database.")
            self._lose(1)

    def close(self) -> None:
        """Book what waits, for two seconds at most, and end the thread."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._queue.put(None, timeout=END_WITHIN_S)
        thread.join(timeout=END_WITHIN_S)

    def _lose(self, count: int) -> None:
        with self._lock:
            self._lost += count

    def _run(self) -> None:
        try:
            while (fact := self._queue.get()) is not None:
                self._book(fact)
        finally:
            connection.close()

    def _book(self, fact: Fact) -> None:
        lost = 0
        if isinstance(fact, Denial):
            with self._lock:
                lost, self._lost = self._lost, 0
            fact = replace(fact, unbooked=lost)
        try:
            self._write(fact)
        except Exception:
            log.exception("A denial was not booked.")
            connection.close()
            self._lose(lost + 1)
