"""`manage.py breaker`: look at the breakers, force one for a while, release it."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from routing import wiring
from routing.breakers import queries
from routing.breakers.queries import BreakerRow
from routing.changes import breaker
from routing.core.circuit import Forced
from routing.core.rights import Actor
from routing.core.values import Breaker, EnvironmentName, Path
from routing.fleet import queries as fleet
from routing.management import base

_FORCED: Mapping[str, Forced] = {"open": Breaker.FORCED_OPEN, "closed": Breaker.FORCED_CLOSED}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


def length(text: str) -> timedelta:
    """Read `90s`, `30m` or `4h`."""
    found = re.fullmatch(r"(\d{1,6})([smh])", text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no length of time; write 30m or 2h")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


class Command(base.OperatorCommand):
    help = "Show the breakers of an environment; force one open or closed for a while; release it."

    def add(self, parser: CommandParser) -> None:
        deeds = parser.add_subparsers(dest="deed", required=True, metavar="list|force|release")
        for deed in ("list", "force", "release"):
            own = deeds.add_parser(deed)
            own.add_argument(
                "--environment", required=True, choices=[str(e) for e in EnvironmentName]
            )
            own.add_argument("--json", action="store_true", help="print one JSON object per line")
            if deed != "list":
                _add_change(own)
            if deed == "force":
                _add_force(own)

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> base.Result | Iterable[base.Result]:
        environment = EnvironmentName(options["environment"])
        if options["deed"] == "list":
            row = fleet.environment(environment)
            keys = (queries.key(row, path) for path in Path)
            return [_told(queries.row(key, now=now)) for key in keys if key is not None]
        deed = _force if options["deed"] == "force" else _release
        done = deed(options, by, now, environment)
        return {
            **_told(done.after),
            "was": str(done.before.state),
            "entry": done.entry_seq,
        }


def _add_change(parser: CommandParser) -> None:
    parser.add_argument("--path", required=True, choices=[str(p) for p in Path])
    parser.add_argument("--reason", default="", help="why; 5 to 500 characters")
    parser.add_argument(
        "--typed-environment",
        default="",
        metavar="NAME",
        help="the environment's name once more; required for production",
    )


def _add_force(parser: CommandParser) -> None:
    parser.add_argument("--state", required=True, choices=list(_FORCED))
    parser.add_argument(
        "--for",
        required=True,
        dest="lasts",
        type=length,
        metavar="30m",
        help="it ends by itself after this; at most 4h",
    )
    parser.add_argument(
        "--confirm", action="store_true", help="go on although something stops; it is listed first"
    )


def _force(
    options: Mapping[str, Any], by: Actor, now: datetime, environment: EnvironmentName
) -> breaker.Done:
    path = Path(options["path"])
    return breaker.force(
        by=by,
        now=now,
        environment=environment,
        wish=breaker.Force(
            path=path,
            state=_FORCED[options["state"]],
            lasts=options["lasts"],
            base=breaker.current(environment, path, now=now).entry_seq,
        ),
        reason=options["reason"],
        health=wiring.path_health(environment),
        confirmed=options["confirm"],
        typed_environment=options["typed_environment"],
    )


def _release(
    options: Mapping[str, Any], by: Actor, now: datetime, environment: EnvironmentName
) -> breaker.Done:
    path = Path(options["path"])
    return breaker.release(
        by=by,
        now=now,
        environment=environment,
        path=path,
        base=breaker.current(environment, path, now=now).entry_seq,
        reason=options["reason"],
        typed_environment=options["typed_environment"],
    )


def _told(row: BreakerRow) -> base.Result:
    return {
        "environment": str(row.key.environment),
        "path": str(row.key.path),
        "target": row.key.target,
        "state": str(row.state),
        "since": row.since and row.since.isoformat(),
        "why": str(row.why or ""),
        "ends_at": row.ends_at and row.ends_at.isoformat(),
        "by": row.by,
        "reason": row.reason,
        "trips_24h": row.trips,
        "generation": row.generation,
    }
