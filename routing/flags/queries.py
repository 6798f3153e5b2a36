"""The flags as people read them: what each is for, and what it is where, since when, by whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import F
from django.db.models.functions import Coalesce

from routing.audit import body
from routing.core.errors import AuditBroken
from routing.core.flags import DECLARED, FlagName, State
from routing.core.values import EnvironmentName
from routing.flags import book, store
from routing.flags.models import FlagSet, FlagState, FlagUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One flag in one environment; `entry_seq` is the audit entry of its last change."""

    environment: EnvironmentName
    state: State
    changed_at: datetime
    changed_by: str
    entry_seq: int
    default: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRow:
    """One flag as declared, with a cell for each environment where it was laid."""

    name: FlagName
    purpose: str
    when_off: str
    owner: str
    cells: Mapping[EnvironmentName, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """All flags in force, in declared order; `versions` holds the set's version per environment.

    Those `drifted` were changed around us; but for development their cells are what is booked.
    `unknown` says why nobody knows the flags of an environment, which then has no cells.
    """

    rows: tuple[FlagRow, ...]
    versions: Mapping[EnvironmentName, int]
    drifted: frozenset[EnvironmentName] = frozenset()
    unknown: Mapping[EnvironmentName, str] = field(default_factory=dict)


def grid(environments: Iterable[EnvironmentName]) -> Grid:
    """Return every declared flag with its state in `environments`, read by one statement.

    Where flags are held back the trail is read too; raises AuditBroken where it does not tell.
    """
    wanted = tuple(environments)
    rows = FlagState.objects.filter(environment_id__in=wanted, flag_id__in=list(DECLARED))
    versions: dict[EnvironmentName, int] = {}
    drifted: set[EnvironmentName] = set()
    cells: dict[FlagName, dict[EnvironmentName, Cell]] = {flag: {} for flag in FlagName}
    touched = Coalesce(F("environment__flagtouch__touched"), 0)
    for row in rows.annotate(
        set_version=F("environment__flagset__version"),
        unexplained=touched - F("environment__flagset__explained"),
    ):
        name = EnvironmentName(row.environment_id)
        versions[name] = row.set_version
        if row.unexplained:
            drifted.add(name)
        cells[FlagName(row.flag_id)][name] = _cell(row, name)
    if len(versions) < len(wanted):  # no row of an environment is there any more, or never was
        marks = store.marks()
        drifted |= {name for name in wanted if name in marks and marks[name].is_drifted}
    for name in drifted - {EnvironmentName.DEVELOPMENT}:
        versions[name] = _put_booked(cells, name)
    return Grid(
        rows=tuple(
            _row(flag, {name: kept[name] for name in wanted if name in kept})
            for flag, kept in cells.items()
        ),
        versions={name: versions[name] for name in wanted if name in versions},
        drifted=frozenset(drifted),
    )


def grid_at(
    environments: Iterable[EnvironmentName],
    *,
    until: datetime | None = None,
    upto: int | None = None,
) -> Grid:
    """Return the flags as the trail tells them; there is no cell where none was laid.

    As booked before `until`, or by the entries up to number `upto`. It is read back until every
    flag is named; where an altered entry is in the way, the environment's flags are unknown.
    """
    cells: dict[FlagName, dict[EnvironmentName, Cell]] = {flag: {} for flag in FlagName}
    versions: dict[EnvironmentName, int] = {}
    unknown: dict[EnvironmentName, str] = {}
    for name in environments:
        try:
            versions[name] = _put_booked(cells, name, until=until, upto=upto)
        except AuditBroken as error:
            unknown[name] = error.message
    return Grid(
        rows=tuple(_row(flag, kept) for flag, kept in cells.items()),
        versions={name: version for name, version in versions.items() if version},
        unknown=unknown,
    )


def changed(environment: EnvironmentName) -> tuple[int, datetime | None]:
    """Return the version of the flags of `environment` and when it came, by the database's clock.

    Version 0 before they were laid; None for a version that was there before that was noted.
    """
    row = FlagSet.objects.filter(environment_id=environment).first()
    return (row.version, row.changed_at) if row else (0, None)


def asked(
    environments: Iterable[EnvironmentName],
) -> dict[tuple[EnvironmentName, FlagName], datetime]:
    """Return when each flag was last asked for, to a minute; what is missing never was."""
    known = set(FlagName)
    return {
        (EnvironmentName(row.environment_id), FlagName(row.flag)): row.evaluated_at
        for row in FlagUse.objects.filter(environment_id__in=tuple(environments))
        if row.flag in known
    }


def _put_booked(
    cells: Mapping[FlagName, dict[EnvironmentName, Cell]],
    environment: EnvironmentName,
    *,
    until: datetime | None = None,
    upto: int | None = None,
) -> int:
    """Put what is booked in place of what the table says; return the set's version as booked."""
    found = book.of(environment, DECLARED, until=until, upto=upto)
    for flag, kept in cells.items():
        kept.pop(environment, None)
        row = found.rows.get(flag)
        if row is not None:
            kept[environment] = Cell(
                environment=environment,
                state=row.state,
                changed_at=body.parse_moment(row.changed_at),
                changed_by=row.changed_by,
                entry_seq=row.entry_seq,
                default=environment in DECLARED[flag].on_in,
            )
    return found.version


def flag_row(name: FlagName, environments: Iterable[EnvironmentName]) -> FlagRow:
    """Return one flag with its state in `environments`."""
    return next(row for row in grid(environments).rows if row.name is name)


def _row(flag: FlagName, cells: Mapping[EnvironmentName, Cell]) -> FlagRow:
    facts = DECLARED[flag]
    return FlagRow(
        name=flag,
        purpose=facts.purpose,
        when_off=facts.when_off,
        owner=facts.owner,
        cells=cells,
    )


def _cell(row: FlagState, environment: EnvironmentName) -> Cell:
    return Cell(
        environment=environment,
        state=State(
            on=row.on,
            percentage=row.percentage,
            groups=tuple(row.groups),
            version=row.version,
        ),
        changed_at=row.changed_at,
        changed_by=row.changed_by,
        entry_seq=row.entry_seq,
        default=environment in DECLARED[FlagName(row.flag_id)].on_in,
    )
