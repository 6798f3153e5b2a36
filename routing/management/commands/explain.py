"""`manage.py explain`: where a request would go now, and why; nothing is called."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.core.rights import Actor
from routing.management import asking, base


class Command(base.OperatorCommand):
    help = "Say where the server would route a prompt now, without calling anything."

    def add(self, parser: CommandParser) -> None:
        asking.add_options(parser)

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        return asking.ask(options, by=by, now=now, how=lambda run, words: run.explain(**words))
