"""What the tests of changes stand on: laid environments, three people, short ways to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from routing.audit import queries as audit
from routing.audit.queries import EntryRow
from routing.changes import change, first_run
from routing.changes.change import Applied
from routing.core.chain import Json
from routing.core.flags import FlagName, SetFlag
from routing.core.rights import Actor, shell_actor
from routing.core.values import ActorKind, EnvironmentName, Health, Path, Role
from routing.flags import queries

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
DEV, STG, PROD = EnvironmentName
UNKNOWN = dict.fromkeys(Path, Health.UNKNOWN)
PROVEN = dict.fromkeys(Path, Health.HEALTHY)
SHELL = shell_actor(user="ops", host="test")


def person(role: Role) -> Actor:
    """Return somebody with `role` in every environment."""
    return Actor(
        kind=ActorKind.USER,
        id=f"user:{role}",
        name=str(role),
        grants=dict.fromkeys(EnvironmentName, role),
        request_id="r-1",
    )


VIEWER, OPERATOR, ADMIN = (person(role) for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN))


def lay(embedded: bool = True) -> None:
    """Lay all environments and their flags."""
    first_run.lay(by=SHELL, now=NOW, environments=tuple(EnvironmentName), embedded=embedded)


def version(flag: FlagName, environment: EnvironmentName = STG) -> int:
    """Return the version of one flag as the tables have it."""
    return queries.flag_row(flag, [environment]).cells[environment].state.version


def is_on(flag: FlagName, environment: EnvironmentName = STG) -> bool:
    """Return the state of one flag as the tables have it."""
    return queries.flag_row(flag, [environment]).cells[environment].state.on


def to(
    flag: FlagName,
    on: bool,
    *,
    base: int | None = None,
    environment: EnvironmentName = STG,
    percentage: int = 100,
) -> SetFlag:
    """Return the wish to set `flag`, from the version that the tables have unless told."""
    at = version(flag, environment) if base is None else base
    return SetFlag(flag=flag, on=on, base_version=at, percentage=percentage)


def apply(sets: Sequence[SetFlag], **changes: Any) -> Applied:
    """Apply `sets` as an operator of staging, with a reason."""
    usual: Mapping[str, Any] = {
        "by": OPERATOR,
        "now": NOW,
        "environment": STG,
        "reason": "trying it out",
        "health": UNKNOWN,
    }
    return change.apply(sets=sets, **{**usual, **changes})


def entries() -> list[EntryRow]:
    """Return the newest entries, newest first."""
    return list(audit.page(filters=audit.Filters()).rows)


def facts(value: Json) -> dict[str, Any]:
    """Return a booked object as one."""
    assert isinstance(value, dict)
    return value
