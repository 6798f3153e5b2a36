"""One look at an environment: each question is asked at most once, by whichever part needs it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

from routing import wiring
from routing.access import queries as access
from routing.audit import queries as audit
from routing.audit.queries import EntryRow, Filters
from routing.breakers import queries as breakers
from routing.breakers.queries import BreakerRow
from routing.core.budget import Standing
from routing.core.decision import State
from routing.core.errors import NotFound
from routing.core.flags import NOBODY
from routing.core.propagation import Propagation
from routing.core.values import Action, EnvironmentName, Outcome, Path
from routing.cost import queries as costs
from routing.cost.queries import Policy, Sheet
from routing.decisions import queries as decisions
from routing.decisions.queries import Recent
from routing.deployments import desired
from routing.deployments.desired import Desired
from routing.flags import queries as flags
from routing.flags.queries import Grid
from routing.fleet import queries as fleet
from routing.health import queries as health
from routing.matrix import queries as matrices
from routing.matrix.queries import OverrideRow

# What the feed tells of; accounts, roles and tokens are not among it.
_OBJECTS = (
    "flag",
    "kill",
    "standby",
    "matrix",
    "compliance",
    "cost",
    "budget",
    "override",
    "breaker",
    "deployment",
    "rollback",
    "upstream",
    "support",
    "schedule",
    "glass",
)
# Left out: what only looks, the steps of a run and its close. What a step writes is booked beside
# it, as the change that it is.
_NO_NEWS = frozenset(
    {
        Action.FLAG_CREATE,
        Action.SUPPORT_AUDIT,
        Action.DEPLOYMENT_STEP,
        Action.DEPLOYMENT_CLOSED,
        Action.ROLLBACK_STEP,
        Action.SCHEDULE_SEE,
    }
)
# How a run ended is news when it ended badly too, and by itself it changed nothing.
_ENDS = frozenset(
    {
        Action.DEPLOYMENT_JUDGED,
        Action.DEPLOYMENT_CANCEL,
        Action.ROLLBACK_REFUSED,
        Action.ROLLBACK_END,
        Action.SCHEDULE_FAIL,
    }
)
# Nor did these; a plan that is confirmed may yet be refused.
_NO_CAUSE = _ENDS | {
    Action.BUDGET_ALERT,
    Action.DEPLOYMENT_IMPORT,
    Action.HISTORY_LAY,
    Action.ROLLBACK_PLAN,
    Action.SCHEDULE_SET,
    Action.SCHEDULE_CANCEL,
    Action.SCHEDULE_DROP,
    Action.SCHEDULE_SEE,
    Action.GLASS_BREAK,
    Action.GLASS_END,
    Action.GLASS_REVIEW,
}
_DONE = tuple(
    action for action in Action if action.split(".")[0] in _OBJECTS and action not in _NO_NEWS
)
_CAUSES = tuple(action for action in _DONE if action not in _NO_CAUSE)
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
    def desired(self) -> Desired:
        """Return what the flags should be."""
        return desired.of(self.environment)

    @cached_property
    def state(self) -> State:
        """Return what is in force."""
        return wiring.situation(self.environment, NOBODY)

    @cached_property
    def overrides(self) -> tuple[OverrideRow, ...]:
        """Return the overrides that nobody has booked the end of."""
        return matrices.current().overrides_of(self.environment).rows

    @cached_property
    def breakers(self) -> tuple[BreakerRow, ...]:
        """Return the breaker of each path that is configured."""
        try:
            row = fleet.environment(self.environment)
        except NotFound:
            return ()
        keys = (breakers.key(row, path) for path in Path)
        return tuple(breakers.row(key, now=self.now) for key in keys if key is not None)

    @cached_property
    def policy(self) -> Policy:
        """Return the prices and limits in force."""
        return costs.inforce(self.environment)

    @cached_property
    def budgets(self) -> tuple[Standing, ...]:
        """Return how far each limit is reached."""
        return costs.standings(self.environment, self.policy, self.now)

    @cached_property
    def spent(self) -> Sheet:
        """Return what requests cost."""
        return costs.sheet(self.environment, self.now)

    @cached_property
    def spread(self) -> Propagation:
        """Return which processes run the newest flags of this environment."""
        return wiring.propagation(self.environment)

    @cached_property
    def changes(self) -> tuple[EntryRow, ...]:
        """Return the latest booked changes that concern this environment, newest first.

        Among them is how a run ended, refused or failed too.
        """
        here = self._done(_DONE, None, None)
        ends = Filters(environment=self.environment, actions=_ENDS)
        ended = (
            row
            for row in audit.page(filters=ends, size=READ_ENTRIES).rows
            # One that never began is booked for the environment, not for a run.
            if row.outcome != Outcome.DONE and row.object_id != self.environment
        )
        return tuple(sorted((*here, *ended), key=lambda row: -row.seq))

    def causes_between(self, since: datetime, until: datetime) -> tuple[EntryRow, ...]:
        """Return what changed something from `since` to before `until`, newest first."""
        return self._done(_CAUSES, since, until)

    def _done(
        self, actions: Collection[Action], since: datetime | None, until: datetime | None
    ) -> tuple[EntryRow, ...]:
        """Return what was done, newest first.

        The stand-ins serve all environments at once, so what befalls them is booked for none.
        """
        asked = Filters(actions=actions, outcome=Outcome.DONE, since=since, until=until)
        here = replace(asked, environment=self.environment)
        shared = replace(asked, environment="", object_type="upstream")
        rows = [
            row
            for filters in (here, shared)
            for row in audit.page(filters=filters, size=READ_ENTRIES).rows
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
