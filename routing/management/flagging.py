"""What the commands that set a flag share: their options, and the one call behind them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing import wiring
from routing.changes import change
from routing.changes.change import Applied, SetFlag
from routing.core import propagation
from routing.core.flags import FlagName, parse_flag
from routing.core.guards import Cause
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


def set_flag(
    options: Mapping[str, Any],
    *,
    by: Actor,
    now: datetime,
    name: str,
    on: bool,
    percentage: int = 100,
    groups: tuple[str, ...] = (),
    base_version: int | None = None,
) -> Result:
    """Set one flag as `options` say; without `base_version`, from the version of this moment."""
    flag = parse_flag(name)
    environment = EnvironmentName(options["environment"])
    cause = options["cause"]
    wish = SetFlag(
        flag=flag,
        on=on,
        percentage=percentage,
        groups=groups,
        base_version=_version(flag, environment) if base_version is None else base_version,
    )
    done = change.apply(
        by=by,
        now=now,
        environment=environment,
        sets=[wish],
        reason=options["reason"],
        health=wiring.path_health(environment),
        cause=Cause(cause) if cause else None,
        confirmed=options["confirm"],
        typed_environment=options["typed_environment"],
    )
    return _result(environment, done)


def _version(flag: FlagName, environment: EnvironmentName) -> int:
    cell = queries.flag_row(flag, [environment]).cells.get(environment)
    return cell.state.version if cell else 0


def _result(environment: EnvironmentName, done: Applied) -> Result:
    (made,) = done.changes
    return {
        "environment": str(environment),
        "flag": str(made.flag),
        "on": made.after.on,
        "percentage": made.after.percentage,
        "groups": list(made.after.groups),
        "was_on": made.before.on,
        "was_percentage": made.before.percentage,
        "version": made.after.version,
        "flags_version": done.version,
        "entry": done.entry_seq,
    }
