"""The last decisions as the pages read them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from routing.core.values import EnvironmentName, Operation, Path, Reason
from routing.decisions import queries
from routing.decisions.models import Decision

pytestmark = pytest.mark.django_db
DEV, STG, PROD = EnvironmentName
NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


def keep(number: int, **more: Any) -> None:
    link = hashlib.sha256(f"{number}".encode()).digest()
    Decision.objects.create(
        **{
            "stream": "decision:tests:1",
            "seq": number,
            "body": b"{}",
            "prev": hashlib.sha256(f"{number - 1}".encode()).digest(),
            "hash": link,
            "kind": "decision",
            "at": NOW + timedelta(seconds=number),
            "environment": str(DEV),
            "operation": "standard",
            "intended": "mcp",
            "effective": "mcp",
            "reason": "rule",
            "within_budget": True,
            "duration_us": number * 1000,
            **more,
        }
    )


def test_returns_the_newest_of_the_environment_and_no_other_records(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(1, 8):
        keep(number)
    keep(8, environment=str(PROD))
    keep(9, kind="opened", environment="", operation="", reason="", at=NOW + timedelta(hours=1))
    keep(10, kind="gap", operation="", reason="", at=None)
    with django_assert_num_queries(1):
        found = queries.recent(DEV, 5)
    assert [row.duration_us for row in found.rows] == [7000, 6000, 5000, 4000, 3000]
    assert found.since == NOW + timedelta(seconds=3)
    assert queries.recent(STG).rows == ()
    assert queries.recent(STG).since is None


def test_counts_what_was_answered_and_what_moved() -> None:
    keep(1)
    keep(2, effective="direct_bedrock", reason="fallback_unhealthy", within_budget=False)
    keep(3, effective="", reason="no_path", within_budget=None)
    keep(4, operation="emergency", intended="direct_bedrock", effective="direct_bedrock")
    keep(5, synthetic=True)
    found = queries.recent(DEV)
    flow = found.flow(synthetic=False, operation=Operation.STANDARD)
    assert (flow.total, flow.answered, flow.moved, flow.within_budget) == (3, 2, 1, 1)
    assert flow.effective == {Path.MCP: 1, Path.DIRECT_BEDROCK: 1}
    assert flow.reasons == {
        Reason.RULE: 1,
        Reason.FALLBACK_UNHEALTHY: 1,
        Reason.NO_PATH: 1,
    }
    assert flow.p95_us == 2000
    assert found.flow(synthetic=False).total == 4
    assert found.flow(synthetic=True).total == 1
    assert found.flow(synthetic=True, operation=Operation.EMERGENCY).p95_us is None


def test_leaves_out_what_is_older_than_asked() -> None:
    for number in range(1, 5):
        keep(number)
    assert len(queries.recent(DEV).later_than(NOW + timedelta(seconds=2)).rows) == 2


def test_a_refused_request_that_never_had_a_path_is_one_all_the_same() -> None:
    keep(1, intended="", effective="", reason="refused_compliance", duration_us=None)
    (row,) = queries.recent(DEV).rows
    assert (row.intended, row.effective, row.duration_us) == (None, None, 0)


@pytest.mark.only_on("sqlite")
def test_the_statement_walks_the_index_and_sorts_nothing() -> None:
    found = Decision.objects.filter(environment="development", kind="decision", at__isnull=False)
    plan = found.order_by("-at")[:500].explain()
    assert "USING INDEX decision_by_environment" in plan
    assert "TEMP B-TREE" not in plan
