"""`manage.py waffle_delete`: closed, a known flag is never deleted."""

from __future__ import annotations

from django.core.management.base import CommandParser

from routing.management import closed


class Command(closed.ClosedCommand):
    why = (
        "Flags are declared by the product and routing needs each of them, so nothing was "
        "deleted. Switch one off with `manage.py set_flag --off`."
    )

    def add(self, parser: CommandParser) -> None:
        super().add(parser)
        for kind in ("flags", "samples", "switches"):
            parser.add_argument(f"--{kind}", nargs="*")
