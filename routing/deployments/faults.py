"""For each check the fault that must turn it to `fail`: a check that no fault can fail is none.

For tests and drills against an installation of one's own. Each is planted in the real thing, the
tables, a stand-in, the trail, and taken back by what `plant` returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as Folder

from django.db import connection

from routing.audit import guards
from routing.changes import change, route
from routing.changes.route import SetRoute
from routing.core.flags import FlagName, SetFlag
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Health, Operation, Path
from routing.deployments.parsed import IntegrationTest, SmokeTest
from routing.flags import store as flags
from routing.fleet import queries as fleet
from routing.matrix import store as matrices
from routing.paths import keeper
from routing.paths.local import Upstream

SECONDS = 120.0  # a fault of a stand-in ends by itself, however the test ends
ASK_S = 10.0
REASON = "a fault, planted on purpose"
Heal = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a fault is planted, and by whom."""

    environment: EnvironmentName
    home: Folder
    by: Actor
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is done to the installation, in words and for real."""

    words: str
    plant: Callable[[Site], Heal]


def another_route(site: Site) -> Heal:
    """Send emergencies to mcp."""

    def send(primary: Path) -> None:
        route.apply(
            by=site.by,
            now=site.clock(),
            environment=site.environment,
            route=SetRoute(
                operation=Operation.EMERGENCY,
                primary=primary,
                fallback=None,
                base_version=matrices.read(site.environment).version,
            ),
            reason=REASON,
            confirmed=True,
            typed_environment=str(site.environment),
        )

    send(Path.MCP)
    return lambda: send(Path.DIRECT_BEDROCK)


def sick(which: Upstream) -> Callable[[Site], Heal]:
    """Return the fault that a stand-in answers every request with an error."""

    def ask(site: Site, **more: object) -> None:
        keeper.ask(site.home, {"do": "upstream", "which": str(which), **more}, ASK_S)

    def plant(site: Site) -> Heal:
        said = {
            "environment": str(site.environment),
            "kind": "error",
            "status": 503,
            "seconds": SECONDS,
        }
        ask(site, verb="fault", fault=said)
        return lambda: ask(site, verb="clear")

    return plant


def unmeasured(site: Site) -> Heal:
    """Switch monitoring off, booked."""

    def put(on: bool) -> None:
        state = flags.read(site.environment)[FlagName.MONITORING]
        change.apply(
            by=site.by,
            now=site.clock(),
            environment=site.environment,
            sets=[SetFlag(flag=FlagName.MONITORING, on=on, base_version=state.version)],
            reason=REASON,
            health=dict.fromkeys(Path, Health.HEALTHY),
            confirmed=True,
            typed_environment=str(site.environment),
        )

    put(False)
    return lambda: put(True)


def around_us(flag: FlagName) -> Callable[[Site], Heal]:
    """Return the fault that a flag is turned in its table, past every version and count."""

    def turn(site: Site) -> None:
        guards.lift(connection)
        try:
            _run(
                'UPDATE routing_flagstate SET "on" = NOT "on" '
                "WHERE flag_id = %s AND environment_id = %s",
                str(flag),
                str(site.environment),
            )
        finally:
            guards.install(connection)

    def plant(site: Site) -> Heal:
        _until_seen(site)
        turn(site)
        return lambda: turn(site)

    return plant


def _until_seen(site: Site) -> None:
    """Wait until every server runs the flags of the tables: one that reads them anew for another
    change would take the turned one in, and nothing would be amiss.
    """
    name, deadline = f"flags:{site.environment}", time.monotonic() + ASK_S
    while time.monotonic() < deadline:
        kept = flags.versions().get(site.environment)
        rows = fleet.alive(site.environment, now=site.clock())
        if all(row.versions.get(name) == kept for row in rows):
            return
        time.sleep(0.05)


def forged(site: Site) -> Heal:
    """Rewrite an entry of the trail, with the guards of the database lifted meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM routing_entry WHERE stream = 'control' AND seq = 2")
        body = bytes(cursor.fetchone()[0])

    def write(text: bytes) -> None:
        guards.lift(connection)
        try:
            _run("UPDATE routing_entry SET body = %s WHERE stream = 'control' AND seq = 2", text)
        finally:
            guards.install(connection)

    write(body.replace(b'"outcome":"done"', b'"outcome":"gone"'))
    return lambda: write(body)


def out_of_bounds(site: Site) -> Heal:
    """Demand that data stay in the EU, where the paths do not."""

    def put(residency: str) -> None:
        _run(
            "UPDATE routing_environment SET residency = %s WHERE name = %s",
            residency,
            str(site.environment),
        )

    put("eu")
    return lambda: put("local")


def _run(statement: str, *values: str | bytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


FAULTS: Mapping[str, Fault] = {
    SmokeTest.ROUTING_DECISION: Fault(words="emergencies go to mcp", plant=another_route),
    SmokeTest.DIRECT_CONNECTION: Fault(
        words="Bedrock answers with errors", plant=sick(Upstream.BEDROCK)
    ),
    SmokeTest.MCP_CONNECTION: Fault(words="MCP answers with errors", plant=sick(Upstream.MCP)),
    SmokeTest.HEALTH_CHECK: Fault(words="nothing is measured", plant=unmeasured),
    SmokeTest.SUPPORT_MODE: Fault(
        words="support mode is open although its flag is off",
        plant=around_us(FlagName.SUPPORT_MODE),
    ),
    IntegrationTest.FEATURE_FLAGS: Fault(
        words="a flag is turned past its version", plant=around_us(FlagName.CACHING)
    ),
    IntegrationTest.AUDIT_TRAIL: Fault(words="an entry is rewritten", plant=forged),
    IntegrationTest.MONITORING: Fault(words="nothing is measured", plant=unmeasured),
    IntegrationTest.COMPLIANCE: Fault(words="a path runs where it may not", plant=out_of_bounds),
    IntegrationTest.CIRCUIT_BREAKER: Fault(
        words="MCP answers with errors until its breaker opens", plant=sick(Upstream.MCP)
    ),
}
