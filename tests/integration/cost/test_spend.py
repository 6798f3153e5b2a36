"""What was spent: each stored record once, whatever happens on the way; our own apart."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from routing.core.budget import Limit, Period, Sums, Unit
from routing.core.values import EnvironmentName
from routing.cost import queries, spend
from routing.cost.models import Spend
from routing.cost.policy import Policy
from routing.decisions import shipper
from routing.decisions.fresh import Fresh
from routing.decisions.models import Decision
from routing.decisions.segment import Segment
from routing.decisions.shipper import Shipper
from tests.integration.decisions.ground import LIVE, Away, Writer, decision, stored

pytestmark = pytest.mark.django_db
DEV, STG, PROD = EnvironmentName
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = NOW.date()


def charged(nanos: int | None = 7, *, usage: Any = (3, 2), **more: Any) -> dict[str, Any]:
    """A record of a decision that cost so much."""
    fields = {"model", "currency", "open", "cached"}
    cost = {
        "model": "m",
        "currency": "" if nanos is None else "EUR",
        "nanos": nanos,
        "policy": 1,
        "open": False,
        "cached": False,
        **{name: more.pop(name) for name in fields & set(more)},
    }
    said = {"tenant": "acme", "usage": usage and list(usage), "cost": cost}
    return decision(**(said | more))


def made(live: Writer, count: Any = spend.add) -> Shipper:
    return Shipper(live.path.parent, live=LIVE, synced=lambda: live.segment.seq, count=count)


def counts() -> tuple[int, int, int]:
    """Requests, nanos and tokens of all rows."""
    rows = Spend.objects.values_list("requests", "nanos", "input_tokens", "output_tokens")
    return (
        sum(row[0] for row in rows),
        sum(row[1] for row in rows),
        sum(row[2] + row[3] for row in rows),
    )


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "BATCH", 3)


def every_kind() -> list[dict[str, Any]]:
    """Records of every kind, with columns that follow from their bodies in every way."""
    begun = {"v": 1, "kind": "begun", **{k: v for k, v in charged().items() if k != "kind"}}
    return [
        charged(7),
        charged(9, tenant="other", open=True, intended=None, effective=None),
        charged(None, usage=None, duration_us=None),
        charged(5, synthetic=True, duration_us=3, budget_ms=1),
        charged(0, usage=None, cached=True, prompt={"size": 3, "sha256": "x"}),
        decision(cost=None, usage=None, tenant="acme"),
        begun,
        {"v": 1, "kind": "gap", "count": 2},
        {"v": 1, "kind": "report", "at": "2026-11-23T11:59:00.000000Z", "environment": "staging"},
    ]


def rows() -> list[Any]:
    """What is stored of records and spending, but for the number that tells rows apart."""
    stored = [row | {"id": 0} for row in Decision.objects.order_by("seq").values()]
    return [stored, [row | {"id": 0} for row in Spend.objects.order_by("id").values()]]


def test_stores_the_same_from_memory_as_from_the_bytes(tmp_path: Path) -> None:
    kept, log_id = Fresh(), bytes(32)
    path = tmp_path / "p-live.seg"
    writing = Segment(path, stream=LIVE, log_id=log_id, told=kept.note)
    writing.append([{"v": 1, "kind": "opened", "log_id": log_id.hex()}])
    writing.append(every_kind())
    taken = 0

    def known(seq: int, link: bytes) -> dict[str, Any] | None:
        nonlocal taken
        found = kept.take(seq, link)
        taken += found is not None
        return found

    usual: Any = {"live": LIVE, "synced": lambda: writing.seq, "count": spend.add}
    before = transaction.savepoint()
    Shipper(tmp_path, **usual, known=known).ship()
    from_memory = rows()
    assert taken == writing.seq
    transaction.savepoint_rollback(before)
    assert rows() == [[], []]
    Shipper(tmp_path, **usual).ship()
    assert from_memory == rows()


def test_is_added_up_by_what_it_was_for(live: Writer) -> None:
    live.segment.append(
        [
            charged(7),
            charged(5, usage=(10, 0)),
            charged(7, tenant="other"),
            charged(None),
            charged(None, usage=None, model="tool"),
            charged(0, usage=None, cached=True),
            charged(9, open=True),
            charged(100, synthetic=True),
            charged(4, at="2026-11-24T00:00:00.000000Z"),
            decision(cost=None, tenant="acme", usage=None),  # refused: nothing was billed
            decision(),  # from before costs were kept
            {"v": 1, "kind": "begun", **{k: v for k, v in charged().items() if k != "kind"}},
        ]
    )
    made(live).ship()
    found = {
        (row.day.day, row.tenant, row.model, row.currency, row.synthetic): (
            row.requests,
            row.cached,
            row.untold,
            row.unpriced,
            row.input_tokens + row.output_tokens,
            row.nanos,
        )
        for row in Spend.objects.all()
    }
    assert found == {
        (23, "acme", "m", "EUR", False): (4, 1, 1, 1, 20, 21),
        (23, "other", "m", "EUR", False): (1, 0, 0, 0, 5, 7),
        (23, "acme", "m", "", False): (1, 0, 0, 1, 5, 0),
        (23, "acme", "tool", "", False): (1, 0, 1, 1, 0, 0),
        (23, "acme", "m", "EUR", True): (1, 0, 0, 0, 5, 100),
        (24, "acme", "m", "EUR", False): (1, 0, 0, 0, 5, 4),
    }


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize(
    "when", ["before it is stored", "when it is stored", "when it is counted"]
)
@pytest.mark.parametrize("same", [True, False])
def test_a_batch_that_fails_anywhere_is_counted_once(
    live: Writer, monkeypatch: pytest.MonkeyPatch, at: int, when: str, same: bool
) -> None:
    """Records and sums are one transaction: both are there, or neither."""
    live.segment.append([charged() for _ in range(8)])
    left = at

    def count(bodies: Sequence[Mapping[str, Any]]) -> None:
        nonlocal left
        left -= 1
        if when == "before it is stored" and left == 0:
            raise DatabaseError("away")
        spend.add(bodies)
        if when == "when it is counted" and left == 0:
            raise DatabaseError("away")

    shipping = made(live, count)
    if when == "when it is stored":
        Away(monkeypatch, at=at)
    with pytest.raises(DatabaseError):
        shipping.ship()
    decided = Decision.objects.filter(kind="decision").count()
    assert counts() == (decided, 7 * decided, 5 * decided)
    shipping = shipping if same else made(live)
    shipping.ship()
    assert counts() == (8, 56, 40)
    assert stored() == list(range(1, 10))


def test_the_same_segment_shipped_by_two_is_counted_once(live: Writer) -> None:
    live.segment.append([charged()])
    ours, theirs = made(live), made(live)
    ours.ship()
    theirs.ship()
    live.segment.append([charged() for _ in range(5)])
    theirs.ship()
    with pytest.raises(DatabaseError):
        ours.ship()  # it believes that they are still to come
    assert ours.ship() == made(live).ship() == 0
    assert counts() == (6, 42, 30)


@pytest.mark.usefixtures("small_batches")
def test_without_the_one_transaction_a_failure_would_lose_what_was_spent(
    live: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the tests above."""
    monkeypatch.setattr(shipper, "transaction", SimpleNamespace(atomic=nullcontext))
    live.segment.append([charged() for _ in range(8)])

    def count(_: object) -> None:
        raise DatabaseError("away")

    with pytest.raises(DatabaseError):
        made(live, count).ship()
    made(live).ship()
    assert stored() == list(range(1, 10))
    assert counts() == (6, 42, 30)


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_processes_that_begin_the_same_rows_at_once_lose_nothing() -> None:
    bodies = [charged(tenant=f"t{n % 5}") for n in range(50)]
    gate = threading.Barrier(4)

    def work(turn: int) -> None:
        from django.db import transaction

        try:
            gate.wait(30)
            with transaction.atomic():
                spend.add(bodies[:: 1 if turn % 2 else -1])
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counts() == (200, 1400, 1000)
    assert Spend.objects.count() == 5


