"""`manage.py waffle_flag`: Waffle's command, made to go through ours.

A flag is on or off per environment, by a booked change. Waffle's other switches have no meaning
here and are refused, not ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.core.errors import Invalid
from routing.core.flags import FlagName
from routing.core.rights import Actor
from routing.management import base, flagging

# Waffle's options by the name argparse stores them under, with their value when not given.
MEANINGLESS: Mapping[str, Any] = {
    "percent": None,
    "superusers": False,
    "staff": False,
    "authenticated": False,
    "group": [],
    "user": [],
    "append": False,
    "rollout": False,
    "testing": False,
    "create": False,
}


class Command(base.OperatorCommand):
    help = "Set a flag for everyone in one environment, as `set_flag` does."

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="the flag")
        parser.add_argument("-l", "--list", dest="list_flags", action="store_true")
        state = parser.add_mutually_exclusive_group()
        state.add_argument("--everyone", dest="everyone", action="store_true", default=None)
        state.add_argument("--deactivate", dest="everyone", action="store_false")
        flagging.add_options(parser, required=False)
        refused = parser.add_argument_group("refused", "Waffle's own state has no say here.")
        refused.add_argument("-p", "--percent")
        refused.add_argument("-g", "--group", action="append", default=[])
        refused.add_argument("-u", "--user", action="append", default=[])
        for name, short in (("rollout", "-r"), ("testing", "-t")):
            refused.add_argument(short, f"--{name}", action="store_true")
        for name in ("superusers", "staff", "authenticated", "append", "create"):
            refused.add_argument(f"--{name}", action="store_true")

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> base.Result | Iterable[base.Result]:
        if options["list_flags"]:
            return ({"flag": str(flag)} for flag in FlagName)
        given = [f"--{name}" for name, unset in MEANINGLESS.items() if options[name] != unset]
        if given:
            raise Invalid(
                f"{', '.join(given)}: Waffle's own state has no say here. Use --everyone or "
                "--deactivate, or `manage.py set_flag --percentage`."
            )
        if not options["name"] or options["everyone"] is None or not options["environment"]:
            raise Invalid(
                "Name the flag, --everyone or --deactivate, and the --environment; flags differ "
                "per environment."
            )
        return flagging.set_flag(
            options, by=by, now=now, name=options["name"], on=options["everyone"]
        )
