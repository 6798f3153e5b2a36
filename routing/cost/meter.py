"""What this process knows of its budgets: asked before each request, told of each charge.

What counts is what the database says, read about once a second, and every own charge that is not
stored there yet. So within one process a limit is overrun by the requests under way at most. Of
what other processes charge, this one learns when they have stored it and it has read it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from routing.core import budget, cost
from routing.core.budget import Limit, Period, Standing, Sums, Unit
from routing.core.cost import LONGEST_MODEL, Charge, Tokens
from routing.core.values import EnvironmentName
from routing.cost import policy as policies
from routing.cost.policy import Policy

_NEVER = 2**63  # the place of a charge whose record is lost: no reading will ever count it


@dataclass(slots=True, kw_only=True)
class _Watch:
    """One limit: how it stands by the database, and what was charged here since."""

    standing: Standing
    currency: str
    upto: int = 0  # the last record of this process that the reading holds
    pending: deque[tuple[int, int]] = field(default_factory=deque)
    waiting: int = 0

    @property
    def limit(self) -> Limit:
        return self.standing.limit

    @property
    def stops(self) -> bool:
        """Whether it stops requests, with what waits."""
        limit = self.standing.limit
        return limit.hard_stop and self.standing.spent + self.waiting >= limit.amount

    def now(self) -> Standing:
        """Return how it stands with what waits."""
        spent = self.standing.spent + self.waiting
        level = budget.level(spent, self.limit.amount)
        return replace(self.standing, spent=spent, level=level)

    def take(self, charge: Charge, place: int, now: datetime) -> None:
        """Count one charge; the first one of a new period begins it."""
        if now >= self.standing.ends:
            (self.standing,) = budget.judge([self.limit], {}, now)
            self.pending.clear()
            self.waiting = 0
        amount = self._amount(charge)
        if amount and place > self.upto:  # a reading may be faster than who waits for the disk
            self.pending.append((place, amount))
            self.waiting += amount

    def _amount(self, charge: Charge) -> int:
        if self.standing.limit.unit is Unit.TOKENS:
            return sum(charge.tokens or ())
        return (charge.nanos or 0) if charge.currency == self.currency else 0

    def inherit(self, before: _Watch, upto: int) -> None:
        """Take over what waits there and lies behind `upto`."""
        if before.standing.since != self.standing.since or before.currency != self.currency:
            return
        self.pending = deque(item for item in before.pending if item[0] > upto)
        self.waiting = sum(amount for _, amount in self.pending)


class Meter:
    """One a process. Charges come from the event loop, readings from a thread."""

    def __init__(
        self, policy: Callable[[EnvironmentName], Policy] = lambda _: policies.DEFAULT
    ) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        # By tenant, "" for the whole environment: a charge looks at the limits that count it.
        self._watches: dict[EnvironmentName, dict[str, list[_Watch]]] = {}
        # Only what stops somebody stands here, so that most requests ask an empty dictionary.
        self._stops: Mapping[tuple[EnvironmentName, str], tuple[Standing, ...]] = {}

    def stop(
        self, environment: EnvironmentName, tenant: str, *, emergency: bool, now: datetime
    ) -> Standing | None:
        """Return the limit that refuses a request of `tenant` now, None for none."""
        stops = self._stops
        if not stops:
            return None
        found = (*stops.get((environment, ""), ()), *stops.get((environment, tenant), ()))
        return budget.refusing(found, emergency=emergency, now=now)

    def words(self, environment: EnvironmentName, standing: Standing) -> str:
        """Say which budget is spent, for a caller; other tenants' are never told of."""
        limit = standing.limit
        said = policies.amount_words(limit.unit, limit.amount, self._policy(environment).currency)
        whose = "this tenant" if limit.tenant else "this environment"
        return (
            f"The budget of {whose} for the {limit.period}, {said}, is spent; it begins anew at "
            f"{standing.ends:%Y-%m-%d %H:%M} UTC, unless an admin raises it."
        )

    def charge(
        self,
        environment: EnvironmentName,
        *,
        model: str,
        tokens: Tokens | None,
        cached: bool = False,
        is_open: bool = False,
    ) -> Charge:
        """Return what a request costs by the prices in force; a cached answer costs nothing."""
        inforce, name = self._policy(environment), model[:LONGEST_MODEL]
        counted = None if cached else cost.told(tokens)
        nanos = 0 if cached else cost.nanos(inforce.price(name), counted)
        return Charge(
            model=name,
            currency="" if nanos is None else inforce.currency,
            nanos=nanos,
            policy=inforce.version,
            open=is_open,
            cached=cached,
            tokens=counted,
        )

    def take(
        self,
        environment: EnvironmentName,
        tenant: str,
        charge: Charge,
        seq: int | None,
        now: datetime,
    ) -> None:
        """Count a charge until a reading does; `seq` is its record's number, None without one."""
        watches = self._watches.get(environment)
        if not watches:
            return
        place = _NEVER if seq is None else seq
        with self._lock:
            changed = False
            for whose in ("", tenant):
                for watch in self._watches[environment].get(whose, ()):
                    before = watch.stops
                    watch.take(charge, place, now)
                    changed = changed or watch.stops is not before
            if changed:
                self._gather()

    def learn(
        self,
        environment: EnvironmentName,
        inforce: Policy,
        spent: Mapping[tuple[str, Period], Sums],
        *,
        upto: int,
        now: datetime,
    ) -> tuple[Standing, ...]:
        """Take a reading that counts this process's records up to number `upto`.

        Returns how the limits stand by that reading alone.
        """
        standings = budget.judge(inforce.limits, spent, now)
        with self._lock:
            kept = self._by_name(environment)
            fresh: dict[str, list[_Watch]] = {}
            for standing in standings:
                watch = _Watch(standing=standing, currency=inforce.currency, upto=upto)
                if standing.limit.name in kept:
                    watch.inherit(kept[standing.limit.name], upto)
                fresh.setdefault(standing.limit.tenant, []).append(watch)
            self._watches[environment] = fresh
            self._gather()
        return standings

    def _gather(self) -> None:
        """Put together what stops whom, under the lock; readers see the old or the new whole."""
        stops: dict[tuple[EnvironmentName, str], tuple[Standing, ...]] = {}
        for environment, tenants in self._watches.items():
            for tenant, watches in tenants.items():
                found = tuple(watch.now() for watch in watches if watch.stops)
                if found:
                    stops[environment, tenant] = found
        self._stops = stops

    def _by_name(self, environment: EnvironmentName) -> dict[str, _Watch]:
        found = self._watches.get(environment, {}).values()
        return {watch.limit.name: watch for watches in found for watch in watches}
