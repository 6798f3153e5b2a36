"""`manage.py create_token`: a token for a machine, its secret printed once."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from routing.access import tokens
from routing.access.tokens import Issued
from routing.core import allowance, values
from routing.core.allowance import Limits
from routing.core.errors import UnknownWord
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Operation, Role
from routing.management import base

MOST_DAYS = 365


class Command(base.OperatorCommand):
    help = "Make a token for one environment. Its secret is printed once."

    def add(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument("--role", required=True, choices=[str(r) for r in Role])
        parser.add_argument(
            "--operations",
            type=_operations,
            help="allowed operations, separated by commas; all but emergency without it",
        )
        parser.add_argument("--emergency", action="store_true", help="allow emergencies too")
        parser.add_argument("--name", default="made by create_token", help="who will use it")
        parser.add_argument("--tenant", default="default", help="whose requests these are")
        parser.add_argument(
            "--days", type=int, default=90, choices=range(1, MOST_DAYS + 1), metavar="1-365"
        )
        parser.add_argument(
            "--access-key", action="store_true", help="make a pair to sign with too, as boto3 does"
        )
        _add_limits(parser)
        parser.add_argument(
            "--reason", default="", help="why; required outside development, and booked"
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        made = tokens.issue(
            by=by,
            now=now,
            environment=EnvironmentName(options["environment"]),
            role=Role(options["role"]),
            name=options["name"],
            operations=options["operations"],
            emergency=options["emergency"],
            tenant=options["tenant"],
            limits=Limits(
                at_once=options["at_once"],
                per_second=options["per_second"],
                tokens_per_minute=options["tokens_per_minute"],
            ),
            expires_at=now + timedelta(days=options["days"]),
            access_key=options["access_key"],
            reason=options["reason"],
        )
        self.say("This secret is shown once; send it as `Authorization: Bearer ...`.")
        if made.access_key_id:
            self.say("So is the secret access key; an AWS client takes both as its credentials.")
        return _pair(made) | {
            "id": made.id,
            "secret": made.secret,
            "environment": str(made.environment),
            "role": str(made.role),
            "expires_at": made.expires_at.isoformat(),
        }


def _pair(made: Issued) -> dict[str, str]:
    if not made.access_key_id:
        return {}
    return {"access_key_id": made.access_key_id, "secret_access_key": made.secret_access_key}


def _add_limits(parser: CommandParser) -> None:
    usual = Limits()
    for name, words in (
        ("at_once", "requests under way at the same time"),
        ("per_second", "requests a second"),
        ("tokens_per_minute", "tokens of a model a minute"),
    ):
        default, most = getattr(usual, name), getattr(allowance.MOST, name)
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            default=default,
            metavar=f"1-{most}",
            help=f"{words}, in each process; {default} without it",
        )


def _operations(text: str) -> list[Operation]:
    """Read `a,b`; a word outside the vocabulary is misuse, and argparse shows the known ones."""
    try:
        return [values.parse(Operation, word.strip()) for word in text.split(",") if word.strip()]
    except UnknownWord as error:
        raise argparse.ArgumentTypeError(error.message) from error
