"""`manage.py propose`: a change of flags, or of what needs approval, for somebody to agree to."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from routing import wiring
from routing.approvals import queries as approvals
from routing.changes import proposal
from routing.core.approval import PolicyWish
from routing.core.errors import UnknownWord
from routing.core.flags import FlagName, SetFlag, parse_flag
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.flags import queries
from routing.management import base, flagging, proposing


class Command(base.OperatorCommand):
    help = (
        "Propose a change. Nothing in force changes: a person approves it on the page Approvals, "
        "and `proposal apply` puts it in force, within 24 h (or plans it for --at). "
        "Give --set once for each flag."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument(
            "--set",
            action="append",
            type=_set,
            metavar="FLAG=STATE",
            help="STATE is on, off, or the share of subjects, 1 to 99",
        )
        what.add_argument(
            "--policy",
            type=_flags,
            metavar="FLAGS",
            help="the flags that shall need approval, separated by commas; - for none",
        )
        parser.add_argument("--reason", required=True, help="why; whoever approves reads it")
        flagging.add_times(parser)

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        environment = EnvironmentName(options["environment"])
        policy = options["policy"]
        row = proposal.make(
            by=by,
            now=now,
            environment=environment,
            reason=options["reason"],
            sets=[_wish(said, environment) for said in options["set"] or ()],
            due=flagging.due(options),
            lasts=flagging.lasts(options),
            policy=PolicyWish(flags=policy, base_version=approvals.policy(environment).version)
            if policy is not None
            else None,
            health=wiring.path_health(environment),
        )
        return proposing.told(row)

    def show(self, result: base.Result) -> str:
        return proposing.in_words(result)


def _set(text: str) -> tuple[FlagName, int]:
    name, _, state = text.partition("=")
    shares = {"on": 100, "off": 0} | {str(share): share for share in range(1, 100)}
    if state not in shares:
        raise argparse.ArgumentTypeError(f"{text!r}: write FLAG=on, FLAG=off or FLAG=1 to 99")
    try:
        return parse_flag(name), shares[state]
    except UnknownWord as error:
        raise argparse.ArgumentTypeError(error.message) from error


def _flags(text: str) -> frozenset[FlagName]:
    try:
        return frozenset(parse_flag(name.strip()) for name in text.split(",") if name != "-")
    except UnknownWord as error:
        raise argparse.ArgumentTypeError(error.message) from error


def _wish(said: tuple[FlagName, int], environment: EnvironmentName) -> SetFlag:
    flag, share = said
    cell = queries.flag_row(flag, [environment]).cells.get(environment)
    if cell is None:
        raise CommandError(f"{flag} was not laid in {environment} yet; start the server once.")
    return SetFlag(
        flag=flag,
        on=share > 0,
        percentage=share or 100,
        base_version=cell.state.version,
    )
