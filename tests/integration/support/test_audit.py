"""The infrastructure audit: nothing on a healthy installation, and each fault by its own check."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path as Folder
from typing import Any

import pytest
from django.db import OperationalError, connection

from routing import wiring
from routing.audit import guards
from routing.core.errors import Forbidden, NotFound
from routing.core.findings import Overall, Severity
from routing.core.values import Action
from routing.support import infrastructure, queries
from routing.support.checks import CHECKS, Check
from routing.support.site import Site
from tests.integration.changes.ground import DEV, NOW, STG, entries, facts
from tests.integration.support.ground import (
    ADMIN,
    OPERATOR,
    REVIEWER,
    VIEWER,
    audit,
    codes,
    execute,
    finding,
    fresh,
    home,
    nobody_serves,
    process,
    site,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_finds_nothing_on_a_healthy_installation(place: Site) -> None:
    report = audit(place)
    assert codes(report) == []
    assert report.overall is Overall.HEALTHY
    assert report.checks == len(CHECKS)


def test_stores_what_it_found_and_books_that_it_ran(place: Site) -> None:
    (place.home / "keys" / "secret_key").chmod(0o644)
    report = audit(place)
    kept = queries.last_audit(DEV)
    assert kept is not None and kept.id == report.run_id
    assert (kept.overall, kept.by, kept.checks) == (Overall.CRITICAL, OPERATOR.id, len(CHECKS))
    assert [one.check for one in kept.findings] == ["keys.private"]
    assert kept.findings[0].evidence["mode"] == "0644"
    assert kept.counts[Severity.CRITICAL] == 1
    assert kept.ended_at >= kept.started_at == place.now
    booked = entries()[0]
    assert (booked.action, booked.object_id) == (Action.SUPPORT_AUDIT, str(report.run_id))
    assert facts(booked.facts)["overall"] == "critical"
    assert queries.last_audit(STG) is None


def test_tells_its_progress_check_by_check(place: Site) -> None:
    told: list[tuple[int, int, str]] = []
    audit(place, on_progress=lambda *step: told.append(step))
    assert [done for done, _, _ in told] == list(range(len(CHECKS) + 1))
    assert told[0][2] == CHECKS[0].about and told[-1][2] == ""


@pytest.mark.parametrize("who", [VIEWER, REVIEWER])
def test_is_for_operators_and_admins(place: Site, who: Any) -> None:
    with pytest.raises(Forbidden):
        infrastructure.run(by=who, now=place.now, environment=DEV, place=place)
    assert (entries()[0].action, entries()[0].outcome) == (Action.SUPPORT_AUDIT, "refused")
    assert queries.last_audit(DEV) is None
    assert infrastructure.run(by=ADMIN, now=place.now, environment=DEV, place=place).run_id


def test_an_environment_that_is_not_there_cannot_be_audited(
    tmp_path: Folder, _own_snapshot: None
) -> None:
    with pytest.raises(NotFound):
        infrastructure.run(by=OPERATOR, now=NOW, environment=DEV, place=site(home(tmp_path)))


def test_a_check_that_breaks_is_a_finding_and_the_others_still_run(place: Site) -> None:
    def broken(_: Site) -> list[Any]:
        raise ZeroDivisionError("by nothing")

    odd = Check(code="odd.one", about="numbers divide", look=broken)
    report = audit(place, checks=(odd, *CHECKS))
    (found,) = report.findings
    assert (found.check, found.severity, found.unchecked) == ("odd.one", Severity.HIGH, True)
    assert found.title == "It could not be checked that numbers divide."
    assert found.evidence["error"] == "ZeroDivisionError"
    assert report.overall is Overall.UNKNOWN


def test_an_old_audit_is_not_taken_for_the_last_one(place: Site) -> None:
    audit(place)
    newer = audit(fresh(place, now=place.now + timedelta(seconds=9)))
    kept = queries.last_audit(DEV)
    assert kept is not None and kept.id == newer.run_id
    assert [row.id for row in queries.audits(DEV)] == [newer.run_id, (newer.run_id or 0) - 1]


@contextlib.contextmanager
def database_away() -> Iterator[None]:
    def refuse(*_: Any) -> Any:
        raise OperationalError("connection refused")

    with connection.execute_wrapper(refuse):
        yield


def test_says_that_the_database_is_away_and_stores_nothing(place: Site) -> None:
    before = len(entries())
    with database_away():
        report = audit(place)
    assert (report.run_id, report.overall) == (None, Overall.CRITICAL)
    away = finding(report, "database.answers")
    assert away.severity is Severity.CRITICAL and away.evidence["error"] == "OperationalError"
    assert all(one.unchecked for one in report.findings if one is not away)
    assert len(entries()) == before and queries.last_audit(DEV) is None


def test_a_slow_database_is_found(place: Site) -> None:
    found = finding(audit(fresh(place, slow_ms=0)), "database.answers")
    assert found.severity is Severity.MEDIUM


def test_a_socket_that_nothing_needs_is_found_while_it_listens(place: Site) -> None:
    with socket.socket() as ear:
        ear.bind(("127.0.0.1", 0))
        ear.listen()
        found = finding(audit(fresh(place)), "ports.needed")
        assert found.evidence["port"] == ear.getsockname()[1]
        assert found.severity is Severity.LOW
    assert "ports.needed" not in codes(audit(fresh(place)))


def test_a_door_without_tls_that_others_reach_is_found(place: Site) -> None:
    with socket.socket() as ear:
        ear.bind(("0.0.0.0", 0))
        ear.listen()
        port = ear.getsockname()[1]
        nobody_serves(place)
        process(wiring.now(), door_url=f"http://127.0.0.1:{port}")
        assert finding(audit(fresh(place)), "ports.needed").severity is Severity.HIGH


def test_measurements_that_nobody_made_are_missed_in_every_way(
    tmp_path: Folder, _own_snapshot: None
) -> None:
    from tests.integration.changes import ground

    ground.lay()
    report = audit(site(home(tmp_path)))
    assert codes(report).count("health.fresh") == 2
    assert finding(report, "paths.credentials").unchecked
    assert "processes.alive" in codes(report)


def test_an_environment_without_path_settings_is_told_and_not_red(
    tmp_path: Folder, _own_snapshot: None
) -> None:
    from tests.integration.changes import ground

    ground.lay(embedded=False)
    process(wiring.now())
    report = audit(site(home(tmp_path)))
    assert codes(report) == ["paths.settings", "paths.settings"]
    assert report.overall is Overall.HEALTHY


def test_the_newest_entries_of_a_long_trail_are_followed(place: Site) -> None:
    found = finding(audit(fresh(place, trail_limit=3)), "audit.trail")
    assert found.severity is Severity.INFO
    assert int(str(found.evidence["checked"])) >= 3


def test_a_broken_link_in_a_long_trail_is_found(place: Site) -> None:
    guards.lift(connection)
    execute("UPDATE routing_entry SET body = %s WHERE seq = 4", [b"{}"])
    guards.install(connection)
    found = finding(audit(fresh(place, trail_limit=1)), "audit.trail")
    assert found.severity is Severity.CRITICAL and found.evidence["first_bad"] == 4


def test_a_missing_entry_in_a_long_trail_is_found(place: Site) -> None:
    guards.lift(connection)
    execute("DELETE FROM routing_entry WHERE seq = 4")
    guards.install(connection)
    found = finding(audit(fresh(place, trail_limit=1)), "audit.trail")
    assert found.severity is Severity.CRITICAL