def test_totals_are_those_of_real_requests_in_one_currency() -> None:
    spend.add(
        [
            charged(7),
            charged(5, tenant="other"),
            charged(9, synthetic=True),
            charged(3, currency="USD"),
            charged(None, usage=None),
            charged(7, environment="staging"),
            charged(7, at="2026-11-22T23:59:59.999999Z"),
        ]
    )
    found = spend.totals(PROD, TODAY, TODAY + timedelta(days=1), "EUR")
    assert found == {
        "acme": Sums(nanos=7, tokens=10, unpriced=2, untold=1),
        "other": Sums(nanos=5, tokens=5),
        "": Sums(nanos=12, tokens=15, unpriced=2, untold=1),
    }
    spent = queries.spent(PROD, "EUR", NOW)
    assert spent["", Period.DAY].nanos == 12
    assert spent["", Period.MONTH].nanos == 19
    assert spent["acme", Period.MONTH] == Sums(nanos=14, tokens=15, unpriced=2, untold=1)


def test_limits_stand_by_what_is_stored() -> None:
    limits = (Limit(period=Period.DAY, unit=Unit.MONEY, amount=10, hard_stop=True),)
    (standing,) = queries.standings(PROD, Policy(currency="EUR", limits=limits), NOW)
    assert (standing.spent, standing.level) == (0, 0)
    spend.add([charged(7), charged(7)])
    (standing,) = queries.standings(PROD, Policy(currency="EUR", limits=limits), NOW)
    assert (standing.spent, standing.level, standing.stops) == (14, 100, True)


def test_the_sheet_adds_up_however_it_is_cut() -> None:
    first = "2026-11-01T00:00:00.000000Z"
    spend.add(
        [
            charged(7),
            charged(5, tenant="other", operation="emergency"),
            charged(3, currency="USD", model="n"),
            charged(1, at=first),
            charged(8, at="2026-10-31T23:59:59.000000Z"),
            charged(100, synthetic=True),
        ]
    )
    sheet = queries.sheet(PROD, NOW)
    assert (sheet.month.requests, dict(sheet.month.money)) == (4, {"EUR": 13, "USD": 3})
    assert (sheet.today.requests, dict(sheet.today.money)) == (3, {"EUR": 12, "USD": 3})
    assert (sheet.ours.requests, dict(sheet.ours.money)) == (1, {"EUR": 100})
    for cut in (sheet.operations, sheet.tenants, sheet.models):
        assert sum(line.requests for line in cut) == 4
        assert sum(line.money.get("EUR", 0) for line in cut) == 13
    assert [line.name for line in sheet.days] == [str(date(2026, 11, 23))]
    assert queries.sheet(STG, NOW).month.requests == 0
