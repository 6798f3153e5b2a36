"""The end of a change that holds for a while: asked for with it, planned in its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from routing import stream
from routing.core import plans
from routing.core.chain import Json
from routing.core.errors import Invalid
from routing.core.flags import FlagName, SetFlag
from routing.core.guards import Cause
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, PlanKind
from routing.schedule import store


def check(ends_at: datetime | None, now: datetime, cause: Cause | None = None) -> None:
    """Raise Invalid unless `ends_at`, if there is one, is 1 min to 7 days after `now`.

    With a cause there is none: what was closed without a second person opens by people alone.
    """
    if ends_at is None:
        return
    if cause is not None:
        raise Invalid(
            f"What is closed for {cause} stays closed until people open it; leave the end out.",
            field="ends_after",
        )
    if not plans.SHORTEST_END <= ends_at - now <= plans.LONGEST_END:
        raise Invalid(
            f"A change ends {words(plans.SHORTEST_END)} to {words(plans.LONGEST_END)} after it is "
            "made; choose such an end, or none.",
            field="ends_after",
        )


def facts(ends_at: datetime | None) -> dict[str, Json]:
    """Return the end as the change's entry tells it."""
    return {} if ends_at is None else {"ends_at": ends_at.isoformat()}


def are_soon(ends_at: datetime | None, now: datetime) -> bool:
    """Tell whether the end is near enough for what must not stay."""
    return ends_at is not None and ends_at - now <= plans.MONITORING_OFF_MOST


def are_missing(environment: EnvironmentName, sets: Sequence[SetFlag], *, ends_soon: bool) -> bool:
    """Tell whether `sets` leave monitoring off in production, for anybody, without an end soon.

    A change from off to off counts too: it would be another version, and the end of the first
    change would find nothing to put back.
    """
    return (
        environment is EnvironmentName.PRODUCTION
        and not ends_soon
        and any(
            one.flag is FlagName.MONITORING and (not one.on or one.percentage < 100)
            for one in sets
        )
    )


def plan(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    sets: Sequence[SetFlag],
    ends_at: datetime,
    entry_seq: int,
) -> None:
    """Plan that each of `sets` is put back at `ends_at`; `entry_seq` booked the change."""
    store.put(
        environment=environment,
        kind=PlanKind.END,
        sets=sets,
        due_at=ends_at,
        grace=timedelta(0),
        by=by,
        now=now,
        reason=f"The end of entry #{entry_seq} came.",
        asked_entry=entry_seq,
    )
    stream.announce("schedule", environment)


def words(span: timedelta) -> str:
    """Return a whole number of minutes, hours or days in words."""
    minutes = int(span.total_seconds() // 60)
    for size, unit in ((1440, "d"), (60, "h")):
        if minutes and minutes % size == 0:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"
