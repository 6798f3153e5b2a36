"""`manage.py set_route`: which path serves an operation in one environment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.changes import route
from routing.changes.route import SetRoute
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Operation, Path
from routing.management import base
from routing.matrix import codec, store

NONE = "none"


class Command(base.OperatorCommand):
    help = "Publish a matrix in which OPERATION takes other paths; what it would stop is listed."

    def add(self, parser: CommandParser) -> None:
        paths = [str(p) for p in Path]
        parser.add_argument("operation", choices=[str(o) for o in Operation])
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument("--primary", choices=paths, help="as it is, if left out")
        parser.add_argument("--fallback", choices=[*paths, NONE], help="as it fits, if left out")
        parser.add_argument("--reason", default="", help="required outside development")
        parser.add_argument(
            "--confirm", action="store_true", help="go on although something stops"
        )
        parser.add_argument("--typed-environment", default="", metavar="NAME")
        parser.add_argument("--base-version", type=int, metavar="N")

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        environment = EnvironmentName(options["environment"])
        inforce = store.read(environment)
        row = inforce.rows[Operation(options["operation"])]
        primary = Path(options["primary"] or row.primary)
        published = route.apply(
            by=by,
            now=now,
            environment=environment,
            route=SetRoute(
                operation=row.operation,
                primary=primary,
                fallback=_fallback(options["fallback"], primary, row.fallback),
                base_version=options["base_version"] or inforce.version,
            ),
            reason=options["reason"],
            confirmed=options["confirm"],
            typed_environment=options["typed_environment"],
        )
        return {
            "environment": str(environment),
            "operation": str(row.operation),
            "version": published.version,
            "before": codec.encode_row(published.before),
            "after": codec.encode_row(published.after),
            "entry": published.entry_seq,
        }


def _fallback(said: str | None, primary: Path, was: Path | None) -> Path | None:
    """What is left out follows: no fallback stays none, another one becomes the other path."""
    if said is not None:
        return None if said == NONE else Path(said)
    if was is None:
        return None
    return Path.MCP if primary is Path.DIRECT_BEDROCK else Path.DIRECT_BEDROCK
