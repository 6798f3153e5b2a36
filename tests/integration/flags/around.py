"""Ways to write flags around us, and what is then booked; for the tests of drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import connection

from routing.audit import guards
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName
from routing.flags.models import FlagState

CACHING = FlagName.CACHING
WHERE = "WHERE flag_id = 'ai.caching.enabled' AND environment_id = '{}'"


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def uncounted() -> Iterator[None]:
    """Take the guards of the database away meanwhile, so that it counts nothing."""
    _settle_keys()
    guards.lift(connection)
    yield
    _settle_keys()
    guards.install(connection)


def _settle_keys() -> None:
    """PostgreSQL alters no table while foreign keys of this transaction are yet to be checked."""
    if connection.vendor == "postgresql":
        sql("SET CONSTRAINTS ALL IMMEDIATE")


def raw_update(place: EnvironmentName) -> None:
    sql(f'UPDATE routing_flagstate SET "on" = NOT "on" {WHERE.format(place)}')


def raw_attribution(place: EnvironmentName) -> None:
    sql(f"UPDATE routing_flagstate SET changed_by = 'user:0' {WHERE.format(place)}")


def raw_delete(place: EnvironmentName) -> None:
    sql(f"DELETE FROM routing_flagstate {WHERE.format(place)}")


def raw_insert(place: EnvironmentName) -> None:
    """Write a row for a flag that nobody declares."""
    sql(
        "INSERT INTO routing_flag (name, superusers, staff, authenticated, testing, rollout, "
        "languages, note, created, modified) "
        "VALUES ('x', {no}, {no}, {no}, {no}, {no}, '', '', '2026-01-01', '2026-01-01')".format(
            no="false" if connection.vendor == "postgresql" else "0"
        )
    )
    sql(
        'INSERT INTO routing_flagstate (flag_id, environment_id, "on", percentage, groups, '
        "version, changed_at, changed_by, entry_seq) "
        "SELECT 'x', environment_id, \"on\", percentage, groups, version, changed_at, changed_by, "
        f"entry_seq FROM routing_flagstate {WHERE.format(place)}"
    )


def orm_update(place: EnvironmentName) -> None:
    FlagState.objects.filter(environment_id=place, flag_id=str(CACHING)).update(on=False)


def orm_bulk_update(place: EnvironmentName) -> None:
    kept = list(FlagState.objects.filter(environment_id=place, flag_id=str(CACHING)))
    for row in kept:
        row.percentage = 7
    FlagState.objects.bulk_update(kept, ["percentage"])


def orm_delete(place: EnvironmentName) -> None:
    FlagState.objects.filter(environment_id=place, flag_id=str(CACHING)).delete()


def orm_save(place: EnvironmentName) -> None:
    kept = FlagState.objects.get(environment_id=place, flag_id=str(CACHING))
    kept.groups = ["tenant:acme"]
    kept.save()


def there_and_back(place: EnvironmentName) -> None:
    raw_update(place)
    raw_update(place)


WAYS: dict[str, Callable[[EnvironmentName], None]] = {
    "raw update": raw_update,
    "raw update of who did it": raw_attribution,
    "raw delete": raw_delete,
    "raw insert": raw_insert,
    "orm update": orm_update,
    "orm bulk update": orm_bulk_update,
    "orm delete": orm_delete,
    "orm save": orm_save,
    "there and back": there_and_back,
}
