"""The database refuses every way of altering an entry, and a lost guard is noticed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import IntegrityError, connection, migrations, models, transaction
from django.db.migrations.state import ProjectState

from routing.audit import guards, triggers
from routing.audit.models import Entry, Stream
from routing.core.errors import AuditBroken
from tests.integration.audit.pen import book, book_many, sql

pytestmark = pytest.mark.django_db
only_sqlite = pytest.mark.only_on("sqlite")
only_postgresql = pytest.mark.only_on("postgresql")

COLUMNS = (
    "stream, seq, body, prev, hash, at, actor_kind, actor, action, environment, "
    "object_type, object_id, outcome, request_id"
)


def replacing(**values: str) -> str:
    """Return SQL for a forged row that copies entry 3 except for `values`."""
    chosen = ", ".join(values.get(name, name) for name in COLUMNS.split(", "))
    return (
        f"INSERT OR REPLACE INTO routing_entry ({COLUMNS}) "
        f"SELECT {chosen} FROM routing_entry WHERE seq = 3"
    )


HASH_OF_3 = "(SELECT hash FROM routing_entry WHERE seq = 3)"
HASH_OF_LAST = "(SELECT hash FROM routing_entry WHERE seq = 5)"
NEW_HASH = "randomblob(32)"
FORGED = "'somebody else'"

EVERYWHERE = {
    "update": "UPDATE routing_entry SET actor = 'somebody else' WHERE seq = 3",
    "update to the same": "UPDATE routing_entry SET actor = actor",
    "delete": "DELETE FROM routing_entry WHERE seq = 5",
    "delete all": "DELETE FROM routing_entry",
    "upsert": f"INSERT INTO routing_entry ({COLUMNS}) SELECT {COLUMNS} FROM routing_entry "
    "WHERE seq = 3 ON CONFLICT (stream, seq) DO UPDATE SET actor = 'somebody else'",
    "update of the stream": "UPDATE routing_stream SET log_id = log_id",
    "delete of the stream": "DELETE FROM routing_stream",
    "person on a flag": "INSERT INTO routing_flag_users (flag_id, user_id) VALUES (1, 1)",
    "group on a flag": "INSERT INTO routing_flag_groups (flag_id, group_id) VALUES (1, 1)",
}
ON_SQLITE = {
    "replace by number": replacing(actor=FORGED),
    "replace by hash": replacing(seq="6", prev=HASH_OF_LAST, actor=FORGED),
    "replace by predecessor": replacing(seq="6", hash=NEW_HASH, actor=FORGED),
    "replace by hash in another stream": replacing(stream="'other'", seq="1", actor=FORGED),
    "replace of the stream": "INSERT OR REPLACE INTO routing_stream "
    "SELECT name, randomblob(32), opened_at FROM routing_stream",
    "a gap": replacing(seq="7", hash=NEW_HASH, prev=HASH_OF_LAST),
    "no number": replacing(seq="NULL", hash=NEW_HASH, prev=HASH_OF_LAST),
    "a wrong predecessor": replacing(seq="6", hash=NEW_HASH, prev=NEW_HASH),
}
ON_POSTGRESQL = {
    "truncate": "TRUNCATE routing_entry",
    "truncate of the stream": "TRUNCATE routing_stream",
    "a gap": f"INSERT INTO routing_entry ({COLUMNS}) "
    f"SELECT {COLUMNS.replace('seq', '7').replace('hash', 'sha256(hash)')} "
    "FROM routing_entry WHERE seq = 5",
    "a wrong predecessor": f"INSERT INTO routing_entry ({COLUMNS}) "
    f"SELECT {COLUMNS.replace('seq', '6').replace('hash', 'sha256(hash)')} "
    "FROM routing_entry WHERE seq = 5",
    "update as a replica": "SET LOCAL session_replication_role = replica; "
    "UPDATE routing_entry SET actor = actor",
}


def refused(statement: str) -> None:
    before = sql(f"SELECT {COLUMNS} FROM routing_entry ORDER BY seq")
    with pytest.raises(IntegrityError, match="guarded:"), transaction.atomic():
        sql(statement)
    assert sql(f"SELECT {COLUMNS} FROM routing_entry ORDER BY seq") == before


@pytest.mark.parametrize("statement", EVERYWHERE.values(), ids=EVERYWHERE)
def test_refuses_to_alter_what_stands(statement: str) -> None:
    book_many(5)
    refused(statement)


@only_sqlite
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
@pytest.mark.parametrize("statement", ON_SQLITE.values(), ids=ON_SQLITE)
def test_refuses_to_replace_by_any_unique_key(statement: str, recursive: str) -> None:
    book_many(5)
    sql(f"PRAGMA recursive_triggers = {recursive}")
    try:
        refused(statement)
    finally:
        sql("PRAGMA recursive_triggers = ON")


@only_sqlite
def test_without_the_insert_trigger_replace_rewrites_an_entry() -> None:
    """The negative control: what the third trigger is for."""
    book_many(5)
    sql("PRAGMA recursive_triggers = OFF")
    sql("DROP TRIGGER audit_routing_entry_append")
    try:
        sql(ON_SQLITE["replace by number"])
    finally:
        sql("PRAGMA recursive_triggers = ON")
    assert sql("SELECT actor FROM routing_entry WHERE seq = 3") == [("somebody else",)]


@only_postgresql
@pytest.mark.parametrize("statement", ON_POSTGRESQL.values(), ids=ON_POSTGRESQL)
def test_refuses_what_only_postgresql_can_do(statement: str) -> None:
    book_many(5)
    refused(statement)


@only_postgresql
def test_without_enable_always_a_replica_session_rewrites_entries() -> None:
    """The negative control: what ENABLE ALWAYS is for."""
    book_many(3)
    sql("ALTER TABLE routing_entry ENABLE TRIGGER audit_routing_entry_no_change")
    sql("SET LOCAL session_replication_role = replica")
    sql("UPDATE routing_entry SET actor = 'somebody else' WHERE seq = 3")
    assert sql("SELECT actor FROM routing_entry WHERE seq = 3") == [("somebody else",)]
    assert guards.missing(connection) == ["audit_routing_entry_no_change"]


def test_without_guards_every_alteration_passes() -> None:
    """The negative control of all refusals above."""
    book_many(3)
    guards.lift(connection)
    sql(EVERYWHERE["update"])
    sql(EVERYWHERE["delete all"])
    assert not Entry.objects.exists()


def test_a_migrated_database_lacks_no_guard() -> None:
    assert guards.missing(connection) == []


def test_installing_again_changes_nothing() -> None:
    guards.install(connection)
    assert guards.missing(connection) == []


def test_lifting_takes_all_and_installing_puts_all_back() -> None:
    guards.lift(connection)
    assert guards.missing(connection) == [g.name for g in guards.guards_of(connection)]
    guards.install(connection)
    assert guards.missing(connection) == []


def weakened() -> str:
    """Return SQL that makes the guard against deletion say something else."""
    if connection.vendor == "sqlite":
        name = "audit_routing_entry_no_delete"
        return (
            f"CREATE TRIGGER {name} BEFORE DELETE ON routing_entry WHEN OLD.seq > 100 "
            "BEGIN SELECT RAISE(ABORT, 'guarded: no'); END"
        )
    return (
        "CREATE OR REPLACE FUNCTION audit_routing_entry_no_change() RETURNS trigger "
        "LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'"
    )


def test_an_altered_guard_counts_as_missing_and_is_mended() -> None:
    if connection.vendor == "sqlite":
        sql("DROP TRIGGER audit_routing_entry_no_delete")
    sql(weakened())

    assert len(guards.missing(connection)) == 1
    guards.install(connection)
    assert guards.missing(connection) == []


@only_postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE routing_entry DISABLE TRIGGER audit_routing_entry_no_change",
        "DROP TRIGGER audit_routing_entry_no_change ON routing_entry; "
        "CREATE TRIGGER audit_routing_entry_no_change BEFORE UPDATE OR DELETE ON routing_entry "
        "FOR EACH ROW WHEN (OLD.seq > 100) EXECUTE FUNCTION audit_routing_entry_no_change(); "
        "ALTER TABLE routing_entry ENABLE ALWAYS TRIGGER audit_routing_entry_no_change",
        "DROP TRIGGER audit_routing_entry_no_change ON routing_entry; "
        "CREATE TRIGGER audit_routing_entry_no_change BEFORE UPDATE OF seq OR DELETE "
        "ON routing_entry FOR EACH ROW EXECUTE FUNCTION audit_routing_entry_no_change(); "
        "ALTER TABLE routing_entry ENABLE ALWAYS TRIGGER audit_routing_entry_no_change",
    ],
    ids=["disabled", "narrowed to some rows", "narrowed to a column"],
)
def test_a_narrowed_guard_counts_as_missing(statement: str) -> None:
    sql(statement)
    assert guards.missing(connection) == ["audit_routing_entry_no_change"]


def test_the_canary_is_content_and_writes_nothing() -> None:
    book()
    guards.canary()
    assert Entry.objects.count() == 2
    assert Stream.objects.count() == 1


def test_the_canary_works_on_an_empty_log() -> None:
    guards.canary()
    assert not Stream.objects.exists()


TRIED = [
    guard
    for guard in guards.guards_of(connection)
    # Truncation would lock the table; a stream's name is its primary key on both databases.
    if not guard.name.endswith(("_truncate", "routing_stream_append"))
]


@pytest.mark.parametrize("guard", TRIED, ids=[guard.name for guard in TRIED])
def test_the_canary_names_what_a_missing_guard_lets_through(guard: triggers.Guard) -> None:
    on = "" if connection.vendor == "sqlite" else f" ON {guard.table}"
    sql(f"DROP TRIGGER {guard.name}{on}")
    with pytest.raises(AuditBroken, match=r"lets .* through"):
        guards.canary()
    assert not Entry.objects.exists(), "what the canary got through is rolled back"


@pytest.fixture
def restored_guards() -> Iterator[None]:
    yield
    guards.install(connection)


@only_sqlite
@pytest.mark.django_db(transaction=True)
def test_a_remade_table_loses_its_guards_until_migrate_puts_them_back(
    restored_guards: None,
) -> None:
    book()
    remake_entry_table()
    lost = guards.missing(connection)
    assert lost == [g.name for g in triggers.sqlite() if g.table == "routing_entry"]

    call_command("migrate", verbosity=0, skip_checks=True)

    assert guards.missing(connection) == []
    assert Entry.objects.count() == 2


def remake_entry_table() -> None:
    """Do what a later migration's AlterField does on SQLite, to the same definition."""
    before = ProjectState.from_apps(apps)
    after = before.clone()
    wider = migrations.AlterField("entry", "action", models.CharField(max_length=49))
    wider.state_forwards("routing", after)
    with connection.schema_editor() as editor:
        wider.database_forwards("routing", editor, before, after)
    with connection.schema_editor() as editor:
        wider.database_forwards("routing", editor, after, before)
