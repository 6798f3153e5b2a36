"""`manage.py proposal`: list proposals, apply an approved one, end one; never approve one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from routing import wiring
from routing.approvals import queries
from routing.changes import proposal
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.management import base, proposing

SHOWN = 50


class Command(base.OperatorCommand):
    help = (
        "List the last proposals, apply one that a person has approved, withdraw or reject one. "
        "A shell is never the second pair of eyes: approving is refused."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=("list", "approve", "apply", "withdraw", "reject"))
        parser.add_argument("number", nargs="?", type=int, help="which; not for list")
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument("--reason", default="", help="why; required to reject")
        parser.add_argument(
            "--confirm", action="store_true", help="apply: go on although something stops"
        )
        parser.add_argument(
            "--typed-environment",
            default="",
            metavar="NAME",
            help="apply: the environment's name once more; required for production",
        )

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> base.Result | Iterable[base.Result]:
        environment, verb = EnvironmentName(options["environment"]), options["verb"]
        if verb == "list":
            return [proposing.told(row) for row in queries.latest(environment, SHOWN)]
        if options["number"] is None:
            raise CommandError(f"`proposal {verb}` needs a number.", returncode=2)
        asked: dict[str, Any] = {
            "by": by,
            "now": now,
            "environment": environment,
            "number": options["number"],
        }
        if verb in ("approve", "apply"):
            asked["digest"] = queries.proposal(environment, options["number"]).digest
        if verb == "apply":
            proposal.apply(
                health=wiring.path_health(environment),
                confirmed=options["confirm"],
                typed_environment=options["typed_environment"],
                **asked,
            )
        elif verb == "approve":
            proposal.approve(note=options["reason"], **asked)
        elif verb == "withdraw":
            proposal.withdraw(reason=options["reason"], **asked)
        else:
            proposal.reject(reason=options["reason"], **asked)
        return proposing.told(queries.proposal(environment, options["number"]))

    def show(self, result: base.Result) -> str:
        return proposing.in_words(result)
