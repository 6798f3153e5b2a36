"""What the audit tests write with: two people, a fixed time, one-line entries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from routing.audit import ledger
from routing.audit.ledger import EntryRef
from routing.core.rights import Actor
from routing.core.values import Action, ActorKind, EnvironmentName, Role
from tests.integration.audit import independent

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
OLIVIA = Actor(
    kind=ActorKind.USER,
    id="u-olivia",
    name="Olivia",
    grants={EnvironmentName.STAGING: Role.OPERATOR},
    request_id="r-1",
    session="5e55",
    peer="192.0.2.0/24",
)
ADAM = Actor(kind=ActorKind.USER, id="u-adam", name="Adam")
MINIMAL: dict[str, Any] = {
    "by": OLIVIA,
    "now": NOW,
    "action": Action.FLAG_CHANGE,
    "environment": EnvironmentName.STAGING,
    "object_type": "flag",
    "object_id": "ai.caching.enabled",
}


def book(**changes: Any) -> EntryRef:
    """Book one entry in a transaction of its own."""
    with transaction.atomic():
        return ledger.record(**(MINIMAL | changes))


def book_many(count: int) -> None:
    """Fill the log up to `count` entries, the opening included."""
    with transaction.atomic():
        for number in range(2, count + 1):
            ledger.record(**(MINIMAL | {"object_id": f"object-{number}", "after": number}))


def sql(statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement around the application; return its rows, if it has any."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall()) if cursor.description else []


def second_opinion() -> tuple[int, int | None]:
    """Return what the independent verifier says: good entries, first bad."""
    with connection.cursor() as cursor:
        return independent.first_bad(cursor, "%s")
