"""`manage.py people`: who holds which role; grant and take roles, reset, close, reopen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from routing.access import accounts, people, queries
from routing.access.queries import AccountRow
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Role
from routing.management import base

_DO: Mapping[str, Callable[..., None]] = {
    "grant": people.grant,
    "revoke": people.revoke,
    "close": accounts.close,
    "reopen": accounts.reopen,
}
VERBS = ("list", "grant", "revoke", "reset", "close", "reopen")


class Command(base.OperatorCommand):
    help = (
        "List the people of an environment, or change one: grant or revoke a role there, reset "
        "the password to a one-time one that is printed once, close or reopen the account."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=VERBS)
        parser.add_argument("username", nargs="?", help="whom; not for list")
        parser.add_argument(
            "--environment",
            choices=[str(e) for e in EnvironmentName],
            help="where; for list, grant, revoke",
        )
        parser.add_argument("--role", choices=[str(r) for r in Role], help="for grant")
        parser.add_argument(
            "--reason", default="", help="why; required outside development, and booked"
        )

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> base.Result | Iterable[base.Result]:
        verb = options["verb"]
        _check(options)
        if verb == "list":
            rows = queries.people(EnvironmentName(options["environment"]))
            return [_told(queries.account(row.user_id)) for row in rows]
        number = queries.user_id(options["username"])
        asked: dict[str, Any] = {
            "by": by,
            "now": now,
            "user_id": number,
            "reason": options["reason"],
        }
        if verb == "reset":
            made = accounts.reset_password(**asked)
            self.say("This password is shown once; it opens one page, on which it is replaced.")
            return {**_told(queries.account(number)), "password": made.password}
        if verb in ("grant", "revoke"):
            asked["environment"] = EnvironmentName(options["environment"])
        if verb == "grant":
            asked["role"] = Role(options["role"])
        _DO[verb](**asked)
        return _told(queries.account(number))


def _check(options: Mapping[str, Any]) -> None:
    verb = options["verb"]
    needs = {"list": ("environment",), "revoke": ("username", "environment")}
    needs |= {"grant": ("username", "environment", "role")}
    missing = [name for name in needs.get(verb, ("username",)) if not options[name]]
    if missing:
        raise CommandError(f"`people {verb}` needs {' and '.join(missing)}.", returncode=2)


def _told(row: AccountRow) -> base.Result:
    return {
        "user_id": row.user_id,
        "username": row.username,
        "roles": {str(place): str(role) for place, role in row.roles.items()},
        "active": row.is_active,
        "one_time_password": row.one_time_password,
        "last_signed_in_at": row.last_signed_in_at and row.last_signed_in_at.isoformat(),
    }
