"""One look at an environment: each question is asked at most once, by whichever part needs it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from routing import wiring
from routing.access import queries as access
from routing.audit import queries as audit
from routing.audit.queries import EntryRow, Filters
from routing.core.decision import State
from routing.core.errors import NotFound
from routing.core.values import Action, EnvironmentName, Outcome, Path
from routing.decisions import queries as decisions
from routing.decisions.queries import Recent
from routing.flags import queries as flags
from routing.flags.queries import Grid
from routing.fleet import queries as fleet
from routing.fleet.queries import ProcessRow
from routing.health import queries as health

# What may have caused a state; accounts, roles and tokens cannot.
CHANGES = (
    "flag",
    "matrix",
    "compliance",
    "override",
    "breaker",
    "deployment",
    "rollback",
    "upstream",
    "support",
)
READ_ENTRIES = 50
CHART = timedelta(minutes=30)


class Reader(StrEnum):
    """Who reads a live part: those with the right to the audit trail learn who and why."""

    EVERYONE = "everyone"
    AUDIT = "audit"


class Look:
    """What is known of `environment` at `now`; answers are kept for the life of the look."""

    def __init__(
        self, environment: EnvironmentName, now: datetime, reader: Reader = Reader.EVERYONE
    ) -> None:
        self.environment = environment
        self.now = now
        self.reader = reader
        self._minutes: dict[Path, tuple[health.Minute, ...]] = {}

    @cached_property
    def paths(self) -> Mapping[Path, health.Row]:
        """Return the judgement of each path that was ever judged."""
        return {row.path: row for row in health.rows(self.environment)}

    @cached_property
    def recent(self) -> Recent:
        """Return the last 500 decisions."""
        return decisions.recent(self.environment)

    @cached_property
    def grid(self) -> Grid:
        """Return the flags of this environment."""
        return flags.grid((self.environment,))

    @cached_property
    def state(self) -> State:
        """Return what is in force."""
        return wiring.situation(self.environment, "")

    @cached_property
    def processes(self) -> tuple[ProcessRow, ...]:
        """Return the live processes of this environment."""
        return fleet.alive(self.environment, now=self.now)

    @cached_property
    def changes(self) -> tuple[EntryRow, ...]:
        """Return the latest booked changes that concern this environment, newest first."""
        return self.changes_between(None, None)

    def changes_between(
        self, since: datetime | None, until: datetime | None
    ) -> tuple[EntryRow, ...]:
        """Return booked changes from `since` to before `until`, newest first.

        The stand-ins serve all environments at once, so what befalls them is booked for none.
        """
        here = Filters(
            environment=self.environment, outcome=Outcome.DONE, since=since, until=until
        )
        shared = Filters(
            environment="",
            object_type="upstream",
            outcome=Outcome.DONE,
            since=since,
            until=until,
        )
        rows = [
            row
            for filters in (here, shared)
            for row in audit.page(filters=filters, size=READ_ENTRIES).rows
            if row.action.split(".")[0] in CHANGES and row.action != Action.FLAG_CREATE
        ]
        return tuple(sorted(rows, key=lambda row: -row.seq))

    def entry(self, seq: int) -> EntryRow | None:
        """Return one booked entry, None where it is not there."""
        try:
            return audit.entry(stream="control", seq=seq)
        except NotFound:
            return None

    def minutes(self, path: Path) -> tuple[health.Minute, ...]:
        """Return the minutes of `path` that the charts show."""
        if path not in self._minutes:
            since = self.now.replace(second=0, microsecond=0) - CHART
            self._minutes[path] = health.minutes(self.environment, path, since)
        return self._minutes[path]

    def names(self, rows: tuple[EntryRow, ...]) -> Mapping[str, str]:
        """Return the names of the people in `rows`."""
        return access.names({name for row in rows for name in (row.actor, row.object_id)})
