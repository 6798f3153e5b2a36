"""`manage.py approval_policy`: which flags need a second person, and needing more of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.approvals import queries
from routing.changes import approval_policy
from routing.core.flags import FlagName
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.management import base


class Command(base.OperatorCommand):
    help = (
        "Show which flags need a second person in an environment, or add one. To need fewer, "
        "propose it: `propose --policy`."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument(
            "--need",
            action="append",
            default=[],
            choices=[str(f) for f in FlagName],
            metavar="FLAG",
            help="need approval for this flag too; once for each",
        )
        parser.add_argument(
            "--reason", default="", help="why; 5 to 500 characters, required outside development"
        )
        parser.add_argument(
            "--typed-environment",
            default="",
            metavar="NAME",
            help="the environment's name once more; required for production",
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        environment = EnvironmentName(options["environment"])
        kept, entry = queries.policy(environment), None
        if options["need"]:
            done = approval_policy.apply(
                by=by,
                now=now,
                environment=environment,
                flags_needing=kept.flags | {FlagName(flag) for flag in options["need"]},
                base_version=kept.version,
                reason=options["reason"],
                typed_environment=options["typed_environment"],
            )
            kept, entry = done.policy, done.entry_seq
        return {
            "environment": str(environment),
            "version": kept.version,
            "flags": sorted(str(flag) for flag in kept.flags),
            "entry": entry,
        }
