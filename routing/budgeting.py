"""The reading of budgets: about once a second, between two rounds of the shipper."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from routing.changes import budget
from routing.core.budget import Standing, Sums
from routing.core.errors import HybridOpsError
from routing.core.values import EnvironmentName
from routing.cost import queries, snapshot, spend
from routing.cost.meter import Meter
from routing.cost.policy import Policy

log = logging.getLogger(__name__)
EVERY = timedelta(seconds=1)
# Days that are over grow only by what was not stored at their midnight.
OLDER_EVERY = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Earlier:
    """What counts of the month before `day`, as it was read at `at`."""

    at: datetime
    day: date
    currency: str
    sums: Mapping[str, Sums]


class Budgets:
    """One a process. It reads on the shipper's thread: no record of ours is stored meanwhile, so
    none is counted twice or not at all."""

    def __init__(self, meter: Meter, environments: Sequence[EnvironmentName]) -> None:
        self._meter = meter
        self._environments = tuple(environments)
        self._read_at: datetime | None = None
        self._earlier: dict[EnvironmentName, _Earlier] = {}
        self._told: set[tuple[EnvironmentName, str, int, str, date, int]] = set()

    def begin(self, now: datetime) -> None:
        """Hold the limits in force as if nothing had been spent, until a look says what was.

        Where the database is away that is the only amount known: each limit then stops whoever
        spends all of it anew, in this process.
        """
        for environment in self._environments:
            inforce = snapshot.current().of(environment)
            self._meter.learn(environment, inforce, {}, upto=0, now=now)

    def look(self, upto: int, now: datetime) -> None:
        """Read what is stored, tell the meter, book alerts; not more often than once a second.

        `upto` is the last record of this process that the database has. Without limits nothing is
        read.
        """
        if self._read_at is not None and timedelta() <= now - self._read_at < EVERY:
            return
        read: list[tuple[EnvironmentName, Policy, Standing]] = []
        for environment in self._environments:
            inforce = snapshot.current().of(environment)
            spent = self._spent(environment, inforce, now) if inforce.limits else {}
            found = self._meter.learn(environment, inforce, spent, upto=upto, now=now)
            read += [(environment, inforce, standing) for standing in found]
        self._read_at = now
        # Behind all readings: an alert that cannot be booked now is booked in a later round.
        for environment, inforce, standing in read:
            self._alert(environment, inforce, standing, now)

    def _spent(
        self, environment: EnvironmentName, inforce: Policy, now: datetime
    ) -> queries.Spent:
        day = now.astimezone(UTC).date()
        kept = self._earlier.get(environment)
        if (
            kept is None
            or (kept.day, kept.currency) != (day, inforce.currency)
            or not timedelta() <= now - kept.at < OLDER_EVERY
        ):
            sums = queries.earlier(environment, inforce.currency, day)
            kept = _Earlier(at=now, day=day, currency=inforce.currency, sums=sums)
            self._earlier[environment] = kept
        tomorrow = day + timedelta(days=1)
        today = spend.totals(environment, day, tomorrow, inforce.currency)
        return queries.whole(kept.sums, today)

    def _alert(
        self, environment: EnvironmentName, inforce: Policy, standing: Standing, now: datetime
    ) -> None:
        limit = standing.limit
        key = (
            environment,
            limit.name,
            limit.amount,
            inforce.currency,
            standing.since,
            standing.level,
        )
        if not standing.level or key in self._told:
            return
        try:
            budget.alert(
                now=now, environment=environment, standing=standing, currency=inforce.currency
            )
        except HybridOpsError:  # the trail may be busy; the next round tries again
            log.exception("An alert of %s in %s was not booked.", limit.name, environment)
            return
        self._told.add(key)
