"""What the commands that set flags share: their options, and the one call behind them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from routing import wiring
from routing.changes import change, preview, proposal, schedule, wall
from routing.changes.change import Applied
from routing.changes.schedule import Booked
from routing.core import plans, propagation
from routing.core.errors import Invalid
from routing.core.flags import FlagName, SetFlag, parse_flag
from routing.core.guards import Cause
from routing.core.plans import Due
from routing.core.propagation import Propagation
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.flags import queries
from routing.management.base import Result

LOOK_EVERY_S = 0.05


def add_options(parser: CommandParser, *, required: bool = True) -> None:
    """Add where, why and how sure."""
    parser.add_argument(
        "--environment", required=required, choices=[str(e) for e in EnvironmentName]
    )
    parser.add_argument(
        "--reason", default="", help="why; 5 to 500 characters, required outside development"
    )
    parser.add_argument(
        "--confirm", action="store_true", help="go on although something stops; it is listed first"
    )
    parser.add_argument(
        "--typed-environment",
        default="",
        metavar="NAME",
        help="the environment's name once more; required for production",
    )
    parser.add_argument(
        "--cause",
        choices=[str(c) for c in Cause],
        help="a path goes off for this: never refused, only confirmed",
    )


def add_wait(parser: CommandParser, seconds: float) -> None:
    """Add how long to wait for the processes."""
    parser.add_argument(
        "--wait",
        type=float,
        default=seconds,
        metavar="S",
        help=f"wait so long until every process runs the newest flags; {seconds:g} without it",
    )


def spread(environment: EnvironmentName, wait_s: float) -> Result:
    """Return who runs the newest flags, once all do or `wait_s` are over."""
    ends = time.monotonic() + wait_s
    while True:
        told = wiring.propagation(environment)
        if not told.laggards or time.monotonic() >= ends:
            return _spread(environment, told)
        time.sleep(LOOK_EVERY_S)


def _spread(environment: EnvironmentName, told: Propagation) -> Result:
    return {
        "environment": str(environment),
        "version": told.version,
        "sentence": propagation.sentence(told),
        "complete": told.complete,
        "processes": told.of,
        "have": list(told.have),
        "laggards": [
            {"process": one.process, "version": one.version, "behind_s": round(one.behind_s, 3)}
            for one in told.laggards
        ],
        "gone": [
            {"process": one.process, "version": one.version, "silent_s": round(one.silent_s, 3)}
            for one in told.gone
        ],
        "took_s": told.took_s if told.took_s is None else round(told.took_s, 3),
    }


def in_words(told: Result) -> str:
    """Return `told` as lines: the sentence, who lags, who is gone."""
    lines = [f"{told['sentence']}."]
    lines += [
        f"  {one['process']} still runs version {one['version']}, {one['behind_s']:.1f} s after "
        "the change"
        for one in told["laggards"]
    ]
    lines += [
        f"  {one['process']} is gone: version {one['version']}, silent for {one['silent_s']:.0f} s"
        for one in told["gone"]
    ]
    return "\n".join(lines)


def add_times(parser: CommandParser) -> None:
    """Add when, and for how long."""
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="not now but then, as in 2027-03-28T14:30; see `manage.py schedule`",
    )
    parser.add_argument(
        "--zone", default="UTC", help="the time zone of --at, such as Europe/Berlin; UTC without"
    )
    parser.add_argument(
        "--which",
        choices=(wall.FIRST, wall.SECOND),
        default="",
        help="which of the two, for a time that comes twice",
    )
    parser.add_argument(
        "--grace-minutes",
        type=int,
        default=int(plans.GRACE.total_seconds() // 60),
        metavar="1-720",
        help="with --at: how late it may still be made after a downtime; 15 without",
    )
    parser.add_argument(
        "--ends-after",
        type=int,
        metavar="MINUTES",
        help="go back by itself after so long; 1 to 10080",
    )


def wish(name: str, state: str, environment: EnvironmentName, base: int | None = None) -> SetFlag:
    """Return the wish to set the flag `name` to `state`: on, off, or a share such as 30%.

    Without `base`, from the version of this moment. Raises UnknownWord and Invalid.
    """
    flag = parse_flag(name)
    share = state.removesuffix("%")
    if state not in ("on", "off") and not (share != state and share.isdecimal()):
        raise Invalid(f"{state!r} is no state of a flag; write NAME=on, NAME=off or NAME=30%.")
    return SetFlag(
        flag=flag,
        on=state != "off",
        percentage=int(share) if share != state else 100,
        base_version=_version(flag, environment) if base is None else base,
    )


def make(
    options: Mapping[str, Any], *, by: Actor, now: datetime, sets: Sequence[SetFlag]
) -> Iterator[Result]:
    """Make the change that `options` tell of, or plan it; one result for each flag of it."""
    environment = EnvironmentName(options["environment"])
    cause, at, span = options["cause"], due(options), lasts(options)
    asked: dict[str, Any] = {
        "by": by,
        "now": now,
        "environment": environment,
        "sets": sets,
        "reason": options["reason"],
        "health": wiring.path_health(environment),
        "cause": Cause(cause) if cause else None,
        "confirmed": options["confirm"],
        "typed_environment": options["typed_environment"],
    }
    if at is not None:
        return iter([planned(schedule.apply(when=proposal.when(at, span), **asked))])
    ends_at = None if span is None else now + span
    return _results(environment, change.apply(ends_at=ends_at, **asked), ends_at)


def due(options: Mapping[str, Any]) -> Due | None:
    """Return the time that `options` tell of, None for now; raises Invalid."""
    if not options.get("at"):  # some commands have no such options
        return None
    grace = timedelta(minutes=options["grace_minutes"])
    return wall.due(options["at"], options["zone"], options["which"], grace=grace)


def lasts(options: Mapping[str, Any]) -> timedelta | None:
    """Return how long the change that `options` tell of holds, None for good."""
    minutes = options.get("ends_after")
    return timedelta(minutes=minutes) if minutes is not None else None


def effect(
    options: Mapping[str, Any], *, by: Actor, now: datetime, sets: Sequence[SetFlag]
) -> Result:
    """Return what making the change would do; nothing is written."""
    environment = EnvironmentName(options["environment"])
    cause, minutes = options["cause"], options["ends_after"]
    judged = change.preview(
        by=by,
        now=now,
        environment=environment,
        sets=sets,
        health=wiring.path_health(environment),
        cause=Cause(cause) if cause else None,
        ends_at=now + timedelta(minutes=minutes) if minutes is not None else None,
    )
    found = preview.of_flags(environment, sets)
    return {
        "environment": str(environment),
        "answer": str(judged.answer),
        "rule": judged.rule,
        "sentence": judged.sentence,
        "effects": list(judged.effects),
        "decisions": found.effect.total,
        "changed": found.effect.changed,
        "no_path": found.effect.stranded,
        "unknown_outcome": found.effect.unknown,
        "in_time": found.in_time,
        "older_versions": found.older,
        "words": list(preview.told(found)),
    }


def set_flag(
    options: Mapping[str, Any], *, by: Actor, now: datetime, name: str, on: bool
) -> Result:
    """Set one flag as `options` say, from the version of this moment."""
    environment = EnvironmentName(options["environment"])
    sets = [wish(name, "on" if on else "off", environment)]
    (result,) = make(options, by=by, now=now, sets=sets)
    return result


def planned(booked: Booked) -> Result:
    """Return a planned change as the commands print it."""
    row = booked.row
    return {
        "id": row.id,
        "environment": str(row.environment),
        "kind": str(row.kind),
        "state": str(row.state),
        "sets": [
            {
                "flag": str(one.flag),
                "on": one.on,
                "percentage": one.percentage,
                "groups": list(one.groups),
            }
            for one in row.sets
        ],
        "due_at": row.due_at.isoformat(),
        "at": wall.words(row.due_at, row.zone),
        "lasts_s": None if row.lasts is None else int(row.lasts.total_seconds()),
        "reason": row.reason,
        "asked_by": row.asked_by,
        "closed_at": row.closed_at.isoformat() if row.closed_at else None,
        "because": row.closed_because,
        "entry": booked.entry_seq,
    }


def _version(flag: FlagName, environment: EnvironmentName) -> int:
    cell = queries.flag_row(flag, [environment]).cells.get(environment)
    return cell.state.version if cell else 0


def _results(
    environment: EnvironmentName, done: Applied, ends_at: datetime | None
) -> Iterator[Result]:
    for made in done.changes:
        yield {
            "environment": str(environment),
            "flag": str(made.flag),
            "on": made.after.on,
            "percentage": made.after.percentage,
            "groups": list(made.after.groups),
            "was_on": made.before.on,
            "was_percentage": made.before.percentage,
            "version": made.after.version,
            "flags_version": done.version,
            "ends_at": ends_at.isoformat() if ends_at else None,
            "entry": done.entry_seq,
        }
