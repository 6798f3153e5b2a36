"""What stands above everything else on a page: kill files, and a database that is not seen.

All of it is told from memory, so that it is shown while the database is away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboard.cards.overview import OpenItem
from routing.core import killing, situation_facts, standing
from routing.core.decision import Kill
from routing.core.killing import Order
from routing.core.standing import Standing
from routing.core.values import EnvironmentName

REMEMBERED = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One banner; `level` is a word of health, `mend` what would end it."""

    level: str
    text: str
    more: tuple[str, ...]
    mend: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """The banners of one environment, the gravest first; mostly none."""

    environment: str
    banners: tuple[Alarm, ...]
    now: datetime


def alarms(
    environment: EnvironmentName,
    *,
    order: Order | None,
    strangers: Sequence[str],
    told: Standing | None,
    now: datetime,
) -> Alarms:
    """Word what overrides or ages all that the rest of the page says."""
    found = [_kill(environment, order)] if order else []
    if strangers:
        found.append(_strangers(strangers))
    if told is not None and told.stale:
        found.append(_stale(environment, told, now))
    return Alarms(environment=str(environment), banners=tuple(found), now=now)


def _kill(environment: EnvironmentName, order: Order) -> Alarm:
    effect = killing.EFFECTS[order.kill]
    problem = order.said.problem
    return Alarm(
        level="unhealthy" if order.kill is Kill.STOP else "degraded",
        text=f"The kill file of {environment} says {order.kill}: {effect}"
        if not problem
        else f"The kill file of {environment} is not understood: {effect}",
        more=(f"{problem[0].upper()}{problem[1:]}.",) if problem else (),
        mend=f"Flags, matrix and overrides wait until HYBRIDOPS_HOME/kill/{environment} is "
        "removed from this server.",
        since=order.since,
    )


def _strangers(names: Sequence[str]) -> Alarm:
    files = situation_facts.join([f"kill/{name}" for name in names])
    verb = "names" if len(names) == 1 else "name"
    return Alarm(
        level="degraded",
        text=f"{files} {verb} no environment, and nobody obeys it",
        more=(),
        mend=f"Name it {', '.join(EnvironmentName)}, or remove it.",
    )


def _stale(environment: EnvironmentName, told: Standing, now: datetime) -> Alarm:
    problems = told.of(environment)
    since = None if told.age_s is None else now - timedelta(seconds=int(told.age_s))
    return Alarm(
        level="unhealthy" if problems else "degraded",
        text=standing.sentence(told),
        more=tuple(f"{one.text()[0].upper()}{one.text()[1:]}." for one in problems),
        mend="Requests are routed and booked on disk meanwhile; nothing can be changed until the "
        "database is back.",
        since=since,
    )


def standing_items(
    environment: EnvironmentName, told: Standing | None, now: datetime
) -> tuple[OpenItem, ...]:
    """Return what somebody should look into after a start without the database."""
    if told is None or told.began_at is None:
        return ()
    if told.ended_at is not None and now - told.ended_at > REMEMBERED:
        return ()
    began = situation_facts.clock(told.began_at, now)
    ended = "now" if told.ended_at is None else situation_facts.clock(told.ended_at, now)
    return tuple(
        OpenItem(
            text=f"From {began} to {ended} {environment} was not served from what was last known: "
            f"{one.text()}.",
            route="audit",
        )
        for one in told.of(environment)
    )
