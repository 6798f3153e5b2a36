"""Prices and limits as a document: read as written, nonsense refused, stops told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import budget
from routing.core.budget import Limit, Period, Sums, Unit
from routing.core.cost import NANOS, Price
from routing.core.errors import Invalid, Refused
from routing.core.guards import Answer
from routing.cost import policy
from routing.cost.policy import Policy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PRICE = Price(input_nanos=3 * NANOS, output_nanos=15 * NANOS)
DAY = Limit(period=Period.DAY, unit=Unit.MONEY, amount=50 * NANOS, hard_stop=True)
PRICED = policy.with_price(policy.DEFAULT, "m", PRICE, "USD")

LIMITS = st.builds(
    Limit,
    tenant=st.sampled_from(["", "acme", "a/b"]),
    period=st.sampled_from(list(Period)),
    unit=st.sampled_from(list(Unit)),
    amount=st.integers(1, 10**15),
    hard_stop=st.booleans(),
)
PRICES = st.builds(Price, input_nanos=st.integers(0, 10**18), output_nanos=st.integers(0, 10**18))


@given(st.dictionaries(st.sampled_from("abc"), PRICES, max_size=3), st.lists(LIMITS, max_size=9))
def test_a_policy_comes_out_of_its_document_as_it_went_in(
    prices: dict[str, Price], limits: list[Limit]
) -> None:
    made = policy.DEFAULT
    for model, price in prices.items():
        made = policy.with_price(made, model, price, "USD")
    for limit in limits:
        made = policy.with_limit(made, limit, "USD")
    document = json.loads(json.dumps(policy.encode(made)))
    assert policy.decode(document, version=0) == made
    for limit in made.limits:
        made = policy.without_limit(made, limit.name)
    for model in prices:
        made = policy.with_price(made, model, None, "")
    assert made == policy.DEFAULT  # and no currency is left behind


def test_a_second_currency_is_refused_until_the_first_is_gone() -> None:
    with pytest.raises(Invalid, match="nothing is converted"):
        policy.with_price(PRICED, "other", PRICE, "EUR")
    with pytest.raises(Invalid, match="nothing is converted"):
        policy.with_limit(PRICED, DAY, "EUR")
    assert policy.with_price(PRICED, "m", PRICE, "EUR").currency == "EUR"
    assert policy.with_limit(PRICED, DAY).currency == "USD"
    with pytest.raises(Invalid, match="no currency"):
        policy.with_limit(policy.DEFAULT, DAY)


GOOD = policy.encode(policy.with_limit(PRICED, DAY))
LIMIT = GOOD["limits"]["day/money"]


@pytest.mark.parametrize(
    "change",
    [
        {"form": 2},
        {"more": 1},
        {"currency": "usd"},
        {"currency": ""},
        {"prices": []},
        {"prices": {"m": {"input": "1"}}},
        {"prices": {"m": {"input": "-1", "output": "1"}}},
        {"prices": {"": {"input": "1", "output": "1"}}},
        {"prices": {"m" * 201: {"input": "1", "output": "1"}}},
        {"limits": {"day/money": LIMIT | {"money": "0"}}},
        {"limits": {"day/money": LIMIT | {"tokens": 5}}},
        {"limits": {"day/tokens": {"period": "day", "tokens": True}}},
        {"limits": {"day/tokens": {"period": "day", "tokens": "5"}}},
        {"limits": {"week/money": LIMIT | {"period": "week"}}},
        {"limits": {"month/money": LIMIT}},
        {"limits": {"day/money": {"period": "day", "money": "5", "stops_emergencies": True}}},
        {"limits": {"day/money/" + "t" * 65: LIMIT | {"tenant": "t" * 65}}},
    ],
)
def test_what_could_not_be_obeyed_is_refused(change: dict[str, Any]) -> None:
    assert policy.decode(GOOD, version=1).limits == (DAY,)
    with pytest.raises(Refused):
        policy.decode(GOOD | change, version=1)


def standings(made: Policy, nanos: int) -> Any:
    sums = {("", Period.DAY): Sums(nanos=nanos), ("", Period.MONTH): Sums(nanos=nanos)}
    return budget.judge(made.limits, sums, NOW)


def judged(before: Policy, after: Policy, nanos: int = 0) -> Any:
    return policy.judge(before, after, standings(after, nanos))


def test_a_limit_that_is_spent_already_lists_who_stops_and_until_when() -> None:
    after = policy.with_limit(PRICED, DAY)
    assert judged(PRICED, after).answer is Answer.ALLOW
    found = judged(PRICED, after, 50 * NANOS)
    assert (found.answer, found.rule) == (Answer.CONFIRM, policy.STOPS)
    assert found.effects == (
        "Requests are refused until 2026-11-24 00:00 UTC: 50 USD are spent already.",
    )
    soft = policy.with_limit(PRICED, replace(DAY, hard_stop=False))
    assert judged(PRICED, soft, 60 * NANOS).answer is Answer.ALLOW
    raised = policy.with_limit(after, replace(DAY, amount=100 * NANOS))
    assert judged(after, raised, 60 * NANOS).answer is Answer.ALLOW


def test_that_emergencies_stop_is_asked_once_for_each_limit() -> None:
    after = policy.with_limit(PRICED, replace(DAY, tenant="acme", stops_emergencies=True))
    found = judged(PRICED, after)
    assert found.rule == policy.EMERGENCIES
    assert found.effects == (
        "Emergencies of acme are refused, too, once the 50 USD of a day are spent.",
    )
    assert judged(after, policy.with_price(after, "n", PRICE, "")).answer is Answer.ALLOW


def test_a_price_that_goes_away_takes_requests_out_of_the_limits() -> None:
    found = judged(PRICED, policy.with_price(PRICED, "m", None, ""))
    assert found.rule == policy.UNPRICED and "unknown from now on" in found.effects[0]


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(Invalid):
        policy.with_price(PRICED, "other", None, "")
    with pytest.raises(Invalid):
        policy.without_limit(PRICED, "day/money")
