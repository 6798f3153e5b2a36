"""The shape of Waffle's commands that would write around reason, guards and audit: closed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from django.core.management.base import CommandParser

from routing.core.errors import Invalid
from routing.core.rights import Actor
from routing.management import base


class ClosedCommand(base.OperatorCommand):
    """Takes the arguments of Waffle, so that the answer is `why` and no lesson in arguments."""

    why: str
    help = "Closed: it says what to use in its place."

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("--environment")
        parser.add_argument("--reason")
        parser.add_argument("--create", action="store_true")
        parser.add_argument("-l", "--list", action="store_true")

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> NoReturn:
        raise Invalid(self.why)
