"""Triggers that hold the audit tables append-only and Waffle's side tables empty, and count
what writes flags.

They stop mistakes and plain SQL, not the owner of the database: dropping a trigger is a
statement too. That is why they are compared at every start, and why the chain exists.
"""

# Every name in these statements is a constant of ours.
# ruff: noqa: S608

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db import connection as default
from django.db.backends.base.base import BaseDatabaseWrapper

from routing.audit import triggers
from routing.audit.triggers import (
    CLOSED,
    DECISION,
    ENTRY,
    FLAGS,
    MARK,
    STREAM,
    TOUCHES,
    Guard,
)
from routing.core.errors import AuditBroken


def guards_of(connection: BaseDatabaseWrapper) -> tuple[Guard, ...]:
    """Return the guards that belong into that kind of database."""
    return triggers.sqlite() if connection.vendor == "sqlite" else triggers.postgresql()


def install(connection: BaseDatabaseWrapper) -> None:
    """Put every missing or altered guard into the database; leave the others alone.

    Tables that a half-run migration has not made yet are left out.
    """
    there = set(connection.introspection.table_names())
    wrong = set(missing(connection))
    guards = [
        g
        for g in guards_of(connection)
        if g.name in wrong and {g.table, g.names or g.table} <= there
    ]
    if not guards:
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for guard in guards:
            for statement in _statements(connection, guard):
                cursor.execute(statement)


def _statements(connection: BaseDatabaseWrapper, guard: Guard) -> Sequence[str]:
    if connection.vendor == "sqlite":
        return f"DROP TRIGGER IF EXISTS {guard.name}", _sqlite_text(guard)
    return (
        f"CREATE OR REPLACE FUNCTION {guard.name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$guard${guard.body}$guard$",
        f"DROP TRIGGER IF EXISTS {guard.name} ON {guard.table}",
        f"CREATE TRIGGER {guard.name} {guard.when} EXECUTE FUNCTION {guard.name}()",
        # Otherwise a session in replica mode passes the trigger by.
        f"ALTER TABLE {guard.table} ENABLE ALWAYS TRIGGER {guard.name}",
    )


