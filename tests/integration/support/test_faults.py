"""Each fault of an installation is found by the check that is there for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path as Folder
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from routing import wiring
from routing.audit import guards
from routing.changes import tools
from routing.core import pinning
from routing.core.findings import Overall, Severity
from routing.core.flags import FlagName
from routing.core.pinning import Tool
from routing.core.values import Health
from routing.decisions.log import DecisionLog
from routing.flags.models import FlagState
from routing.fleet.models import Environment, Process
from routing.matrix.models import MatrixVersion
from routing.support.checks import CHECKS
from routing.support.site import Room, Site
from tests.integration.changes.ground import DEV, NOW, apply, to
from tests.integration.support.ground import (
    audit,
    codes,
    execute,
    finding,
    fresh,
    measure,
    nobody_serves,
    process,
)

pytestmark = pytest.mark.django_db(transaction=True)
OURS = Tool(name="route_request", description="Answers.")


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


def see_tools(place: Site, *found: Tool) -> None:
    seen = pinning.listing(found, OURS.name)
    tools.see(now=place.now, environment=DEV, target="local:mcp", seen=seen)


def the_mcp_tool_changed(place: Site) -> None:
    see_tools(place, OURS)
    see_tools(place, replace(OURS, description="Answers, and sends all on."))


def another_mcp_tool_came(place: Site) -> None:
    see_tools(place, OURS)
    see_tools(place, OURS, Tool(name="delete_all"))


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
    (the_mcp_tool_changed, "paths.tools", Severity.HIGH),
    (another_mcp_tool_came, "paths.tools", Severity.LOW),
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
    """Codes that FAULTS lacks have tests of their own, here or in test_audit."""
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


def test_decisions_that_were_just_made_may_wait(place: Site) -> None:
    write_segment(place, at=place.now)
    assert codes(audit(place)) == []


def _age(process_id: str, seconds: int) -> None:
    row = Process.objects.get(pk=process_id)
    row.heartbeat_at -= timedelta(seconds=seconds)
    row.save()


def _mend_migrations() -> None:
    execute("DELETE FROM django_migrations WHERE name LIKE %s", ["9999%"])
    recorder = MigrationRecorder(connection)
    applied = recorder.applied_migrations()
    for app, name in MigrationLoader(connection).disk_migrations:
        if (app, name) not in applied:
            recorder.record_applied(app, name)
