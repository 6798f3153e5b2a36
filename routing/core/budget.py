"""What may be spent: limits for a day or a month (UTC), how far each is reached, what stops.

A limit counts money of one currency or tokens, of a whole environment or of one tenant. It alerts
at 50, 75, 90 and 100 %; only a hard stop refuses requests, and emergencies only where an admin
said so. What is not known is not counted, so what was spent is at least what is said here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

LEVELS = (50, 75, 90, 100)


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"


class Unit(StrEnum):
    MONEY = "money"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`amount` is nanos or tokens, by `unit`; `tenant` is empty for the whole environment."""

    tenant: str = ""
    period: Period
    unit: Unit
    amount: int
    hard_stop: bool = False
    stops_emergencies: bool = False

    @property
    def name(self) -> str:
        """What tells it from all others of its environment."""
        return "/".join(filter(None, (self.period, self.unit, self.tenant)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What is counted against limits; `unpriced` requests cost more than `nanos` says."""

    nanos: int = 0
    tokens: int = 0
    unpriced: int = 0
    untold: int = 0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            nanos=self.nanos + other.nanos,
            tokens=self.tokens + other.tokens,
            unpriced=self.unpriced + other.unpriced,
            untold=self.untold + other.untold,
        )

    def of(self, unit: Unit) -> int:
        """Return what counts in `unit`."""
        return self.nanos if unit is Unit.MONEY else self.tokens

    def uncounted(self, unit: Unit) -> int:
        """Return how many requests are not wholly in that figure."""
        return self.unpriced if unit is Unit.MONEY else self.untold


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far `limit` is reached in the period that began on `since`; `level` is 0 below 50 %."""

    limit: Limit
    spent: int
    uncounted: int
    level: int
    since: date
    ends: datetime

    @property
    def stops(self) -> bool:
        """Whether requests are refused now, emergencies perhaps not."""
        return self.limit.hard_stop and self.level == LEVELS[-1]

    def refuses(self, *, emergency: bool) -> bool:
        """Tell whether a request is refused now."""
        return self.stops and (self.limit.stops_emergencies or not emergency)


def bounds(period: Period, day: date) -> tuple[date, date]:
    """Return the first day of the period that holds `day`, and the first of the next one."""
    if period is Period.DAY:
        return day, day + timedelta(days=1)
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1)


def ends(period: Period, now: datetime) -> datetime:
    """Return when the period that holds `now` ends."""
    _, after = bounds(period, now.astimezone(UTC).date())
    return datetime.combine(after, time(), UTC)


def level(spent: int, amount: int) -> int:
    """Return the highest level that `spent` reaches of `amount`, 0 for none."""
    return max((at for at in LEVELS if spent * 100 >= amount * at), default=0)


def judge(
    limits: Sequence[Limit], spent: Mapping[tuple[str, Period], Sums], now: datetime
) -> tuple[Standing, ...]:
    """Return how far each limit is reached; `spent` is by tenant, "" for all of them together."""
    return tuple(_standing(limit, spent, now) for limit in limits)


def _standing(limit: Limit, spent: Mapping[tuple[str, Period], Sums], now: datetime) -> Standing:
    sums = spent.get((limit.tenant, limit.period), Sums())
    counted = sums.of(limit.unit)
    since, _ = bounds(limit.period, now.astimezone(UTC).date())
    return Standing(
        limit=limit,
        spent=counted,
        uncounted=sums.uncounted(limit.unit),
        level=level(counted, limit.amount),
        since=since,
        ends=ends(limit.period, now),
    )


def refusing(standings: Iterable[Standing], *, emergency: bool, now: datetime) -> Standing | None:
    """Return what refuses a request now: of several, the one that ends last."""
    found = [one for one in standings if now < one.ends and one.refuses(emergency=emergency)]
    return max(found, key=lambda one: one.ends, default=None)


def retry_after_s(standing: Standing, now: datetime) -> int:
    """Return the seconds until the period of `standing` is over, 1 at least."""
    return max(1, math.ceil((standing.ends - now).total_seconds()))