def _sqlite_text(guard: Guard) -> str:
    return f"CREATE TRIGGER {guard.name} {guard.when} BEGIN {guard.body} END"


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of the guards that the database lacks, or holds in other words."""
    held = _held_sqlite if connection.vendor == "sqlite" else _held_postgresql
    with connection.cursor() as cursor:
        there = held(cursor)
    said = _said_sqlite if connection.vendor == "sqlite" else _said_postgresql
    return [g.name for g in guards_of(connection) if there.get((g.table, g.name)) != said(g)]


def _said_sqlite(guard: Guard) -> Any:
    return _sqlite_text(guard)


def _held_sqlite(cursor: Any) -> dict[tuple[str, str], Any]:
    cursor.execute("SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'")
    return {(table, name): sql for table, name, sql in cursor.fetchall()}


_BITS = {"ROW": 1, "BEFORE": 2, "INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}


def _said_postgresql(guard: Guard) -> Any:
    words = set(guard.when.split())
    kind = sum(bit for word, bit in _BITS.items() if word in words)
    return ("A", kind, True, guard.name, guard.body, "plpgsql")


def _held_postgresql(cursor: Any) -> dict[tuple[str, str], Any]:
    # tgtype is a bit set; a WHEN clause, a column list or arguments would narrow the trigger.
    cursor.execute(
        """
        SELECT c.relname, t.tgname, t.tgenabled::text, t.tgtype,
               t.tgqual IS NULL AND t.tgattr::text = '' AND t.tgnargs = 0,
               p.proname, p.prosrc, l.lanname
          FROM pg_trigger t
          JOIN pg_class c ON c.oid = t.tgrelid
          JOIN pg_proc p ON p.oid = t.tgfoid
          JOIN pg_language l ON l.oid = p.prolang
         WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
        """
    )
    return {(row[0], row[1]): tuple(row[2:]) for row in cursor.fetchall()}


def lift(connection: BaseDatabaseWrapper) -> None:
    """Drop every guard, until `install` puts them back.

    For two callers only: the emptying of a test database, and `manage.py prune_audit`, which
    books before and after. A server that starts meanwhile refuses to.
    """
    there = set(connection.introspection.table_names())
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for guard in guards_of(connection):
            if guard.table in there:
                on = "" if connection.vendor == "sqlite" else f" ON {guard.table}"
                cursor.execute(f"DROP TRIGGER IF EXISTS {guard.name}{on}")


_SCRATCH = "canary"
_COLUMNS = (
    "stream, seq, body, prev, hash, at, actor_kind, actor, action, environment, "
    "object_type, object_id, outcome, request_id"
)
_CHAIN, _SKIPPING = "seq, body, prev, hash", "seq + 2, body, hash, prev"
_GAP = _COLUMNS.replace(_CHAIN, _SKIPPING)
_TEXTS = "kind, decision_id, environment, operation, intended, effective, reason"
_DECIDED = f"stream, {_CHAIN}, {_TEXTS}, synthetic"
# TRUNCATE is left out: it would lock the table against every reader for the length of the try.
_ATTEMPTS = {
    "UPDATE": f"UPDATE {ENTRY} SET actor = 'somebody else' WHERE stream = '{_SCRATCH}'",
    "DELETE": f"DELETE FROM {ENTRY} WHERE stream = '{_SCRATCH}'",
    "UPSERT": f"INSERT INTO {ENTRY} ({_COLUMNS}) SELECT {_COLUMNS} FROM {ENTRY} "
    f"WHERE stream = '{_SCRATCH}' ON CONFLICT (stream, seq) DO UPDATE SET actor = 'other'",
    "INSERT with a gap": f"INSERT INTO {ENTRY} ({_COLUMNS}) SELECT {_GAP} FROM {ENTRY} "
    f"WHERE stream = '{_SCRATCH}'",
    "UPDATE of a decision": f"UPDATE {DECISION} SET reason = '' WHERE stream = '{_SCRATCH}'",
    "DELETE of a decision": f"DELETE FROM {DECISION} WHERE stream = '{_SCRATCH}'",
    "INSERT of a decision with a gap": f"INSERT INTO {DECISION} ({_DECIDED}) "
    f"SELECT {_DECIDED.replace(_CHAIN, _SKIPPING)} FROM {DECISION} WHERE stream = '{_SCRATCH}'",
    "UPDATE of a stream": f"UPDATE {STREAM} SET opened_at = opened_at WHERE name = '{_SCRATCH}'",
    "DELETE of a stream": f"DELETE FROM {STREAM} WHERE name = '{_SCRATCH}'",
    **{
        f"INSERT into {t}": f"INSERT INTO {t} (flag_id, {c}) VALUES (0, 0)"
        for t, c in zip(CLOSED, ("user_id", "group_id"), strict=True)
    },
}
_REPLACE = (
    f"INSERT OR REPLACE INTO {ENTRY} ({_COLUMNS}) "
    f"SELECT {_COLUMNS} FROM {ENTRY} WHERE stream = '{_SCRATCH}'"
)
# Foreign keys are checked at a commit, and none comes.
_COUNTED = {
    "an uncounted INSERT of a flag": f'INSERT INTO {FLAGS} (flag_id, environment_id, "on", '
    "percentage, groups, version, changed_at, changed_by, entry_seq) "
    f"VALUES ('{_SCRATCH}', '{_SCRATCH}', {{no}}, 100, '[]', 1, '2000-01-01', '', 0)",
    "an uncounted UPDATE of a flag": f"UPDATE {FLAGS} SET version = 2 "
    f"WHERE environment_id = '{_SCRATCH}'",
    "an uncounted DELETE of a flag": f"DELETE FROM {FLAGS} WHERE environment_id = '{_SCRATCH}'",
}


def canary() -> None:
    """Try to alter an entry in every way, on a scratch one that is rolled back, writing nothing.

    A scratch flag is written, too. Raises AuditBroken, naming the way, when one is not refused
    by a guard, or not counted.
    """
    attempts = dict(_ATTEMPTS)
    if default.vendor == "sqlite":
        attempts["REPLACE"] = _REPLACE
    with transaction.atomic():
        with default.cursor() as cursor:
            _lay_scratch(cursor)
        passed = [name for name, statement in attempts.items() if not _refused(statement)]
        passed += [name for name, statement in _COUNTED.items() if not _counted(statement)]
        transaction.set_rollback(True)
    if passed:
        raise AuditBroken(
            f"The database lets {', '.join(passed)} through where it must refuse. Stop the "
            "server, run `manage.py migrate`, then `manage.py verify_audit`."
        )


def _lay_scratch(cursor: Any) -> None:
    now, zeros, ones = datetime(2000, 1, 1, tzinfo=UTC), bytes(32), b"\x01" * 32
    at = default.ops.adapt_datetimefield_value(now)
    cursor.execute(
        f"INSERT INTO {STREAM} (name, log_id, opened_at) VALUES (%s, %s, %s)",
        [_SCRATCH, zeros, at],
    )
    values = [_SCRATCH, 1, zeros, zeros, ones, at, *[""] * 8]
    places = ", ".join(["%s"] * len(values))
    cursor.execute(f"INSERT INTO {ENTRY} ({_COLUMNS}) VALUES ({places})", values)
    decided = [_SCRATCH, 1, zeros, zeros, ones, *[""] * 7, False]
    places = ", ".join(["%s"] * len(decided))
    cursor.execute(f"INSERT INTO {DECISION} ({_DECIDED}) VALUES ({places})", decided)


def _refused(statement: str) -> bool:
    try:
        with transaction.atomic(), default.cursor() as cursor:
            cursor.execute(statement)
    except IntegrityError as error:
        return MARK in str(error)
    return False


def _counted(statement: str) -> bool:
    with default.cursor() as cursor:
        before = _touches(cursor)
        cursor.execute(statement.format(no="0" if default.vendor == "sqlite" else "false"))
        return _touches(cursor) == before + 1


def _touches(cursor: Any) -> int:
    cursor.execute(f"SELECT touched FROM {TOUCHES} WHERE environment_id = '{_SCRATCH}'")
    found = cursor.fetchone()
    return int(found[0]) if found else 0
