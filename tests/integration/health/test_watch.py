"""One process probes an environment, and all that serve it decide by what it found."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from routing.changes import first_run
from routing.core.health import Judged
from routing.core.rights import shell_actor
from routing.core.values import Breaker, EnvironmentName, Health, Path
from routing.fleet.models import LoopLease
from routing.health import snapshot
from routing.health.store import Measured
from routing.health.traffic import Figures
from routing.monitor import Watch

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1_000_000)
DEVELOPMENT, STAGING = EnvironmentName.DEVELOPMENT, EnvironmentName.STAGING


@pytest.fixture(autouse=True)
def ground() -> Iterator[None]:
    first_run.lay(
        by=shell_actor(user="test", host="here"),
        now=NOW,
        environments=(DEVELOPMENT, STAGING),
        embedded=True,
    )
    kept = dict(snapshot._judged)
    snapshot._judged.clear()
    yield
    snapshot._judged.clear()
    snapshot._judged.update(kept)


def watch(holder: str, *environments: EnvironmentName) -> Watch:
    return Watch(
        environments=environments or (DEVELOPMENT, STAGING),
        holder=holder,
        clock=lambda: NOW,
        lease_s=15,
    )


def measured(environment: EnvironmentName, status: Health) -> Measured:
    return Measured(
        environment=environment,
        path=Path.MCP,
        target="local:mcp",
        judged=Judged(status=status, score=40, why=("3 probes in a row failed",)),
        breaker=Breaker.CLOSED,
        stages=[],
        figures=Figures(),
        probe_ok=False,
        observed_us=NOW_US,
    )


def test_one_of_two_processes_probes() -> None:
    first, second = watch("a:1"), watch("b:1")
    assert first.hold() == (DEVELOPMENT, STAGING)
    assert second.hold() == ()
    assert first.hold() == (DEVELOPMENT, STAGING)


def test_processes_of_different_environments_both_probe() -> None:
    assert watch("a:1", DEVELOPMENT).hold() == (DEVELOPMENT,)
    assert watch("b:1", STAGING).hold() == (STAGING,)


def test_who_does_not_probe_decides_by_what_was_stored() -> None:
    first, second = watch("a:1"), watch("b:1")
    first.hold()
    first.store([measured(DEVELOPMENT, Health.UNHEALTHY)])
    assert snapshot.of(DEVELOPMENT, NOW_US)[Path.MCP] is Health.UNKNOWN
    second.learn()
    assert snapshot.of(DEVELOPMENT, NOW_US)[Path.MCP] is Health.UNHEALTHY
    assert [row.status for row in second.known[DEVELOPMENT]] == [Health.UNHEALTHY]


def test_what_was_stored_does_not_displace_a_later_judgement() -> None:
    first = watch("a:1")
    first.hold()
    first.store([measured(DEVELOPMENT, Health.UNHEALTHY)])
    later_us = NOW_US + 1_000_000
    snapshot.put(DEVELOPMENT, Path.MCP, Health.HEALTHY, later_us)
    first.learn()
    assert snapshot.of(DEVELOPMENT, later_us)[Path.MCP] is Health.HEALTHY


def test_one_that_slept_through_its_lease_stores_nothing() -> None:
    first, second = watch("a:1"), watch("b:1")
    first.hold()
    LoopLease.objects.update(expires_at=F("expires_at") - timedelta(seconds=16))
    assert second.hold() == (DEVELOPMENT, STAGING)
    first.store([measured(DEVELOPMENT, Health.UNHEALTHY)])
    assert first.held == ()
    second.learn()
    assert second.known[DEVELOPMENT] == ()


def test_released_leases_are_free_at_once() -> None:
    first, second = watch("a:1"), watch("b:1")
    first.hold()
    first.release()
    assert second.hold() == (DEVELOPMENT, STAGING)
