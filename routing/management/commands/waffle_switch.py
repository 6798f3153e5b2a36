"""`manage.py waffle_switch`: closed, there are no switches."""

from __future__ import annotations

from django.core.management.base import CommandParser

from routing.management import closed


class Command(closed.ClosedCommand):
    why = (
        "HybridOps has no Waffle switches, so nothing was written. What is on where is a flag: "
        "see `manage.py flags`, set one with `manage.py set_flag`."
    )

    def add(self, parser: CommandParser) -> None:
        super().add(parser)
        parser.add_argument("name", nargs="?")
        parser.add_argument("state", nargs="?")
