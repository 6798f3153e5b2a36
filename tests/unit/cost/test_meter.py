"""The meter against a naive count of everything that was ever charged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from routing.core.budget import Limit, Period, Sums, Unit
from routing.core.cost import Charge, Price
from routing.core.values import EnvironmentName
from routing.cost import policy
from routing.cost.meter import Meter
from routing.cost.policy import Policy

DEV, STG, PROD = EnvironmentName
START = datetime(2026, 11, 29, 23, 0, tzinfo=UTC)
LIMITS = (
    Limit(period=Period.DAY, unit=Unit.MONEY, amount=10, hard_stop=True),
    Limit(period=Period.MONTH, unit=Unit.TOKENS, amount=25, hard_stop=True),
    Limit(tenant="acme", period=Period.DAY, unit=Unit.TOKENS, amount=6, hard_stop=True),
    Limit(
        tenant="acme",
        period=Period.MONTH,
        unit=Unit.MONEY,
        amount=14,
        hard_stop=True,
        stops_emergencies=True,
    ),
)
BUDGETS = Policy(version=3, currency="EUR", prices={}, limits=LIMITS)


@dataclass(slots=True)
class Naive:
    """Everything that was charged: seq, tenant, day, charge; the first `stored` are in tables."""

    charges: list[tuple[str, date, Charge]] = field(default_factory=list)
    stored: int = 0

    def sums(self, now: datetime, upto: int) -> dict[tuple[str, Period], Sums]:
        found: dict[tuple[str, Period], Sums] = {}
        for tenant, day, charge in self.charges[:upto]:
            for whose in ("", tenant):
                for period in Period:
                    length = 10 if period is Period.DAY else 7
                    if f"{day}"[:length] == f"{now.date()}"[:length]:
                        money = charge.nanos or 0 if charge.currency == "EUR" else 0
                        one = Sums(nanos=money, tokens=sum(charge.tokens or ()))
                        found[whose, period] = found.get((whose, period), Sums()) + one
        return found

    def refuses(self, tenant: str, now: datetime, *, emergency: bool) -> bool:
        sums = self.sums(now, len(self.charges))
        return any(
            sums.get((limit.tenant, limit.period), Sums()).of(limit.unit) >= limit.amount
            and limit.tenant in ("", tenant)
            and (limit.stops_emergencies or not emergency)
            for limit in LIMITS
        )


CHARGES = st.builds(
    Charge,
    currency=st.sampled_from(["EUR", "EUR", "USD"]),
    nanos=st.none() | st.integers(0, 4),
    tokens=st.none() | st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
TENANTS = st.sampled_from(["acme", "other"])
STEPS = st.lists(
    st.tuples(st.just("charge"), TENANTS, CHARGES)
    | st.tuples(st.just("store"), st.integers(1, 5), st.none())
    | st.tuples(st.just("read"), st.none(), st.none())
    | st.tuples(st.just("wait"), st.integers(0, 7200), st.none()),
    max_size=40,
)


@given(STEPS)
def test_stops_exactly_what_a_count_of_all_charges_stops(steps: list[tuple[str, ...]]) -> None:
    """However charges, their storage, readings and midnights follow each other."""
    meter, naive, now = Meter(lambda _: BUDGETS), Naive(), START
    meter.learn(DEV, BUDGETS, {}, upto=0, now=now)
    for what, one, other in steps:
        if what == "charge":
            assert isinstance(other, Charge)
            naive.charges.append((one, now.date(), other))
            meter.take(DEV, one, other, len(naive.charges), now)
        elif what == "store":
            naive.stored = min(naive.stored + int(one), len(naive.charges))
        elif what == "wait":
            now += timedelta(seconds=int(one))
        if what in ("read", "wait"):  # a month's older days are read again at the latest then
            sums = naive.sums(now, naive.stored)
            meter.learn(DEV, BUDGETS, sums, upto=naive.stored, now=now)
        for tenant in ("acme", "other"):
            for emergency in (False, True):
                stop = meter.stop(DEV, tenant, emergency=emergency, now=now)
                refused = naive.refuses(tenant, now, emergency=emergency)
                assert (stop is not None) == refused, (what, tenant, emergency)


def spent(limit: Limit = LIMITS[0], nanos: int = 10, now: datetime = START) -> Meter:
    inforce = Policy(currency="EUR", limits=(limit,))
    meter = Meter(lambda _: inforce)
    sums = {(limit.tenant, limit.period): Sums(nanos=nanos, tokens=nanos)}
    meter.learn(DEV, inforce, sums, upto=0, now=now)
    return meter


def test_one_environment_never_stops_another() -> None:
    meter = spent()
    assert meter.stop(DEV, "acme", emergency=False, now=START)
    assert meter.stop(STG, "acme", emergency=False, now=START) is None
    meter.learn(STG, policy.DEFAULT, {}, upto=0, now=START)
    assert meter.stop(DEV, "acme", emergency=False, now=START)


def test_the_next_day_begins_anew_without_a_reading() -> None:
    meter, later = spent(), START + timedelta(hours=1)
    assert meter.stop(DEV, "acme", emergency=False, now=later) is None
    nine = Charge(currency="EUR", nanos=9)
    meter.take(DEV, "acme", nine, 1, later)
    assert meter.stop(DEV, "acme", emergency=False, now=later) is None
    meter.take(DEV, "acme", nine, 2, later)
    assert meter.stop(DEV, "acme", emergency=False, now=later)


def test_a_reading_that_was_faster_than_who_charges_counts_once() -> None:
    inforce = Policy(currency="EUR", limits=(LIMITS[0],))
    meter = Meter(lambda _: inforce)
    sums = {("", Period.DAY): Sums(nanos=6)}
    meter.learn(DEV, inforce, sums, upto=7, now=START)
    meter.take(DEV, "acme", Charge(currency="EUR", nanos=6), 7, START)
    assert meter.stop(DEV, "acme", emergency=False, now=START) is None
    meter.take(DEV, "acme", Charge(currency="EUR", nanos=6), 8, START)
    assert meter.stop(DEV, "acme", emergency=False, now=START)


def test_a_charge_whose_record_is_lost_counts_until_its_period_is_over() -> None:
    meter = spent(nanos=0)
    meter.take(DEV, "acme", Charge(currency="EUR", nanos=10), None, START)
    inforce = Policy(currency="EUR", limits=(LIMITS[0],))
    meter.learn(DEV, inforce, {}, upto=10**9, now=START)
    assert meter.stop(DEV, "acme", emergency=False, now=START)
    meter.learn(DEV, inforce, {}, upto=10**9, now=START + timedelta(hours=1))
    assert meter.stop(DEV, "acme", emergency=False, now=START + timedelta(hours=1)) is None


def test_a_limit_that_is_raised_or_removed_stops_nobody_any_more() -> None:
    meter = spent()
    for inforce in (
        Policy(currency="EUR", limits=(replace(LIMITS[0], amount=11),)),
        policy.DEFAULT,
    ):
        meter.learn(DEV, inforce, {("", Period.DAY): Sums(nanos=10)}, upto=0, now=START)
        assert meter.stop(DEV, "acme", emergency=False, now=START) is None


PRICED = Policy(
    version=4, currency="USD", prices={"m": Price(input_nanos=10**9, output_nanos=2 * 10**9)}
)


def test_prices_a_known_model_and_says_unknown_of_all_else() -> None:
    meter = Meter(lambda _: PRICED)
    known = meter.charge(DEV, model="m", tokens=(1, 2))
    assert known == Charge(model="m", currency="USD", nanos=5000, policy=4, tokens=(1, 2))
    for unknown in (
        meter.charge(DEV, model="n", tokens=(1, 2)),
        meter.charge(DEV, model="m", tokens=None),
        meter.charge(DEV, model="m", tokens=(-1, 2)),
    ):
        assert (unknown.nanos, unknown.currency, unknown.is_priced) == (None, "", False)
    again = meter.charge(DEV, model="m", tokens=None, cached=True)
    assert (again.nanos, again.cached, again.is_priced) == (0, True, True)
    assert not meter.charge(DEV, model="m", tokens=(1, 2), is_open=True).is_priced


def test_tells_a_caller_of_no_other_tenant() -> None:
    meter = spent(Limit(tenant="acme", period=Period.DAY, unit=Unit.TOKENS, amount=5))
    inforce = Policy(
        limits=(Limit(period=Period.DAY, unit=Unit.TOKENS, amount=5, hard_stop=True),)
    )
    (standing,) = meter.learn(STG, inforce, {}, upto=0, now=START)
    words = meter.words(STG, standing)
    assert "this environment for the day, 5 tokens" in words and "2026-11-30 00:00 UTC" in words
    (own,) = meter.learn(DEV, Policy(limits=(LIMITS[2],)), {}, upto=0, now=START)
    assert "this tenant" in meter.words(DEV, own)
