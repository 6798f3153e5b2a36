"""What was spent and how the limits stand, as the tables have it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from django.db.models import Sum

from routing.core import budget
from routing.core.budget import Period, Standing, Sums
from routing.core.errors import Refused
from routing.core.values import EnvironmentName
from routing.cost import snapshot, spend, store
from routing.cost.models import Spend
from routing.cost.policy import Policy

__all__ = ["Line", "Policy", "Sheet", "inforce", "sheet", "spent", "standings"]

DAYS = 14
MOST_LINES = 50
Spent = Mapping[tuple[str, Period], Sums]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one name (a tenant, a day, …) cost; `money` is nanos by currency."""

    name: str
    requests: int = 0
    cached: int = 0
    untold: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Line) -> Line:
        both = {*self.money, *other.money}
        return Line(
            name=self.name,
            requests=self.requests + other.requests,
            cached=self.cached + other.cached,
            untold=self.untold + other.untold,
            unpriced=self.unpriced + other.unpriced,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            money={c: self.money.get(c, 0) + other.money.get(c, 0) for c in sorted(both)},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What real requests of an environment cost: this month by each of three, and lately by day.

    `ours` is what our own traffic used in the month; it counts against no limit. Of operations,
    tenants and models the 50 with the most tokens are listed; `today` and `month` hold all.
    """

    today: Line
    month: Line
    ours: Line
    operations: tuple[Line, ...]
    tenants: tuple[Line, ...]
    models: tuple[Line, ...]
    days: tuple[Line, ...]


def inforce(environment: EnvironmentName) -> Policy:
    """Return the prices and limits in force: the newest, or what this process obeys instead."""
    try:
        return store.read(environment)
    except Refused:
        return snapshot.current().of(environment)


def standings(environment: EnvironmentName, policy: Policy, now: datetime) -> tuple[Standing, ...]:
    """Return how far each limit of `policy` is reached, as far as decisions are stored."""
    if not policy.limits:
        return ()
    return budget.judge(policy.limits, spent(environment, policy.currency, now), now)


def spent(environment: EnvironmentName, currency: str, now: datetime) -> Spent:
    """Return what counts today and this month, by tenant; "" is all of them."""
    day = now.astimezone(UTC).date()
    return whole(
        earlier(environment, currency, day),
        spend.totals(environment, day, day + timedelta(days=1), currency),
    )


def earlier(environment: EnvironmentName, currency: str, day: date) -> Mapping[str, Sums]:
    """Return what counts of the month before `day`, by tenant."""
    return spend.totals(environment, day.replace(day=1), day, currency)


def whole(before: Mapping[str, Sums], today: Mapping[str, Sums]) -> Spent:
    """Return both periods from the days before and today's."""
    found: dict[tuple[str, Period], Sums] = {}
    for tenant in {*before, *today}:
        now = today.get(tenant, Sums())
        found[tenant, Period.DAY] = now
        found[tenant, Period.MONTH] = before.get(tenant, Sums()) + now
    return found


def sheet(environment: EnvironmentName, now: datetime) -> Sheet:
    """Return what was spent, as far as decisions are stored; six statements, each of sums."""
    today = now.astimezone(UTC).date()
    month = today.replace(day=1)
    days = _lines("day", environment, today - timedelta(days=DAYS - 1), synthetic=False)
    operations = _lines("operation", environment, month, synthetic=False)
    ours = _lines("operation", environment, month, synthetic=True)
    return Sheet(
        today=next((line for line in days if line.name == str(today)), Line(name=str(today))),
        month=_sum(operations, "month"),
        ours=_sum(ours, "ours"),
        operations=_most(operations),
        tenants=_most(_lines("tenant", environment, month, synthetic=False)),
        models=_most(_lines("model", environment, month, synthetic=False)),
        days=tuple(sorted(days, key=lambda line: line.name, reverse=True)),
    )


def _lines(
    by: str, environment: EnvironmentName, since: date, *, synthetic: bool
) -> tuple[Line, ...]:
    rows = (
        Spend.objects.filter(environment=str(environment), day__gte=since, synthetic=synthetic)
        .values_list(by, "currency")
        .annotate(*(Sum(name) for name in _SUMMED))
    )
    found: dict[str, Line] = {}
    for said, currency, *sums, nanos in rows:
        name = str(said)
        counted = dict(zip(_SUMMED, sums, strict=False))
        line = Line(name=name, **counted, money={currency: nanos} if currency else {})
        found[name] = found[name] + line if name in found else line
    return tuple(found.values())


_SUMMED = ("requests", "cached", "untold", "unpriced", "input_tokens", "output_tokens", "nanos")


def _most(lines: Iterable[Line]) -> tuple[Line, ...]:
    found = sorted(lines, key=lambda line: (-line.input_tokens - line.output_tokens, line.name))
    return tuple(found[:MOST_LINES])


def _sum(lines: Iterable[Line], name: str) -> Line:
    total = Line(name=name)
    for line in lines:
        total += line
    return total
