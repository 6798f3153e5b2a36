"""`manage.py revoke_token`: the end of a token; every process refuses it within a second or so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.access import tokens
from routing.core.rights import Actor
from routing.management import base


class Command(base.OperatorCommand):
    help = "Revoke a token for good. Revoking it twice changes and books nothing."

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("token", metavar="TOKEN_ID", help="its id, which begins with tok_")
        parser.add_argument(
            "--reason", default="", help="why; required outside development, and booked"
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        tokens.revoke(by=by, now=now, token_id=options["token"], reason=options["reason"])
        return {"id": options["token"], "revoked": True}
