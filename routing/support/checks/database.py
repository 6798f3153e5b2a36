"""Is the database there, does it have the tables of this code, does it keep what it says?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader

from routing.core.findings import Found, Severity
from routing.support.site import Site

# SQLite releases without the WAL-reset bug (sqlite.org/wal.html#walresetbug); the start refuses
# the others, and this looks at the library that really answers.
SQLITE_FIXED = (3, 51, 3)
SQLITE_BACKPORTED = ((3, 44, 6), (3, 50, 7))
FULL = 2  # PRAGMA synchronous
_PRAGMAS = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
_POSTGRESQL = ("fsync", "synchronous_commit", "full_page_writes")


def answers(site: Site) -> Iterator[Found]:
    """Ask the smallest question and take the time."""
    began = time.monotonic_ns()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
    except DatabaseError as error:
        yield Found(
            severity=Severity.CRITICAL,
            title="The database does not answer.",
            remediation="Start the database or mend DATABASE_URL. Requests are answered meanwhile "
            "with the last known flags; nothing can be changed.",
            evidence={"error": type(error).__name__, "said": str(error)[:200]},
        )
        return
    took_ms = (time.monotonic_ns() - began) // 1_000_000
    if took_ms >= site.slow_ms:
        yield Found(
            severity=Severity.MEDIUM,
            title=f"The database took {took_ms} ms for the smallest question.",
            remediation="Look for long transactions, a full disk or a slow network beside it.",
            evidence={"took_ms": took_ms, "at_most_ms": site.slow_ms},
        )


def migrations(site: Site) -> Iterator[Found]:
    """Compare the migrations of this code with those that the database has."""
    loader = MigrationLoader(connection)
    # Not the executor's plan: with the newest one applied it overlooks an older one.
    applied = loader.applied_migrations
    missing = [
        f"{app}.{name}" for app, name in sorted(loader.graph.nodes) if (app, name) not in applied
    ]
    if missing:
        yield Found(
            severity=Severity.CRITICAL,
            title=f"{len(missing)} migrations of this code are not in the database.",
            remediation="Back the database up, then run `manage.py migrate`.",
            evidence={"missing": missing},
        )
    known = set(loader.disk_migrations) | {
        replaced for step in loader.replacements.values() for replaced in step.replaces
    }
    ours = set(loader.migrated_apps)
    foreign = [key for key in applied if key not in known and key[0] in ours]
    if foreign:
        yield Found(
            severity=Severity.HIGH,
            title=f"The database has {len(foreign)} migrations that this code does not know.",
            remediation="An older version runs on a newer database: install the version that "
            "made them, or restore the backup from before.",
            evidence={"unknown": [f"{app}.{name}" for app, name in sorted(foreign)]},
        )


def durability(site: Site) -> Iterator[Found]:
    """Read what keeps a commit on disk, from the connection that is used."""
    if connection.vendor == "sqlite":
        yield from judge_sqlite(_sqlite())
    else:
        yield from judge_postgresql(_postgresql())


def _sqlite() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sqlite_version()")
        said = {"version": str(cursor.fetchone()[0])}
        for name in _PRAGMAS:
            cursor.execute(f"PRAGMA {name}")
            said[name] = str(cursor.fetchone()[0])
    return said


def _postgresql() -> dict[str, str]:
    with connection.cursor() as cursor:
        said = {}
        for name in _POSTGRESQL:
            cursor.execute("SELECT current_setting(%s)", [name])
            said[name] = str(cursor.fetchone()[0])
    return said


def judge_sqlite(said: Mapping[str, str]) -> Iterator[Found]:
    """Judge what SQLite said of itself: `version` and the pragmas, as text."""
    version = tuple(int(part) for part in said["version"].split("."))
    backported = any(version[:2] == f[:2] and version >= f for f in SQLITE_BACKPORTED)
    if version < SQLITE_FIXED and not backported:
        yield Found(
            severity=Severity.CRITICAL,
            title=f"SQLite {said['version']} can lose committed writes (the WAL-reset bug).",
            remediation="Install the locked requirements again; they bring a safe SQLite.",
            evidence={"version": said["version"], "fixed_in": "3.51.3"},
        )
    if said["journal_mode"].lower() != "wal":
        yield Found(
            severity=Severity.HIGH,
            title=f"SQLite's journal mode is {said['journal_mode']}, not wal.",
            remediation="Restart the server: it switches the file to WAL before anything else.",
            evidence={"journal_mode": said["journal_mode"]},
        )
    if int(said["synchronous"]) < FULL:
        yield Found(
            severity=Severity.CRITICAL,
            title="SQLite does not sync each commit: a power cut can take booked changes back.",
            remediation="Restore `PRAGMA synchronous=FULL` in the connection's init_command.",
            evidence={"synchronous": said["synchronous"], "wanted": str(FULL)},
        )
    for name in ("foreign_keys", "recursive_triggers"):
        if said[name] != "1":
            yield Found(
                severity=Severity.HIGH,
                title=f"SQLite runs without {name}.",
                remediation=f"Restore `PRAGMA {name}=ON` in the connection's init_command.",
                evidence={name: said[name]},
            )


def judge_postgresql(said: Mapping[str, str]) -> Iterator[Found]:
    """Judge PostgreSQL's settings, as `SHOW` spells them."""
    for name in ("fsync", "full_page_writes"):
        if said[name] != "on":
            yield Found(
                severity=Severity.CRITICAL,
                title=f"PostgreSQL runs with {name} {said[name]}: a crash can destroy its data.",
                remediation=f"Set {name} = on in postgresql.conf and reload the server.",
                evidence={name: said[name]},
            )
    # remote_write and remote_apply wait for the local flush as well.
    if said["synchronous_commit"] == "off":
        yield Found(
            severity=Severity.HIGH,
            title="PostgreSQL confirms commits before they are on disk.",
            remediation="Set synchronous_commit = on for this database and its role.",
            evidence={"synchronous_commit": said["synchronous_commit"]},
        )
