"""`manage.py route`: one request through the serving process, as everybody's go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.core.rights import Actor
from routing.management import asking, base


class Command(base.OperatorCommand):
    help = "Route a prompt through the machine door of the server and print its answer."

    def add(self, parser: CommandParser) -> None:
        asking.add_options(parser)

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        return asking.ask(options, by=by, now=now, how=lambda run, words: run.route(**words))
