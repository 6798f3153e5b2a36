"""`manage.py create_user`: an account with its roles and a generated password."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from routing.access import people
from routing.core.errors import NotFound
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Role
from routing.fleet import queries
from routing.management import base

ALL = "all"


class Command(base.OperatorCommand):
    help = (
        "Make an account. Give --role and --environment once for each role, in pairs: "
        "--role admin --environment development --role viewer --environment production. "
        "The generated password is printed once."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("--username", required=True)
        parser.add_argument(
            "--role", required=True, action="append", choices=[str(r) for r in Role]
        )
        parser.add_argument(
            "--environment",
            required=True,
            action="append",
            choices=[*(str(e) for e in EnvironmentName), ALL],
            help="an environment for the role beside it, or all that are laid here",
        )
        parser.add_argument(
            "--reason", default="", help="why; required outside development, and booked"
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        grants = _grants(options["role"], options["environment"])
        made = people.create_user(
            by=by,
            now=now,
            username=options["username"],
            grants=grants,
            reason=options["reason"],
        )
        self.say("This password is shown once; hand it over and have it kept safe.")
        return {
            "user_id": made.user_id,
            "username": made.username,
            "password": made.password,
            "grants": {str(e): str(r) for e, r in grants.items()},
        }


def _grants(roles: Sequence[str], environments: Sequence[str]) -> dict[EnvironmentName, Role]:
    if len(roles) != len(environments):
        raise CommandError(
            f"{len(roles)} --role and {len(environments)} --environment: give them in pairs.",
            returncode=2,
        )
    grants: dict[EnvironmentName, Role] = {}
    for role, where in zip(roles, environments, strict=True):
        for environment in _named(where):
            if environment in grants:
                raise CommandError(
                    f"Two roles for {environment}: one person has one role there.", returncode=2
                )
            grants[environment] = Role(role)
    return grants


def _named(where: str) -> Sequence[EnvironmentName]:
    if where != ALL:
        return [EnvironmentName(where)]
    laid = [row.name for row in queries.environments()]
    if not laid:
        raise NotFound("No environment is laid here yet; start the server once, which lays them.")
    return laid
