"""Prices and limits as booked changes, and alerts: each once, whoever sees it first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from routing.audit import queries as audit
from routing.budgeting import Budgets
from routing.changes import budget
from routing.changes.budget import Applied
from routing.core.budget import LEVELS, Limit, Period, Unit
from routing.core.cost import NANOS, Charge, Price
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, Stale
from routing.core.rights import Right
from routing.core.values import Action, Role
from routing.cost import policy, snapshot, spend, store
from routing.cost.meter import Meter
from routing.cost.models import BudgetAlert, CostPolicy, Spend
from routing.cost.policy import Policy
from tests.integration.changes.ground import (
    ADMIN,
    DEV,
    NOW,
    OPERATOR,
    PROD,
    STG,
    entries,
    facts,
    lay,
    person,
)
from tests.integration.changes.test_commands import run

pytestmark = pytest.mark.django_db(transaction=True)
PRICE = Price(input_nanos=3 * NANOS, output_nanos=15 * NANOS)
PRICED = policy.with_price(policy.DEFAULT, "m", PRICE, "EUR")
DAY = Limit(period=Period.DAY, unit=Unit.MONEY, amount=10 * NANOS, hard_stop=True)
LIMITED = policy.with_limit(PRICED, DAY)


@pytest.fixture(autouse=True)
def _ground() -> Iterator[None]:
    lay()
    snapshot.refresh()
    yield
    CostPolicy.objects.all().delete()
    snapshot.refresh()


def put(wanted: Policy = PRICED, **more: Any) -> Applied:
    told: dict[str, Any] = {
        "by": ADMIN,
        "now": NOW,
        "environment": STG,
        "reason": "as the contract says",
    }
    return budget.apply(wanted=wanted, **(told | more))


def spend_now(whole: int, *, environment: str = "staging", at: datetime = NOW) -> None:
    """Store one decision that cost so many EUR."""
    cost = {"model": "m", "currency": "EUR", "nanos": whole * NANOS, "policy": 1}
    spend.add(
        [
            {
                "kind": "decision",
                "at": f"{at:%Y-%m-%dT%H:%M:%S}Z",
                "environment": environment,
                "operation": "standard",
                "tenant": "acme",
                "usage": [1, 1],
                "cost": cost | {"open": False, "cached": False},
            }
        ]
    )


def test_is_in_force_at_once_and_booked_before_and_after() -> None:
    done = put()
    assert snapshot.current().of(STG) == replace(PRICED, version=1)
    assert snapshot.current().of(DEV) == policy.DEFAULT
    entry = audit.entry(stream="control", seq=done.entry_seq)
    assert (entry.action, entry.reason) == (Action.COST_CHANGE, "as the contract says")
    assert facts(entry.before)["prices"] == {}
    assert facts(entry.after)["prices"] == {"m": {"input": "3", "output": "15"}}
    assert facts(entry.after)["currency"] == "EUR"
    put(policy.with_limit(snapshot.current().of(STG), DAY))
    assert [row.version for row in CostPolicy.objects.order_by("version")] == [1, 2]


def test_another_process_sees_it_when_it_looks_and_not_before() -> None:
    store.put(environment=PROD, base_version=0, wanted=PRICED, by="elsewhere", now=NOW)
    assert snapshot.current().of(PROD) == policy.DEFAULT
    snapshot.refresh_if_changed()
    assert snapshot.current().of(PROD) == replace(PRICED, version=1)


def test_the_slower_of_two_is_told_and_changes_nothing() -> None:
    put()
    with pytest.raises(Stale) as lost:
        put(LIMITED)
    assert lost.value.facts["current"] == 1
    assert store.read(STG).limits == ()
    assert entries()[0].outcome == "refused"


EMERGENCIES = policy.with_limit(PRICED, replace(DAY, stops_emergencies=True))


REFUSALS: tuple[tuple[dict[str, Any], type[Exception]], ...] = (
    ({"by": OPERATOR}, Forbidden),
    ({"reason": ""}, Invalid),
    ({"environment": PROD}, Invalid),
    ({"wanted": policy.DEFAULT}, Invalid),
    ({"wanted": replace(PRICED, currency="usd")}, Invalid),
    ({"wanted": EMERGENCIES}, NeedsConfirm),
)


def test_what_is_not_allowed_is_refused_booked_and_changes_nothing() -> None:
    for more, error in REFUSALS:
        before = len(entries())
        with pytest.raises(error):
            put(**more)
        fresh = entries()[: len(entries()) - before]
        assert [(row.action, row.outcome) for row in fresh] == [(Action.COST_CHANGE, "refused")]
    assert not CostPolicy.objects.exists()


def test_emergencies_stop_only_where_an_admin_confirmed_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also on the day when somebody lets operators change budgets."""
    from routing.core import rights

    wider = {**rights.RIGHTS, Role.OPERATOR: rights.RIGHTS[Role.OPERATOR] | {Right.SETTINGS}}
    monkeypatch.setattr(rights, "RIGHTS", wider)
    operator = person(Role.OPERATOR)
    put(by=operator)
    with pytest.raises(Forbidden, match="Only an admin"):
        put(replace(EMERGENCIES, version=1), by=operator, confirmed=True)
    put(replace(EMERGENCIES, version=1), confirmed=True)
    assert store.read(STG).limits[0].stops_emergencies


