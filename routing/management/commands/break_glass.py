"""`manage.py break_glass`: act without waiting for others, for at most 30 minutes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.changes import glass
from routing.core.errors import NotFound
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.glass import queries
from routing.glass.queries import GlassRow
from routing.management import base


class Command(base.OperatorCommand):
    help = (
        "Break the glass of an environment, end that early, or list the times before. While it "
        "is broken nothing waits for an approval or a lock; no guard is lifted, every entry is "
        "marked, and another person reviews it on the page."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=("list", "begin", "end"))
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument(
            "--minutes", type=int, default=15, metavar="1-30", help="begin: for at most so long"
        )
        parser.add_argument("--reason", default="", help="begin: why; 5 to 500 characters")
        parser.add_argument("--typed-environment", default="", metavar="NAME")

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> base.Result | Iterable[base.Result]:
        environment = EnvironmentName(options["environment"])
        if options["verb"] == "list":
            return [_told(row, now) for row in queries.latest(environment, 50)]
        if options["verb"] == "begin":
            made = glass.begin(
                by=by,
                now=now,
                environment=environment,
                minutes=options["minutes"],
                reason=options["reason"],
                typed_environment=options["typed_environment"],
            )
            return _told(made, now)
        held = glass.active(environment, now)
        if held is None:
            raise NotFound(f"The glass of {environment} is whole; there is nothing to end.")
        return _told(glass.end(by=by, now=now, environment=environment, id=held.id), now)

    def show(self, result: base.Result) -> str:
        until = "holds until" if result["holds"] else "was to hold until"
        read = "" if result["reviewed_by"] else "; its review is open"
        return (
            f"{result['id']:>5}  {until} {result['ends_at']} "
            f"(by {result['broken_by']}: {result['reason']}{read})"
        )


def _told(row: GlassRow, now: datetime) -> base.Result:
    return {
        "id": row.id,
        "environment": str(row.environment),
        "broken_at": row.broken_at.isoformat(),
        "broken_by": row.broken_by,
        "reason": row.reason,
        "ends_at": row.ends_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "holds": row.holds(now),
        "reviewed_by": row.reviewed_by,
        "review": row.review,
    }
