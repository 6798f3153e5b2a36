"""Failed sign-ins of people whom we do not know: counted in memory, booked in bulk.

Nobody without an account may make the audit trail's head wait: a failure is booked when its
count reaches 5, 50 and 500, and else by `flush` once a minute. What is counted is bounded; from
then on accounts, and at last networks, are counted together as `*`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction

from routing.audit import ledger
from routing.core.rights import system_actor
from routing.core.values import Action, Outcome

THRESHOLDS = frozenset({5, 50, 500})
MOST_KEYS = 5000
MOST_ENTRIES = 50
FORGOTTEN = timedelta(hours=1)
ANY = "*"


class Kind(StrEnum):
    WRONG = "wrong_credentials"
    DELAYED = "delayed"  # refused before the password was looked at
    TOKEN = "wrong_token"  # a machine's secret that no token has


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    kind: Kind
    account: str
    network: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """`count` failures are not booked yet; `total` were seen without a pause of an hour."""

    count: int
    total: int
    last_at: datetime


class Counts:
    """The failures of one process; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tallies: dict[Key, Tally] = {}

    def add(self, key: Key, *, now: datetime) -> Key | None:
        """Count one failure; return the key it was counted under if that must be booked now."""
        with self._lock:
            key = self._bounded(key)
            last = self._tallies.get(key)
            total = last.total if last and now - last.last_at < FORGOTTEN else 0
            count = last.count if last else 0
            self._tallies[key] = Tally(count=count + 1, total=total + 1, last_at=now)
            return key if total + 1 in THRESHOLDS else None

    def take(self, only: Key | None, *, now: datetime) -> dict[Key, Tally]:
        """Return what is not booked yet and count it as booked."""
        with self._lock:
            for key in [k for k, t in self._tallies.items() if _is_over(t, now)]:
                del self._tallies[key]
            taken = {
                key: tally
                for key, tally in self._tallies.items()
                if tally.count and only in (None, key)
            }
            self._tallies |= {key: replace(tally, count=0) for key, tally in taken.items()}
            return taken

    def put_back(self, taken: dict[Key, Tally]) -> None:
        """Count `taken` as not booked after all."""
        with self._lock:
            for key, tally in taken.items():
                since = self._tallies.get(key, replace(tally, count=0))
                self._tallies[key] = replace(since, count=since.count + tally.count)

    def _bounded(self, key: Key) -> Key:
        if key in self._tallies or len(self._tallies) < MOST_KEYS:
            return key
        together = replace(key, account=ANY)
        if together in self._tallies or len(self._tallies) < 2 * MOST_KEYS:
            return together
        return replace(together, network=ANY)


def _is_over(tally: Tally, now: datetime) -> bool:
    return tally.count == 0 and now - tally.last_at >= FORGOTTEN


_counts = Counts()


def note(key: Key, *, now: datetime) -> None:
    """Count one failure, and book its key at once when it reaches a threshold."""
    reached = _counts.add(key, now=now)
    if reached:
        flush(now=now, only=reached)


def flush(*, now: datetime, only: Key | None = None) -> int:
    """Book what is not booked yet, of `only` that key if given; return the number of entries.

    What cannot be booked stays counted, and the error goes on to the caller.
    """
    taken = _counts.take(only, now=now)
    rows = together(list(taken.items()))
    if not rows:
        return 0
    try:
        with transaction.atomic():
            for key, tally in rows:
                _record(key, tally, now)
    except BaseException:
        _counts.put_back(taken)
        raise
    return len(rows)


def together(rows: Sequence[tuple[Key, Tally]]) -> list[tuple[Key, Tally]]:
    """Return `rows` as at most 50 or so entries: by account, else by network, else by kind.

    A flood of made-up names must not become a flood of entries.
    """
    if len(rows) > MOST_ENTRIES:
        rows = _sum((replace(key, account=ANY), tally) for key, tally in rows)
    if len(rows) > MOST_ENTRIES:
        rows = _sum((replace(key, network=ANY), tally) for key, tally in rows)
    return list(rows)


def _sum(rows: Iterable[tuple[Key, Tally]]) -> list[tuple[Key, Tally]]:
    sums: dict[Key, Tally] = {}
    for key, tally in rows:
        other = sums.get(key)
        sums[key] = tally if other is None else _plus(other, tally)
    return list(sums.items())


def _plus(a: Tally, b: Tally) -> Tally:
    return Tally(
        count=a.count + b.count, total=a.total + b.total, last_at=max(a.last_at, b.last_at)
    )


def _record(key: Key, tally: Tally, now: datetime) -> None:
    ledger.record(
        by=replace(system_actor("sign-in"), peer=key.network),
        now=now,
        action=Action.SIGNIN_FAILURES,
        environment=None,
        object_type="account",
        object_id=key.account,
        outcome=Outcome.REFUSED,
        facts={
            "kind": str(key.kind),
            "network": key.network,
            "count": tally.count,
            "total": tally.total,
        },
    )
