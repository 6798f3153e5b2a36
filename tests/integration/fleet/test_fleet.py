"""Environments and processes on the real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import F

from routing.core.errors import Broken, NotFound, Stale
from routing.core.values import EnvironmentName, Residency
from routing.core.values import Path as Way
from routing.fleet import clock, heartbeat, leases, queries, store
from routing.fleet.models import Process
from routing.fleet.store import PathSettings

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
DEV, STG, PROD = EnvironmentName
LOCAL = PathSettings(
    residency=Residency.LOCAL, bedrock_target="local:bedrock", mcp_target="local:mcp"
)

pytestmark = pytest.mark.django_db


def facts(*environments: EnvironmentName, name: str = "web") -> heartbeat.Facts:
    return heartbeat.Facts(
        name=name,
        pid=7,
        host="ops.example.org",
        kind="server",
        environments=environments,
        code_version="0.1.0",
        door_url="http://127.0.0.1:8000",
    )


def start(*environments: EnvironmentName) -> str:
    return heartbeat.start(facts(*environments), now=NOW, versions={"tokens": 0})


def let_pass(seconds: float) -> None:
    """Move every report into the past: the same on both databases, whoever's clock judges."""
    Process.objects.update(heartbeat_at=F("heartbeat_at") - timedelta(seconds=seconds))


def alive(environment: EnvironmentName) -> list[str]:
    return [row.id for row in heartbeat.alive(environment, now=NOW)]


class TestEnvironments:
    def test_lays_an_environment_once(self) -> None:
        assert store.create(DEV, LOCAL)
        assert not store.create(DEV, PathSettings())
        row = queries.environment(DEV)
        assert (row.version, row.target(Way.MCP), row.residency) == (1, "local:mcp", "local")

    def test_lists_them_in_the_order_of_promotion(self) -> None:
        for name in (PROD, DEV, STG):
            store.create(name, LOCAL)
        assert [row.name for row in queries.environments()] == [DEV, STG, PROD]

    def test_says_how_to_get_an_environment_that_is_not_there(self) -> None:
        with pytest.raises(NotFound, match="HYBRIDOPS_ENVIRONMENTS"):
            queries.environment(PROD)

    def test_an_update_needs_the_version_that_was_looked_at(self) -> None:
        store.create(DEV, LOCAL)
        row = store.update(DEV, base_version=1, settings=PathSettings(bedrock_region="eu-west-1"))
        assert (row.version, row.bedrock_region, row.target(Way.MCP)) == (2, "eu-west-1", "")

    def test_a_late_update_changes_nothing_and_shows_what_won(self) -> None:
        store.create(DEV, LOCAL)
        won = store.update(DEV, base_version=1, settings=PathSettings(mcp_target="https://a"))
        with pytest.raises(Stale) as late:
            store.update(DEV, base_version=1, settings=PathSettings(mcp_target="https://b"))
        assert late.value.facts["current"]["mcp_target"] == "https://a"
        assert queries.environment(DEV) == won

    def test_an_update_of_nothing_is_not_found(self) -> None:
        with pytest.raises(NotFound):
            store.update(PROD, base_version=1, settings=LOCAL)


class TestProcesses:
    def test_a_started_process_is_alive_where_it_serves_and_nowhere_else(self) -> None:
        process = start(DEV, STG)
        assert (alive(DEV), alive(STG), alive(PROD)) == ([process], [process], [])

    def test_two_lives_of_one_name_have_different_ids(self) -> None:
        assert start(DEV) != start(DEV)

    def test_a_silent_process_is_dead_after_fifteen_seconds(self) -> None:
        process = start(DEV)
        let_pass(13)
        assert alive(DEV) == [process]
        let_pass(2.001)
        assert alive(DEV) == []

    def test_a_beat_brings_it_back_with_its_new_versions(self) -> None:
        process = start(DEV)
        let_pass(60)
        heartbeat.beat(process, now=NOW, versions={"tokens": 3})
        [row] = heartbeat.alive(DEV, now=NOW)
        assert row.versions == {"tokens": 3}

    def test_a_process_that_said_goodbye_is_dead_at_once_and_stays_dead(self) -> None:
        process = start(DEV)
        heartbeat.stop(process, now=NOW)
        assert alive(DEV) == []
        with pytest.raises(Broken, match="Restart"):
            heartbeat.beat(process, now=NOW, versions={})

    def test_a_report_from_the_future_does_not_keep_a_dead_process_alive(self) -> None:
        start(DEV)
        let_pass(-25 * 3600)
        assert alive(DEV) == []

    def test_a_beat_without_a_row_is_told_to_a_person(self) -> None:
        with pytest.raises(Broken):
            heartbeat.beat("web:none", now=NOW, versions={})

    def test_the_list_keeps_the_dead_for_a_week(self) -> None:
        old = start(DEV)
        let_pass(6 * 86400)
        recent = start(DEV)
        assert {row.id for row in queries.processes(now=NOW)} == {old, recent}
        let_pass(2 * 86400)
        assert {row.id for row in queries.processes(now=NOW)} == {recent, old}
        newest = start(DEV)
        assert {row.id for row in queries.processes(now=NOW)} == {recent, newest}


class TestSuccession:
    """A server that was killed left its leases and its row; the next one on its home ends both."""

    def test_frees_what_the_last_server_of_the_home_held(self, tmp_path: Path) -> None:
        last = start(DEV)
        heartbeat.succeed(tmp_path, last, now=NOW)
        held = leases.take("operation:development", last, now=NOW, seconds=15)
        others = leases.take("probes:staging", "other:1", now=NOW, seconds=15)
        assert held is not None and others is not None

        heartbeat.succeed(tmp_path, "web:next", now=NOW)

        taken = leases.take("operation:development", "web:next", now=NOW, seconds=15)
        assert taken is not None and taken.fence == held.fence + 1
        assert leases.take("probes:staging", "web:next", now=NOW, seconds=15) is None
        assert alive(DEV) == []

    def test_a_new_home_has_nobody_to_succeed(self, tmp_path: Path) -> None:
        one = start(DEV)
        heartbeat.succeed(tmp_path, "web:first", now=NOW)
        assert alive(DEV) == [one]


@pytest.mark.only_on("postgresql")
def test_postgresql_judges_by_its_own_clock_whatever_the_process_says() -> None:
    assert clock.read(NOW - timedelta(days=400)) == pytest.approx(
        clock.read(NOW + timedelta(days=400)), abs=timedelta(seconds=5)
    )


@pytest.mark.only_on("sqlite")
def test_sqlite_judges_by_the_clock_of_its_machine() -> None:
    assert connection.vendor == "sqlite"
    assert clock.read(NOW) == NOW
