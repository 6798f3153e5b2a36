"""`manage.py override`: send one operation to a path for a while, or end that."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from routing import wiring
from routing.changes import override
from routing.changes.override import Booked, SetOverride
from routing.core.errors import Invalid, NotFound
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Operation, Path
from routing.management import base
from routing.matrix import overrides
from routing.matrix.overrides import OverrideRow


class Command(base.OperatorCommand):
    help = (
        "List the overrides of an environment, set one with an end within 4 h, or end one early."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=("list", "set", "end"))
        parser.add_argument("operation", nargs="?", choices=[str(o) for o in Operation])
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument(
            "--path", choices=[str(p) for p in Path], help="set: where the operation begins"
        )
        parser.add_argument(
            "--minutes", type=_minutes, default=60, metavar="1-240", help="set: until its end"
        )
        parser.add_argument(
            "--reason", default="", help="why; 5 to 500 characters, required to set one"
        )
        parser.add_argument(
            "--confirm", action="store_true", help="go on although something stops"
        )
        parser.add_argument("--typed-environment", default="", metavar="NAME")

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> base.Result | Iterable[base.Result]:
        environment = EnvironmentName(options["environment"])
        if options["verb"] == "list":
            return [_told(row, now) for row in overrides.latest(environment, 50)]
        if options["operation"] is None:
            raise Invalid(f"Name the operation: `override {options['verb']} OPERATION ...`.")
        do = _set if options["verb"] == "set" else _end
        done = do(options, by, now, environment)
        return {**_told(done.row, now), "entry": done.entry_seq}

    def show(self, result: base.Result) -> str:
        until = f"until {result['ends_at']}" if result["holds"] else f"ended {result['ended_at']}"
        return (
            f"{result['operation']:<20} {result['path']:<16} {until} "
            f"(by {result['set_by']}: {result['reason']})"
        )


def _minutes(text: str) -> int:
    minutes = int(text)
    if not 1 <= minutes <= override.LONGEST.total_seconds() // 60:
        raise argparse.ArgumentTypeError("give 1 to 240 minutes")
    return minutes


def _set(
    options: Mapping[str, Any], by: Actor, now: datetime, environment: EnvironmentName
) -> Booked:
    if options["path"] is None:
        raise Invalid("Name the path: --path direct_bedrock or --path mcp.")
    return override.apply(
        by=by,
        now=now,
        environment=environment,
        wish=SetOverride(
            operation=Operation(options["operation"]),
            path=Path(options["path"]),
            ends_at=now + timedelta(minutes=options["minutes"]),
        ),
        reason=options["reason"],
        health=wiring.path_health(environment),
        confirmed=options["confirm"],
        typed_environment=options["typed_environment"],
    )


def _end(
    options: Mapping[str, Any], by: Actor, now: datetime, environment: EnvironmentName
) -> Booked:
    held = [r for r in overrides.open_ones(environment) if r.operation == options["operation"]]
    if not held:
        raise NotFound(
            f"{options['operation']} has no override in {environment}; `override list` shows all."
        )
    return override.end(
        by=by,
        now=now,
        environment=environment,
        id=held[0].id,
        reason=options["reason"],
        confirmed=options["confirm"],
        typed_environment=options["typed_environment"],
    )


def _told(row: OverrideRow, now: datetime) -> base.Result:
    return {
        "id": row.id,
        "environment": str(row.environment),
        "operation": str(row.operation),
        "path": str(row.path),
        "reason": row.reason,
        "set_at": row.set_at.isoformat(),
        "set_by": row.set_by,
        "ends_at": row.ends_at.isoformat(),
        "holds": row.holds(now),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "ended_by": row.ended_by,
        "ended_because": row.ended_because,
    }