def test_a_limit_that_stops_at_once_says_whom_first() -> None:
    spend_now(12)
    with pytest.raises(NeedsConfirm) as asked:
        put(LIMITED)
    (effect,) = asked.value.facts["effects"]
    assert "12 EUR are spent already" in effect
    assert put(LIMITED, confirmed=True).after.version == 1


def test_a_document_that_cannot_be_obeyed_leaves_the_last_one_in_force(
    caplog: pytest.LogCaptureFixture,
) -> None:
    put()
    CostPolicy.objects.update(document={"form": 9}, version=2)
    snapshot.refresh_if_changed()
    assert snapshot.current().of(STG).prices == PRICED.prices
    assert "cannot be obeyed" in caplog.text


def alerts() -> list[dict[str, Any]]:
    found = [row for row in entries() if row.action == Action.BUDGET_ALERT]
    return [facts(row.facts) for row in reversed(found)]


def look(budgets: Budgets, turn: int = 0, *, days: int = 0) -> None:
    budgets.look(0, NOW + timedelta(days=days, seconds=20 * turn))


def test_each_level_is_booked_once_for_each_period_and_amount() -> None:
    put(LIMITED)
    budgets, other = (Budgets(Meter(), [STG]) for _ in range(2))
    look(budgets)
    assert alerts() == []
    spend_now(6)
    for turn in range(1, 4):
        look(budgets, turn)
        look(other, turn)
    assert [one["levels"] for one in alerts()] == [[50]]
    assert alerts()[0] | {"spent": "6", "amount": "10", "currency": "EUR"} == alerts()[0]
    spend_now(6)
    look(other, 5)
    assert alerts()[1]["levels"] == [75, 90, 100] and alerts()[1]["stops"] is True
    look(budgets, 6)
    spend_now(5, at=NOW + timedelta(days=1))
    look(budgets, days=1)
    assert [one["levels"] for one in alerts()[2:]] == [[50]]
    put(policy.with_limit(store.read(STG), replace(DAY, amount=20 * NANOS)))
    look(budgets, 8)
    assert alerts()[3]["levels"] == [50] and alerts()[3]["amount"] == "20"
    assert BudgetAlert.objects.count() == 4 + 1 + 1


@pytest.mark.only_on("postgresql")
def test_of_processes_that_see_a_level_together_one_books_it() -> None:
    put(LIMITED)
    spend_now(11)
    gate = threading.Barrier(4)

    def work() -> None:
        try:
            gate.wait(30)
            look(Budgets(Meter(), [STG]))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [level for one in alerts() for level in one["levels"]] == list(LEVELS)


