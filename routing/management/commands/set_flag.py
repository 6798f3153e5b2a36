"""`manage.py set_flag`: one flag on or off in one environment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.core.rights import Actor
from routing.management import base, flagging


class Command(base.OperatorCommand):
    help = (
        "Set one flag in one environment. What it would stop is listed and needs --confirm; "
        "what a rule forbids is refused by name."
    )

    def add(self, parser: CommandParser) -> None:
        flagging.add_options(parser)
        parser.add_argument("--flag", required=True, metavar="NAME", help="see `manage.py flags`")
        state = parser.add_mutually_exclusive_group(required=True)
        state.add_argument("--on", dest="on", action="store_true", default=None)
        state.add_argument("--off", dest="on", action="store_false")
        parser.add_argument(
            "--percentage",
            type=int,
            metavar="0-100",
            help="with --on: for this share of subjects; 100, or 0 where groups are named",
        )
        parser.add_argument(
            "--group",
            dest="groups",
            action="append",
            default=[],
            metavar="KIND:NAME",
            help="with --on: for these callers too, by their token: tenant:NAME, token:NAME or "
            "role:NAME; may be given more than once",
        )
        parser.add_argument(
            "--base-version",
            type=int,
            metavar="N",
            help="refuse unless the flag is still at this version",
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        groups, percentage = tuple(options["groups"]), options["percentage"]
        if percentage is None:
            percentage = 0 if groups else 100
        return flagging.set_flag(
            options,
            by=by,
            now=now,
            name=options["flag"],
            on=options["on"],
            percentage=percentage,
            groups=groups,
            base_version=options["base_version"],
        )

    def show(self, result: base.Result) -> str:
        was = _word(result["was_on"], result["was_percentage"])
        is_now = _word(result["on"], result["percentage"])
        if result["groups"]:
            is_now = f"{is_now} and {', '.join(result['groups'])}"
        return (
            f"{result['flag']} in {result['environment']}: {was} -> {is_now} "
            f"(version {result['version']}, flags at {result['flags_version']}, "
            f"audit entry {result['entry']})"
        )


def _word(on: bool, percentage: int) -> str:
    if not on:
        return "off"
    return "on" if percentage == 100 else f"on for {percentage} %"
