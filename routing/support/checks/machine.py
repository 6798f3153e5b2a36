"""Is this machine fit: its processes, its disk, who may read its keys, what it listens on?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from routing.core.findings import Found, Severity
from routing.flags import queries as flags
from routing.fleet import queries as fleet
from routing.fleet.queries import ProcessRow
from routing.support.site import Site

MIB = 1024 * 1024
LOST_WITHIN_S = 3600
# Free below either figure: (bytes, percent).
ROOM = (
    (Severity.CRITICAL, 256 * MIB, 1),
    (Severity.HIGH, 1024 * MIB, 5),
    (Severity.MEDIUM, 2048 * MIB, 10),
)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def processes(site: Site) -> Iterator[Found]:
    """Look for processes that serve this environment, and for some that went without a word."""
    alive = fleet.alive(site.environment, now=site.now)
    rows = [r for r in fleet.processes(now=site.now) if site.environment in r.environments]
    if not alive:
        yield Found(
            severity=Severity.HIGH,
            title=f"No process serves {site.environment}.",
            remediation="Start one: `manage.py serve`, or `make run`.",
            evidence={"known": [_process(row) for row in rows[:5]]},
        )
    lost = [
        row
        for row in rows
        if row.stopped_at is None and not row.is_alive() and abs(row.silent_s) < LOST_WITHIN_S
    ]
    if lost:
        yield Found(
            severity=Severity.LOW,
            title=f"{len(lost)} processes ended in the last hour without saying so.",
            remediation="If nobody killed them, look in their logs and the kernel's.",
            evidence={"processes": [_process(row) for row in lost]},
        )


def versions(site: Site) -> Iterator[Found]:
    """Compare what the living processes run with each other, with this code and the tables."""
    alive = fleet.alive(site.environment, now=site.now)
    codes = {row.id: row.code_version for row in alive}
    if len({*codes.values(), site.code_version}) > 1 and alive:
        yield Found(
            severity=Severity.HIGH,
            title="Not all processes run the code that is installed here.",
            remediation="Restart the processes that run another version.",
            evidence={"installed": site.code_version, "processes": dict(codes)},
        )
    held = flags.grid([site.environment]).versions.get(site.environment, 0)
    behind = {
        row.id: version
        for row in alive
        if (version := row.versions.get(f"flags:{site.environment}", 0)) < held
    }
    if behind:
        yield Found(
            severity=Severity.MEDIUM,
            title=f"{len(behind)} of {len(alive)} processes run older flags than the tables hold.",
            remediation="They follow within a second; if they do not, look in their logs, then "
            "restart them.",
            evidence={"in_force": held, "processes": dict(behind)},
        )


def disk(site: Site) -> Iterator[Found]:
    """Measure how much is free where HYBRIDOPS_HOME lies: decisions need room to be synced."""
    room = site.room(site.home)
    percent = room.free_bytes * 100 // max(room.total_bytes, 1)
    severity = next((s for s, size, p in ROOM if room.free_bytes < size or percent < p), None)
    if severity is not None:
        yield Found(
            severity=severity,
            title=f"{room.free_bytes // MIB} MiB ({percent} %) are free under HYBRIDOPS_HOME.",
            remediation="Free some room: without it no decision can be recorded, and all requests "
            "but emergencies get 503.",
            evidence={
                "free_bytes": room.free_bytes,
                "total_bytes": room.total_bytes,
                "free_percent": percent,
            },
        )
    inodes = room.free_inodes * 100 // max(room.total_inodes, 1)
    if room.total_inodes and inodes < 5:
        yield Found(
            severity=Severity.HIGH,
            title=f"{inodes} % of the inodes are free under HYBRIDOPS_HOME.",
            remediation="Remove what made so many small files on that disk.",
            evidence={"free_inodes": room.free_inodes, "total_inodes": room.total_inodes},
        )


def keys(site: Site) -> Iterator[Found]:
    """Look who may read the key files, and who may reach what takes commands without sign-in."""
    yield from _open_to_others(site.home, Severity.MEDIUM, "HYBRIDOPS_HOME", 0o700)
    for name in ("keys", "run"):
        if (site.home / name).is_dir():
            yield from _open_to_others(site.home / name, Severity.HIGH, f"{name}/", 0o700)
    for file in sorted((site.home / "keys").rglob("*")):
        if file.is_file():
            shown = file.relative_to(site.home).as_posix()
            yield from _open_to_others(file, Severity.CRITICAL, shown, 0o400)


def _open_to_others(file: Path, severity: Severity, shown: str, wanted: int) -> Iterator[Found]:
    said = file.stat()
    mode = stat.S_IMODE(said.st_mode)
    if mode & _OTHERS:
        yield Found(
            severity=severity,
            title=f"{shown} is open to other accounts of this machine (mode {mode:04o}).",
            remediation=f"Run `chmod {wanted:o}` on it; if others had access, change the keys.",
            evidence={"file": shown, "mode": f"{mode:04o}", "wanted": f"{wanted:04o}"},
        )
    if said.st_uid != os.geteuid():
        yield Found(
            severity=Severity.HIGH,
            title=f"{shown} belongs to another account of this machine.",
            remediation="Give it to the account that runs the server, with `chown`.",
            evidence={"file": shown, "owner_uid": said.st_uid, "our_uid": os.geteuid()},
        )


def _process(row: ProcessRow) -> dict[str, str | int]:
    return {"id": row.id, "pid": row.pid, "host": row.host, "silent_s": int(row.silent_s)}
