"""What the tests of support stand on: laid environments, a healthy installation, faults."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path as Folder
from typing import Any

from django.db import connection

from routing import wiring
from routing.core.findings import Found
from routing.core.flags import FlagName
from routing.core.values import Breaker, EnvironmentName, Health, Path, Role
from routing.flags import queries as flags
from routing.fleet import heartbeat
from routing.health.models import PathHealth
from routing.support import infrastructure
from routing.support.site import Room, Site
from tests.integration.changes import ground
from tests.integration.changes.ground import DEV, STG, person, to

OPERATOR, ADMIN, VIEWER = person(Role.OPERATOR), person(Role.ADMIN), person(Role.VIEWER)
REVIEWER = person(Role.REVIEWER)
FLAG = FlagName.SUPPORT_MODE
WHY = "looking into slow answers"
ROOMY = Room(free_bytes=10**12, total_bytes=2 * 10**12, free_inodes=9, total_inodes=10)


def switch(on: bool, environment: EnvironmentName = STG, *, percentage: int = 100) -> None:
    """Switch the flag of support mode through the use case."""
    ground.apply(
        [to(FLAG, on, environment=environment, percentage=percentage)], environment=environment
    )


def home(folder: Folder) -> Folder:
    """Make a HYBRIDOPS_HOME as a server leaves one."""
    folder.chmod(0o700)
    for name in ("keys", "run", "segments"):
        (folder / name).mkdir(mode=0o700)
    (folder / "keys" / "secret_key").write_text("secret")
    (folder / "keys" / "secret_key").chmod(0o400)
    return folder


def measure(now: datetime, **more: Any) -> None:
    """Store a judgement of both paths of development, healthy and of `now` unless told."""
    usual: dict[str, Any] = {
        "status": str(Health.HEALTHY),
        "score": 100,
        "breaker": str(Breaker.CLOSED),
        "stages": [{"name": "credentials", "ok": True, "ms": 1, "detail": ""}],
        "since": now,
        "observed_at": now,
    }
    for path in Path:
        PathHealth.objects.update_or_create(
            environment_id=DEV, path=str(path), defaults={**usual, **more}
        )


def process(now: datetime, **more: Any) -> str:
    """Open the row of this very process as a server of development."""
    version = flags.grid([DEV]).versions[DEV]
    usual: dict[str, Any] = {
        "name": "test",
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "kind": "server",
        "environments": (DEV,),
        "code_version": "1.0",
        "door_url": "http://127.0.0.1:1",
    }
    versions = more.pop("versions", {"flags:development": version})
    return heartbeat.start(heartbeat.Facts(**{**usual, **more}), now=now, versions=versions)


def healthy(folder: Folder) -> Site:
    """Lay an installation in which no check finds anything, and return where it is."""
    ground.lay()
    now = wiring.now()
    measure(now)
    process(now)
    return site(home(folder), now=now)


def site(folder: Folder, **more: Any) -> Site:
    usual: dict[str, Any] = {
        "environment": DEV,
        "now": wiring.now(),
        "home": folder,
        "code_version": "1.0",
        "room": lambda _: ROOMY,
        "slow_ms": 10_000,
    }
    return Site(**{**usual, **more})


def audit(place: Site, **more: Any) -> infrastructure.Report:
    """Audit development as its operator."""
    return infrastructure.run(by=OPERATOR, now=place.now, environment=DEV, place=place, **more)


def codes(report: infrastructure.Report) -> list[str]:
    return [one.check for one in report.findings]


def finding(report: infrastructure.Report, code: str) -> Found:
    """Return the one finding of the check `code`."""
    (found,) = [one for one in report.findings if one.check == code]
    return found


def later(at: datetime, seconds: float) -> datetime:
    return at + timedelta(seconds=seconds)


def fresh(place: Site, **more: Any) -> Site:
    """Return the same place, as of now."""
    return site(place.home, **more)


def execute(statement: str, values: Sequence[str | int | bytes] = ()) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def nobody_serves(place: Site) -> None:
    """Let every process say goodbye."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM routing_process")
        rows = [row[0] for row in cursor.fetchall()]
    for row in rows:
        heartbeat.stop(row, now=place.now)
