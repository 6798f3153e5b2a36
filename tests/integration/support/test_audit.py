"""The infrastructure audit: nothing on a healthy installation, and each fault by its own check."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path as Folder
from typing import Any

import pytest
from django.db import OperationalError, connection

from routing import wiring
from routing.audit import guards
from routing.core.errors import Forbidden, NotFound
from routing.core.findings import Overall, Severity
from routing.core.flags import FlagName
from routing.core.values import Action, Health
from routing.decisions.log import DecisionLog
from routing.flags.models import FlagState
from routing.fleet import heartbeat
from routing.fleet.models import Environment
from routing.matrix.models import MatrixVersion
from routing.support import infrastructure, queries
from routing.support.checks import CHECKS, Check
from routing.support.site import Room, Site
from tests.integration.changes.ground import DEV, NOW, STG, apply, entries, facts, to
from tests.integration.support.ground import (
    ADMIN,
    OPERATOR,
    REVIEWER,
    VIEWER,
    audit,
    codes,
    finding,
    healthy,
    home,
    measure,
    process,
    site,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def place(tmp_path: Folder, _own_snapshot: None) -> Site:
    return healthy(tmp_path)


def fresh(place: Site, **more: Any) -> Site:
    """Return the same place, as of now."""
    return site(place.home, **more)


def execute(statement: str, values: Sequence[str | int | bytes] = ()) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


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


Fault = Callable[[Site], Site | None]


def a_migration_is_missing(_: Site) -> None:
    execute("DELETE FROM django_migrations WHERE app = %s AND name LIKE %s", ["routing", "0003%"])


def a_migration_is_unknown(_: Site) -> None:
    execute(
        "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)",
        ["routing", "9999_from_the_future", str(NOW)],
    )


def commits_are_not_synced(_: Site) -> None:
    if connection.vendor == "sqlite":
        execute("PRAGMA synchronous=NORMAL")
    else:
        execute("SET synchronous_commit = off")


def a_trigger_is_gone(_: Site) -> None:
    guard = guards.guards_of(connection)[0]
    on = "" if connection.vendor == "sqlite" else f" ON {guard.table}"
    execute(f"DROP TRIGGER {guard.name}{on}")


def an_entry_was_altered(_: Site) -> None:
    guards.lift(connection)
    execute("UPDATE routing_entry SET actor = 'somebody else' WHERE seq = 2")
    guards.install(connection)


def a_flag_has_no_state(_: Site) -> None:
    FlagState.objects.filter(environment_id=DEV, flag_id=str(FlagName.CACHING)).delete()


def a_flag_differs(place: Site) -> Site:
    apply([to(FlagName.CACHING, False, environment=DEV)], environment=DEV)
    nobody_serves(place)
    process(wiring.now())
    return fresh(place, now=place.now)


def emergencies_have_no_path(_: Site) -> None:
    FlagState.objects.filter(environment_id=DEV, flag_id=str(FlagName.BEDROCK_PROVIDER)).update(
        on=False
    )


def half_of_the_tenants_have_no_path(_: Site) -> None:
    FlagState.objects.filter(environment_id=DEV, flag_id=str(FlagName.MCP_INTEGRATION)).update(
        percentage=50
    )


def the_matrix_is_spoilt(_: Site) -> None:
    MatrixVersion.objects.create(
        environment_id=DEV, version=2, rows=[], made_at=NOW, made_by="somebody"
    )


def the_measurements_are_old(place: Site) -> None:
    measure(place.now - timedelta(seconds=16))


def a_path_is_unhealthy(place: Site) -> None:
    measure(place.now, status=str(Health.UNHEALTHY), score=9, why=["3 probes in a row failed."])


def there_are_no_credentials(place: Site) -> None:
    stage = {"name": "credentials", "ok": False, "ms": 1, "detail": "No AWS credentials."}
    measure(place.now, stages=[stage])


def data_leaves_its_place(_: Site) -> None:
    Environment.objects.filter(pk=DEV).update(bedrock_target="aws", bedrock_region="us-east-1")


def a_path_is_half_configured(_: Site) -> None:
    Environment.objects.filter(pk=DEV).update(bedrock_model="")


def nobody_serves(place: Site) -> None:
    for row in _processes():
        heartbeat.stop(row, now=place.now)


def a_process_was_killed(place: Site) -> None:
    _age(process(place.now, name="dead"), 60)


def a_process_runs_old_code(place: Site) -> None:
    process(place.now, name="old", code_version="0.9")


def a_process_runs_old_flags(place: Site) -> None:
    process(place.now, name="late", versions={"flags:development": 0})


def the_disk_is_full(place: Site) -> Site:
    left = Room(free_bytes=10_000_000, total_bytes=10**12, free_inodes=9, total_inodes=10)
    return fresh(place, now=place.now, room=lambda _: left)


def anybody_reads_the_key(place: Site) -> None:
    (place.home / "keys" / "secret_key").chmod(0o644)


def the_kernel_tells_nothing(place: Site) -> Site:
    return fresh(place, now=place.now, proc=place.home / "nowhere")


def decisions_wait(place: Site) -> None:
    write_segment(place, at=place.now - timedelta(minutes=5))


def a_segment_is_damaged(place: Site) -> None:
    path = write_segment(place, at=place.now)
    text = bytearray(path.read_bytes())
    text[8] ^= 1
    path.write_bytes(text)


FAULTS: tuple[tuple[Fault, str, Severity], ...] = (
    (a_migration_is_missing, "database.migrations", Severity.CRITICAL),
    (a_migration_is_unknown, "database.migrations", Severity.HIGH),
    (a_trigger_is_gone, "audit.guards", Severity.CRITICAL),
    (an_entry_was_altered, "audit.trail", Severity.CRITICAL),
    (a_flag_has_no_state, "flags.states", Severity.HIGH),
    (a_flag_differs, "flags.drift", Severity.INFO),
    (emergencies_have_no_path, "routing.paths_left", Severity.CRITICAL),
    (half_of_the_tenants_have_no_path, "routing.paths_left", Severity.HIGH),
    (the_matrix_is_spoilt, "matrix.valid", Severity.CRITICAL),
    (the_measurements_are_old, "health.fresh", Severity.HIGH),
    (a_path_is_unhealthy, "health.fresh", Severity.HIGH),
    (there_are_no_credentials, "paths.credentials", Severity.CRITICAL),
    (data_leaves_its_place, "paths.residency", Severity.CRITICAL),
    (a_path_is_half_configured, "paths.settings", Severity.HIGH),
    (nobody_serves, "processes.alive", Severity.HIGH),
    (a_process_was_killed, "processes.alive", Severity.LOW),
    (a_process_runs_old_code, "processes.versions", Severity.HIGH),
    (a_process_runs_old_flags, "processes.versions", Severity.MEDIUM),
    (the_disk_is_full, "disk.room", Severity.CRITICAL),
    (anybody_reads_the_key, "keys.private", Severity.CRITICAL),
    (decisions_wait, "decisions.shipped", Severity.HIGH),
    (a_segment_is_damaged, "decisions.shipped", Severity.CRITICAL),
)


@pytest.mark.parametrize(
    ("fault", "code", "severity"), FAULTS, ids=[fault.__name__ for fault, _, _ in FAULTS]
)
def test_each_fault_is_found_by_its_check(
    place: Site, fault: Fault, code: str, severity: Severity
) -> None:
    try:
        report = audit(fault(place) or place)
    finally:
        guards.install(connection)
        _mend_migrations()
    found = [one for one in report.findings if one.check == code]
    assert [one.severity for one in found[:1]] == [severity], report.findings
    assert found[0].evidence and found[0].remediation and not found[0].unchecked
    assert (report.overall is Overall.HEALTHY) == (severity in (Severity.LOW, Severity.INFO))


def test_each_check_has_a_fault_that_turns_it(place: Site) -> None:
    """Codes that FAULTS lacks have a test of their own below or above."""
    own = {"database.answers", "database.durability", "ports.needed"}
    assert {code for _, code, _ in FAULTS} | own == {check.code for check in CHECKS}


def test_a_connection_that_does_not_sync_is_found(place: Site) -> None:
    commits_are_not_synced(place)
    try:
        found = finding(audit(place), "database.durability")
    finally:
        if connection.vendor == "postgresql":
            execute("RESET synchronous_commit")  # its connection goes back to the pool
        connection.close()
    assert found.severity in (Severity.CRITICAL, Severity.HIGH)


def test_a_kernel_that_tells_nothing_leaves_the_ports_unchecked(place: Site) -> None:
    report = audit(the_kernel_tells_nothing(place))
    assert finding(report, "ports.needed").unchecked
    assert report.overall is Overall.UNKNOWN


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


def test_decisions_that_were_just_made_may_wait(place: Site) -> None:
    write_segment(place, at=place.now)
    assert codes(audit(place)) == []


def write_segment(place: Site, *, at: Any) -> Folder:
    """Record some decisions as a process does, with nobody to ship them."""
    log = DecisionLog(place.home / "segments", process="test", boot="b00t")
    log.open(at)

    async def record() -> None:
        for number in range(3):
            await log.record({"v": 1, "kind": "decision", "at": at.isoformat(), "n": number})

    asyncio.run(record())
    log.close(at)
    return log.path


def _processes() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM routing_process")
        return [row[0] for row in cursor.fetchall()]


def _age(process_id: str, seconds: int) -> None:
    from routing.fleet.models import Process

    row = Process.objects.get(pk=process_id)
    row.heartbeat_at -= timedelta(seconds=seconds)
    row.save()


def _mend_migrations() -> None:
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.recorder import MigrationRecorder

    execute("DELETE FROM django_migrations WHERE name LIKE %s", ["9999%"])
    recorder = MigrationRecorder(connection)
    applied = recorder.applied_migrations()
    for app, name in MigrationLoader(connection).disk_migrations:
        if (app, name) not in applied:
            recorder.record_applied(app, name)
