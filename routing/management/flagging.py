"""What the commands that set a flag share: their options, and the one call behind them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing import wiring
from routing.changes import change
from routing.changes.change import Applied, SetFlag
from routing.core.flags import FlagName, parse_flag
from routing.core.guards import Cause
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.flags import queries
from routing.management.base import Result


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
