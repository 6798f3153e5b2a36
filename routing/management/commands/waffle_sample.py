"""`manage.py waffle_sample`: closed, there are no samples."""

from __future__ import annotations

from django.core.management.base import CommandParser

from routing.management import closed


class Command(closed.ClosedCommand):
    why = (
        "HybridOps has no Waffle samples, so nothing was written. For a share of subjects use "
        "`manage.py set_flag --on --percentage`."
    )

    def add(self, parser: CommandParser) -> None:
        super().add(parser)
        parser.add_argument("name", nargs="?")
        parser.add_argument("percent", nargs="?")