def test_the_meter_learns_what_others_spent_and_counts_nothing_twice() -> None:
    put(LIMITED)
    meter = Meter(lambda environment: snapshot.current().of(environment))
    budgets = Budgets(meter, [STG])
    look(budgets)
    four = Charge(model="m", currency="EUR", nanos=4 * NANOS, tokens=(1, 1))
    meter.take(STG, "acme", four, 5, NOW)
    spend_now(4)  # by this process: its record 5 is stored now
    budgets.look(5, NOW + timedelta(seconds=20))
    assert meter.stop(STG, "acme", emergency=False, now=NOW) is None  # 4 of 10, not 8
    spend_now(6)  # by another one
    budgets.look(5, NOW + timedelta(seconds=40))
    assert meter.stop(STG, "acme", emergency=False, now=NOW) is not None


def test_without_limits_nothing_is_read(django_assert_num_queries: Any) -> None:
    put()
    budgets = Budgets(Meter(), [DEV, STG])
    with django_assert_num_queries(0):
        look(budgets)


def test_a_second_look_within_a_second_reads_nothing(django_assert_num_queries: Any) -> None:
    put(LIMITED)
    budgets = Budgets(Meter(), [STG])
    with django_assert_num_queries(2):
        look(budgets)
    with django_assert_num_queries(0):
        budgets.look(0, NOW + timedelta(milliseconds=900))
    with django_assert_num_queries(1):  # the days before are known for ten seconds
        budgets.look(0, NOW + timedelta(milliseconds=1100))


THERE = ("--environment", "staging", "--reason", "as the contract says")


def test_the_command_sets_shows_and_removes(capsys: pytest.CaptureFixture[str]) -> None:
    price = ("--model", "m", "--input", "0.8", "--output", "3.20", "--currency", "USD")
    status, lines, _ = run(capsys, "cost", "price", *THERE, *price)
    assert (status, lines[0]["after"]["prices"]["m"]) == (0, {"input": "0.8", "output": "3.2"})
    limit = ("--period", "month", "--unit", "tokens", "--most", "1_000_000", "--tenant", "acme")
    status, lines, _ = run(capsys, "cost", "limit", *THERE, *limit, "--hard-stop")
    assert (status, lines[0]["version"]) == (0, 2)
    Spend.objects.create(
        environment="staging",
        day=datetime.now(UTC).date(),  # noqa: TID251 - the command asks the same clock
        operation="standard",
        tenant="acme",
        synthetic=False,
        requests=3,
        input_tokens=600_000,
        output_tokens=300_000,
        unpriced=3,
    )
    status, lines, _ = run(capsys, "cost", "show", "--environment", "staging")
    (told,) = lines[0]["limits"]
    assert (told["name"], told["spent"], told["most"], told["level"], told["stops"]) == (
        "month/tokens/acme",
        "900000 tokens",
        "1000000 tokens",
        90,
        False,
    )
    assert lines[0]["tenants"]["acme"]["unpriced"] == 3
    assert lines[0]["month"]["money"] == {}
    status, lines, _ = run(capsys, "cost", "limit", *THERE, *limit[:4], "--tenant", "acme",
                           "--remove")  # fmt: skip
    assert (status, lines[0]["after"]["limits"]) == (0, {})
    status, lines, said = run(capsys, "cost", "price", *THERE, "--model", "m", "--remove")
    assert (status, lines[0]["error"]) == (1, "needs_confirm") and "unknown from now on" in said


REFUSED_WORDS = (
    ("price",),
    ("price", "--model", "m"),
    ("price", "--model", "m", "--input", "3", "--output", "15"),
    ("price", "--model", "m", "--remove"),
    ("limit", "--period", "day"),
    ("limit", "--period", "day", "--unit", "tokens", "--most", "1.5"),
    ("limit", "--period", "day", "--unit", "tokens", "--most", "0"),
    ("limit", "--period", "day", "--unit", "money", "--most", "5"),
    ("limit", "--period", "day", "--unit", "money", "--remove"),
    ("limit", "--period", "day", "--unit", "tokens", "--most", "5", "--stops-emergencies"),
)


def test_the_command_refuses_what_it_cannot_mean(capsys: pytest.CaptureFixture[str]) -> None:
    for words in REFUSED_WORDS:
        status, lines, said = run(capsys, "cost", *words, *THERE)
        assert (status, lines[0]["error"], bool(said)) == (1, "invalid", True), words
    assert not CostPolicy.objects.exists()
