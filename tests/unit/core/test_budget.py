"""Limits against a naive calendar: days of a period, levels that are reached, what stops."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routing.core import budget
from routing.core.budget import LEVELS, Limit, Period, Standing, Sums, Unit

DAYS = st.dates(date(2020, 1, 1), date(2099, 12, 30))
PERIODS = st.sampled_from(list(Period))
MOMENTS = st.builds(datetime.combine, DAYS, st.times(), st.just(UTC))


def same(period: Period, one: date, other: date) -> bool:
    """The oracle: two days are of one period when they are written alike."""
    length = 10 if period is Period.DAY else 7
    return one.isoformat()[:length] == other.isoformat()[:length]


@given(PERIODS, DAYS)
@example(Period.MONTH, date(2024, 2, 29))
@example(Period.MONTH, date(2026, 12, 31))
@example(Period.MONTH, date(2026, 1, 31))
def test_a_period_holds_the_days_that_are_written_alike(period: Period, day: date) -> None:
    first, after = budget.bounds(period, day)
    assert first <= day < after
    span = [first + timedelta(days=n) for n in range((after - first).days)]
    assert all(same(period, day, one) for one in span)
    assert not same(period, day, first - timedelta(days=1))
    assert not same(period, day, after)


@given(PERIODS, MOMENTS)
def test_a_period_ends_at_midnight_utc_and_one_may_come_back_then(
    period: Period, now: datetime
) -> None:
    ends = budget.ends(period, now)
    assert (ends.hour, ends.minute, ends.second, ends.microsecond) == (0, 0, 0, 0)
    standing = made(limit(period=period), 0, now)
    wait_s = budget.retry_after_s(standing, now)
    last = now + timedelta(seconds=wait_s)
    assert last >= ends and not same(period, last.date(), now.date())
    assert last - timedelta(seconds=1) < ends


def test_a_day_is_that_of_utc_wherever_the_clock_stands() -> None:
    tokyo = timezone(timedelta(hours=9))
    now = datetime(2026, 3, 1, 3, tzinfo=tokyo)  # the last of February in UTC
    assert budget.ends(Period.MONTH, now) == datetime(2026, 3, 1, tzinfo=UTC)
    assert made(limit(period=Period.MONTH), 0, now).since == date(2026, 2, 1)


def limit(
    amount: int = 1000, *, tenant: str = "", period: Period = Period.DAY, **more: bool
) -> Limit:
    return Limit(tenant=tenant, period=period, unit=Unit.MONEY, amount=amount, **more)


def made(one: Limit, spent: int, now: datetime) -> Standing:
    sums = {(one.tenant, one.period): Sums(nanos=spent, tokens=7, unpriced=2, untold=1)}
    (standing,) = budget.judge([one], sums, now)
    return standing


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@given(spent=st.integers(0, 10**18), amount=st.integers(1, 10**18))
@example(spent=1, amount=2)
@example(spent=899_999_999_999_999_999, amount=10**18)
def test_a_level_is_reached_when_that_share_is_spent(spent: int, amount: int) -> None:
    found = budget.level(spent, amount)
    for level in LEVELS:
        assert (found >= level) == (100 * spent >= level * amount)


@given(spent=st.integers(0, 2000), hard=st.booleans(), all_=st.booleans(), emergency=st.booleans())
def test_only_a_hard_stop_that_is_spent_refuses_and_an_emergency_only_where_it_says_so(
    spent: int, hard: bool, all_: bool, emergency: bool
) -> None:
    standing = made(limit(hard_stop=hard, stops_emergencies=hard and all_), spent, NOW)
    expected = hard and spent >= 1000 and (all_ or not emergency)
    refusing = budget.refusing([standing], emergency=emergency, now=NOW)
    assert (refusing is standing) == expected == standing.refuses(emergency=emergency)


def test_the_end_of_the_period_ends_the_stop_and_of_several_the_last_one_is_told() -> None:
    day = made(limit(hard_stop=True), 1000, NOW)
    month = made(limit(period=Period.MONTH, hard_stop=True), 1000, NOW)
    both = [day, month]
    assert budget.refusing(both, emergency=False, now=NOW) is month
    assert budget.refusing([day], emergency=False, now=day.ends) is None
    assert budget.refusing(both, emergency=False, now=day.ends) is month


@pytest.mark.parametrize(("unit", "spent", "uncounted"), [("money", 5, 2), ("tokens", 7, 1)])
def test_each_unit_counts_its_own_and_says_what_it_does_not_count(
    unit: str, spent: int, uncounted: int
) -> None:
    one = Limit(period=Period.DAY, unit=Unit(unit), amount=9)
    sums = {("", Period.DAY): Sums(nanos=5, tokens=7, unpriced=2, untold=1)}
    (standing,) = budget.judge([one], sums, NOW)
    assert (standing.spent, standing.uncounted) == (spent, uncounted)


def test_a_tenant_of_whom_nothing_is_known_has_spent_nothing() -> None:
    (standing,) = budget.judge([limit(tenant="acme")], {("", Period.DAY): Sums(nanos=9**9)}, NOW)
    assert (standing.spent, standing.level) == (0, 0)


def test_names_tell_limits_apart() -> None:
    found = {
        Limit(tenant=tenant, period=period, unit=unit, amount=1).name
        for tenant in ("", "a", "a/b", "day")
        for period in Period
        for unit in Unit
    }
    assert len(found) == 16
