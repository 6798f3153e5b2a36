"""How a process says that it lives and what it runs: its own row, written every few seconds."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path as Folder

from routing.core.errors import Broken
from routing.core.values import EnvironmentName
from routing.fleet import clock, leases, queries
from routing.fleet.models import Process
from routing.fleet.queries import ALIVE_WITHIN_S, ProcessRow

KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What does not change during one life; `kind` is `server` or `worker`."""

    name: str
    pid: int
    host: str
    kind: str
    environments: Sequence[EnvironmentName]
    code_version: str
    door_url: str = ""
    boot: str = ""  # of a process that names its streams by it; else one is drawn


def start(
    facts: Facts,
    *,
    now: datetime,
    versions: Mapping[str, int],
    ages: Mapping[str, float] | None = None,
) -> str:
    """Open the row of a new life and return its id, `<name>:<boot>`.

    `ages` are the seconds for which it has run some of its versions. Rows of processes that have
    been silent for a week go. Doing it twice is no error: the first time may have been cut off.
    """
    at = clock.read(now)
    Process.objects.filter(heartbeat_at__lt=at - KEPT).delete()
    name, boot = facts.name[:40], facts.boot or secrets.token_hex(8)
    row, is_new = Process.objects.get_or_create(
        id=f"{name}:{boot}",
        defaults={
            "name": name,
            "boot": boot,
            "pid": facts.pid,
            "host": facts.host[:255],
            "kind": facts.kind,
            "environments": [str(e) for e in facts.environments],
            "code_version": facts.code_version[:64],
            "door_url": facts.door_url,
            "versions": dict(versions),
            "since": _since(ages or {}, at),
            "started_at": at,
            "heartbeat_at": at,
        },
    )
    if not is_new:
        Process.objects.filter(pk=row.id).update(stopped_at=None, heartbeat_at=at)
    return row.id


def beat(
    process: str,
    *,
    now: datetime,
    versions: Mapping[str, int],
    ages: Mapping[str, float] | None = None,
) -> None:
    """Report life and the versions that are run; raises Broken when the row is gone or closed.

    `ages` are the seconds for which it has run some of them: measured by its own clock and told
    by the one that judges all, so that no two clocks are compared.
    """
    at = clock.read(now)
    done = Process.objects.filter(pk=process, stopped_at=None).update(
        heartbeat_at=at, versions=dict(versions), since=_since(ages or {}, at)
    )
    if not done:
        raise Broken(
            f"The row of process {process} is gone or closed while it runs, so nobody counts it "
            "as alive. Was the database restored? Restart the process."
        )


def _since(ages: Mapping[str, float], at: datetime) -> dict[str, str]:
    return {name: (at - timedelta(seconds=age)).isoformat() for name, age in ages.items()}


def stop(process: str, *, now: datetime) -> None:
    """Say goodbye: from now on the process counts as ended, however fresh its last report is."""
    Process.objects.filter(pk=process, stopped_at=None).update(stopped_at=clock.read(now))


def succeed(home: Folder, process: str, *, now: datetime) -> None:
    """Put the server of `home` before `process` to rest, and note `process` for the next one.

    Call it under the lock of the home. A server that was killed could neither say goodbye nor
    give its leases back; without this, what it had in hand would wait until they run out.
    """
    note = home / "run" / "process"
    last = note.read_text().strip() if note.exists() else ""
    if last and last != process:
        leases.free(last)
        stop(last, now=now)
    note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    note.write_text(f"{process}\n")


def alive(
    environment: EnvironmentName, *, now: datetime, within_s: float = ALIVE_WITHIN_S
) -> tuple[ProcessRow, ...]:
    """Return the processes that serve `environment` and reported within `within_s` seconds."""
    return queries.alive(environment, now=now, within_s=within_s)
