"""Compare-and-set on the flags inside the caller's transaction; neither books nor announces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import F
from django.db.models.functions import Now

from routing.core.errors import NotFound, Stale
from routing.core.flags import DECLARED, FlagName
from routing.core.values import EnvironmentName
from routing.flags.models import Flag, FlagSet, FlagState
from routing.flags.snapshot import EnvironmentFlags, State, declared

_COLUMNS = ("environment_id", "flag_id", "on", "percentage", "groups", "version")


def read_all() -> dict[EnvironmentName, EnvironmentFlags]:
    """Return the flags of every environment that has some, read by one statement.

    One statement sees one state of the database, so a set of several is seen whole or not at all.
    A flag that is declared and not laid yet has its declared state.
    """
    rows = FlagState.objects.filter(environment__flagset__isnull=False).values_list(
        "environment__flagset__version", *_COLUMNS
    )
    versions: dict[EnvironmentName, int] = {}
    states: dict[EnvironmentName, dict[FlagName, State]] = {}
    for set_version, environment, flag, *row in rows:
        if flag in DECLARED:
            name = EnvironmentName(environment)
            versions[name] = set_version
            states.setdefault(name, {})[FlagName(flag)] = _state(*row)
    return {
        name: EnvironmentFlags(version=versions[name], states={**declared(name).states, **kept})
        for name, kept in states.items()
    }


def versions() -> dict[EnvironmentName, int]:
    """Return the version of the flags of each environment that has some."""
    rows = FlagSet.objects.values_list("environment_id", "version")
    return {EnvironmentName(environment): version for environment, version in rows}


def lock(environment: EnvironmentName) -> int:
    """Keep other writers of these flags away until the commit; return the set's version.

    Raises NotFound where no flags were laid yet.
    """
    kept = FlagSet.objects.select_for_update().filter(environment_id=environment).first()
    if kept is None:
        raise NotFound(
            f"{environment} has no flags yet; start the server once (`manage.py serve`), which "
            "lays them.",
            environment=str(environment),
        )
    return kept.version


def read(environment: EnvironmentName) -> dict[FlagName, State]:
    """Return the states of `environment` as this transaction sees them, laid ones only."""
    rows = FlagState.objects.filter(environment_id=environment).values_list(*_COLUMNS[1:])
    return {FlagName(flag): _state(*row) for flag, *row in rows if flag in DECLARED}


def swap(
    *,
    environment: EnvironmentName,
    flag: FlagName,
    base_version: int,
    on: bool,
    percentage: int,
    by: str,
    now: datetime,
) -> State:
    """Set one flag if it is still at `base_version`; return its new state.

    Raises Stale, with the state that won, if it is not.
    """
    rows = FlagState.objects.filter(environment_id=environment, flag_id=flag)
    swapped = rows.filter(version=base_version).update(
        on=on,
        percentage=percentage,
        version=F("version") + 1,
        changed_at=now,
        changed_by=by,
        entry_seq=0,
    )
    fresh = read(environment)[flag]
    if not swapped:
        raise stale(flag, base_version, fresh)
    return fresh


def stale(flag: FlagName, base_version: int, fresh: State) -> Stale:
    """Return the refusal for whoever looked at `base_version` of a flag that is `fresh` now."""
    at = f" at {fresh.percentage} %" if fresh.on and fresh.percentage != 100 else ""
    return Stale(
        f"{flag} is {'on' if fresh.on else 'off'}{at} at version {fresh.version} by now; you "
        f"looked at version {base_version}. Look again, then decide.",
        flag=str(flag),
        base_version=base_version,
        current={
            "on": fresh.on,
            "percentage": fresh.percentage,
            "version": fresh.version,
        },
    )


def seal(environment: EnvironmentName, flags: Iterable[FlagName], *, entry_seq: int) -> None:
    """Note under which audit entry `flags` got their present state."""
    FlagState.objects.filter(environment_id=environment, flag_id__in=list(flags)).update(
        entry_seq=entry_seq
    )


def bump(environment: EnvironmentName) -> int:
    """Count one change set; return the version that the flags of `environment` have now."""
    FlagSet.objects.filter(environment_id=environment).update(
        version=F("version") + 1, changed_at=Now()
    )
    return FlagSet.objects.values_list("version", flat=True).get(environment_id=environment)


def lay(
    environment: EnvironmentName, states: Mapping[FlagName, State], *, by: str, now: datetime
) -> dict[FlagName, State]:
    """Create those of `states` that are missing, and the set's row; return the created ones."""
    for flag in states:
        Flag.objects.get_or_create(name=str(flag), defaults={"note": DECLARED[flag].purpose})
    FlagSet.objects.get_or_create(environment_id=environment)
    lock(environment)
    missing = {flag: states[flag] for flag in states if flag not in read(environment)}
    FlagState.objects.bulk_create(
        FlagState(
            environment_id=environment,
            flag_id=str(flag),
            on=state.on,
            percentage=state.percentage,
            groups=list(state.groups),
            version=state.version,
            changed_at=now,
            changed_by=by,
            entry_seq=0,
        )
        for flag, state in missing.items()
    )
    return missing


def _state(on: bool, percentage: int, groups: Any, version: int) -> State:
    return State(on=on, percentage=percentage, groups=tuple(groups), version=version)
