"""Compare-and-set on the flags inside the caller's transaction; neither books nor announces.

What is in force is the table, unless somebody wrote it around us: then it is what was booked
last, but in development. The database counts every write (`FlagTouch`), whoever makes it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db.models import F
from django.db.models.functions import Now

from routing.audit import body
from routing.core.booked import Book, Row
from routing.core.errors import AuditBroken, NotFound, Stale
from routing.core.flags import DECLARED, FlagName, State
from routing.core.values import EnvironmentName
from routing.flags import book
from routing.flags.models import Flag, FlagSet, FlagState, FlagTouch
from routing.flags.snapshot import EnvironmentFlags, Mark, declared

log = logging.getLogger(__name__)
_COLUMNS = ("environment_id", "flag_id", "on", "percentage", "groups", "version")
_MARK = ("version", "environment__flagtouch__touched", "explained", "noted")


def read_all(
    last: Mapping[EnvironmentName, EnvironmentFlags],
) -> dict[EnvironmentName, EnvironmentFlags]:
    """Return the flags in force of every environment that has some, read by one statement.

    One statement sees one state of the database, so a set of several is seen whole or not at all.
    A flag that is declared and not laid yet has its declared state. Where flags were changed
    around us the trail is read too; where that does not tell, the `last` ones known stay.
    """
    rows = FlagSet.objects.values_list(
        "environment_id",
        *_MARK,
        *(f"environment__flagstate__{name}" for name in _COLUMNS[1:]),
    )
    marks: dict[EnvironmentName, Mark] = {}
    states: dict[EnvironmentName, dict[FlagName, State]] = {}
    for environment, version, touched, explained, noted, flag, *row in rows:
        name = EnvironmentName(environment)
        marks[name] = _mark(version, touched, explained, noted)
        states.setdefault(name, {})
        if flag in DECLARED:
            states[name][FlagName(flag)] = _state(*row)
    found = {}
    for name, kept in states.items():
        try:
            found[name] = _in_force(name, marks[name], kept)
        except AuditBroken:
            log.exception("The flags of %s stay as they were last known.", name)
            found[name] = replace(last[name], mark=marks[name])
    return found


def _in_force(
    environment: EnvironmentName, mark: Mark, kept: Mapping[FlagName, State]
) -> EnvironmentFlags:
    version = mark.version
    if _is_kept_back(environment, mark):
        booked = book.of(environment, DECLARED)
        kept, version = _states(booked), booked.version
    states = {**declared(environment).states, **kept}
    return EnvironmentFlags(version=version, states=states, mark=mark)


def _is_kept_back(environment: EnvironmentName, mark: Mark) -> bool:
    """Tell whether what the table says is not applied."""
    return mark.is_drifted and environment is not EnvironmentName.DEVELOPMENT


def _states(found: Book) -> dict[FlagName, State]:
    return {FlagName(flag): row.state for flag, row in found.rows.items() if flag in DECLARED}


def versions() -> dict[EnvironmentName, int]:
    """Return the version of the flags of each environment that has some."""
    return {environment: mark.version for environment, mark in marks().items()}


def marks() -> dict[EnvironmentName, Mark]:
    """Return how the tables of each environment that has flags stand, by one statement."""
    rows = FlagSet.objects.values_list("environment_id", *_MARK)
    return {EnvironmentName(environment): _mark(*row) for environment, *row in rows}


def _mark(version: int, touched: int | None, explained: int, noted: bool) -> Mark:
    return Mark(version=version, touched=touched or 0, explained=explained, noted=noted)


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


def hold(environment: EnvironmentName) -> Mark:
    """Lock as `lock` does, those who write around us too; return how the tables stand."""
    lock(environment)
    FlagTouch.objects.get_or_create(environment_id=environment)
    FlagTouch.objects.select_for_update().get(environment_id=environment)
    return marks()[environment]


def read(environment: EnvironmentName) -> dict[FlagName, State]:
    """Return the states in force as this transaction sees them, laid ones only.

    Raises AuditBroken as `read_all` does.
    """
    if _is_kept_back(environment, marks().get(environment, Mark())):
        return _states(book.of(environment, DECLARED))
    return _laid(environment)


def _laid(environment: EnvironmentName) -> dict[FlagName, State]:
    rows = FlagState.objects.filter(environment_id=environment).values_list(*_COLUMNS[1:])
    return {FlagName(flag): _state(*row) for flag, *row in rows if flag in DECLARED}


def table(environment: EnvironmentName) -> dict[str, Row]:
    """Return the rows as they stand, whoever wrote them."""
    columns = (*_COLUMNS[1:], "entry_seq", "changed_by", "changed_at")
    rows = FlagState.objects.filter(environment_id=environment).values_list(*columns)
    return {
        flag: Row(
            state=_state(on, percentage, groups, version),
            entry_seq=seq,
            changed_by=who,
            changed_at=body.moment(at),
        )
        for flag, on, percentage, groups, version, seq, who, at in rows
    }


def swap(
    *,
    environment: EnvironmentName,
    flag: FlagName,
    wanted: State,
    by: str,
    now: datetime,
) -> State:
    """Set one flag if it is still at the version of `wanted`; return its new state.

    Raises Stale, with the state that won, if it is not.
    """
    rows = FlagState.objects.filter(environment_id=environment, flag_id=flag)
    swapped = rows.filter(version=wanted.version).update(
        on=wanted.on,
        percentage=wanted.percentage,
        groups=list(wanted.groups),
        version=F("version") + 1,
        changed_at=now,
        changed_by=by,
        entry_seq=0,
    )
    fresh = _laid(environment)[flag]  # our own writes count as touches until they are explained
    if not swapped:
        raise stale(flag, wanted.version, fresh)
    return fresh


def put(environment: EnvironmentName, flag: str, row: Row | None) -> None:
    """Make the row of `flag` this one, whatever stands there; None takes it away."""
    if row is None:
        FlagState.objects.filter(environment_id=environment, flag_id=flag).delete()
        return
    state, known = row.state, DECLARED.get(FlagName(flag)) if flag in DECLARED else None
    Flag.objects.get_or_create(name=flag, defaults={"note": known.purpose if known else ""})
    FlagState.objects.update_or_create(
        environment_id=environment,
        flag_id=flag,
        defaults={
            "on": state.on,
            "percentage": state.percentage,
            "groups": list(state.groups),
            "version": state.version,
            "changed_at": body.parse_moment(row.changed_at),
            "changed_by": row.changed_by,
            "entry_seq": row.entry_seq,
        },
    )


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
            "groups": list(fresh.groups),
            "version": fresh.version,
        },
    )


def seal(environment: EnvironmentName, flags: Iterable[str], *, entry_seq: int) -> None:
    """Note under which audit entry `flags` got their present state."""
    FlagState.objects.filter(environment_id=environment, flag_id__in=list(flags)).update(
        entry_seq=entry_seq
    )


def bump(environment: EnvironmentName, *, beyond: int = 0) -> int:
    """Count one change set; return the version of the set now, which is more than `beyond`."""
    rows = FlagSet.objects.filter(environment_id=environment)
    version: int = max(rows.values_list("version", flat=True).get(), beyond) + 1
    rows.update(version=version, changed_at=Now())
    return version


def explain(environment: EnvironmentName, since: Mark) -> None:
    """Count as ours every touch that came `since` we hold the tables; the last write of ours."""
    own = marks()[environment].touched - since.touched
    FlagSet.objects.filter(environment_id=environment).update(explained=F("explained") + own)


def settle(environment: EnvironmentName, *, version: int) -> None:
    """Count every touch so far as explained: what stands there now is booked, at `version`."""
    FlagSet.objects.filter(environment_id=environment).update(
        version=version, explained=marks()[environment].touched, noted=False
    )


def note(environment: EnvironmentName) -> None:
    """Keep that the drift that is open is booked as found."""
    FlagSet.objects.filter(environment_id=environment).update(noted=True)


def doubt(environment: EnvironmentName) -> None:
    """Open a drift that the database did not count."""
    FlagTouch.objects.filter(environment_id=environment).update(touched=F("touched") + 1)


def begin(environment: EnvironmentName) -> Mark:
    """Make the set's row where it is missing, and hold it."""
    FlagSet.objects.get_or_create(environment_id=environment)
    return hold(environment)


def lay(
    environment: EnvironmentName, states: Mapping[FlagName, State], *, by: str, now: datetime
) -> dict[FlagName, State]:
    """Create those of `states` that are missing in a set that is held; return the created ones."""
    for flag in states:
        Flag.objects.get_or_create(name=str(flag), defaults={"note": DECLARED[flag].purpose})
    there = table(environment)
    missing = {flag: states[flag] for flag in states if str(flag) not in there}
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
    return State(on=on, percentage=percentage, groups=_groups(groups), version=version)


def _groups(kept: Any) -> tuple[str, ...]:
    """Return groups as somebody may have written them around us: what is no word is none."""
    return tuple(g for g in kept if isinstance(g, str)) if isinstance(kept, list) else ()
