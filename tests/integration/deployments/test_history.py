from __future__ import annotations

from datetime import UTC, datetime

import pytest

from routing.audit import queries as audit
from routing.core.rights import shell_actor
from routing.core.values import Action, EnvironmentName
from routing.deployments import history
from routing.deployments.models import Deployment
from tests.integration.changes.ground import lay

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SHELL = shell_actor(user="ops", host="test")


def test_the_seven_recorded_runs_are_laid_once_and_booked_once() -> None:
    lay()
    assert history.lay(by=SHELL, now=NOW) == 7
    assert history.lay(by=SHELL, now=NOW) == 0
    kept = Deployment.objects.order_by("created_at")
    assert [d.id for d in kept] == [f"history-{run.ms}" for run in history.RUNS]
    assert {d.origin for d in kept} == {"history"}
    assert {d.derived_verdict for d in kept} == {"failed"}
    assert {d.verdict for d in kept} == {""}, "history is never judged as if it had run here"
    booked = audit.page(filters=audit.Filters(action=Action.HISTORY_LAY)).rows
    assert [row.environment for row in booked] == [EnvironmentName.DEVELOPMENT]


def test_says_when_each_run_was_and_what_is_known_of_it() -> None:
    lay()
    history.lay(by=SHELL, now=NOW)
    seed = Deployment.objects.get(id="history-1760086145620")
    assert seed.created_at == datetime(2025, 10, 10, 8, 49, 5, 620000, UTC)
    assert len(seed.components) == 5 and len(seed.flags) == 5
    assert seed.flags["ENABLE_DIRECT_BEDROCK_FALLBACK"] is False
    assert [t.name for t in seed.tests.all()] == ["MCPRouter.mcp_connection"]
    assert {f.code for f in seed.findings.all()} == {"history", "implausible_run"}
    assert "44 ms" in seed.findings.get(code="implausible_run").message
    last = Deployment.objects.get(id="history-1760086996375")
    assert last.flags["ENABLE_BEDROCK_SUPPORT_MODE"] is True
