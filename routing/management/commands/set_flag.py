"""`manage.py set_flag`: flags on or off in one environment, now or later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from routing.core.flags import SetFlag
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.management import base, flagging


class Command(base.OperatorCommand):
    help = (
        "Set one flag or several in one environment, now or later, for good or for a while. What "
        "it would stop is listed and needs --confirm; what a rule forbids is refused by name. "
        "Several are set together or not at all, under one audit entry."
    )

    def add(self, parser: CommandParser) -> None:
        flagging.add_options(parser)
        flagging.add_wait(parser, 2.5)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--flag", metavar="NAME", help="see `manage.py flags`; with --on, --off"
        )
        which.add_argument(
            "--set",
            dest="sets",
            metavar="NAME=on,NAME=off,NAME=30%",
            help="several flags at once, each with its state",
        )
        state = parser.add_mutually_exclusive_group()
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
            help="with --flag: refuse unless the flag is still at this version",
        )
        flagging.add_times(parser)
        parser.add_argument(
            "--preview",
            action="store_true",
            help="only tell what it would stop, and what it would have done to the last 500 "
            "decisions",
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> Iterable[base.Result]:
        sets = _wishes(options)
        if options["preview"]:
            return [flagging.effect(options, by=by, now=now, sets=sets)]
        results = list(flagging.make(options, by=by, now=now, sets=sets))
        if options["at"]:
            return results
        try:
            spread = flagging.spread(EnvironmentName(options["environment"]), options["wait"])
        except (OperationalError, InterfaceError):
            spread = None  # the change is made, whatever becomes of the question after it
        return [{**one, "propagation": spread} for one in results]

    def show(self, result: base.Result) -> str:
        if "words" in result:
            stops = [f"  - {effect}" for effect in result["effects"]]
            return "\n".join(
                [f"{result['answer']}: {result['sentence']}", *stops, *result["words"]]
            )
        if "due_at" in result:
            return f"planned for {result['at']} as {result['id']} (audit entry {result['entry']})"
        was, is_now = (
            _word(result["was_on"], result["was_percentage"]),
            _word(result["on"], result["percentage"]),
        )
        if result["groups"]:
            is_now = f"{is_now} and {', '.join(result['groups'])}"
        spread = result["propagation"]
        until = f", until {result['ends_at']}" if result["ends_at"] else ""
        return (
            f"{result['flag']} in {result['environment']}: {was} -> {is_now}{until} "
            f"(version {result['version']}, flags at {result['flags_version']}, "
            f"audit entry {result['entry']})"
            + (f"\n{flagging.in_words(spread)}" if spread else "")
        )


def _wishes(options: Mapping[str, Any]) -> list[SetFlag]:
    environment = EnvironmentName(options["environment"])
    if options["sets"] is not None:
        if options["on"] is not None or options["base_version"] is not None:
            raise CommandError(
                "With --set each flag has its own state: leave --on, --off, --base-version out.",
                returncode=2,
            )
        pairs = [one.partition("=") for one in options["sets"].split(",")]
        return [flagging.wish(name.strip(), state, environment) for name, _, state in pairs]
    if options["on"] is None:
        raise CommandError("Say --on or --off.", returncode=2)
    one = flagging.wish(
        options["flag"],
        "on" if options["on"] else "off",
        environment,
        options["base_version"],
    )
    groups, percentage = tuple(options["groups"]), options["percentage"]
    if percentage is None:
        percentage = 0 if groups else 100
    return [replace(one, percentage=percentage, groups=groups)]


def _word(on: bool, percentage: int) -> str:
    if not on:
        return "off"
    return "on" if percentage == 100 else f"on for {percentage} %"
