"""The one shape of every command: JSON on request, refusals in words, honest exit codes.

Exit 0: done. 1: refused, failed or inconclusive. 2: misuse (argparse).
With `--json` standard output carries one object per line and nothing else; messages for people
go to standard error.
"""

from __future__ import annotations

import getpass
import json
import socket
import sys
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError

from routing import wiring
from routing.core.errors import HybridOpsError, Unavailable
from routing.core.rights import Actor, shell_actor

Result = Mapping[str, Any]


class OperatorCommand(BaseCommand):
    """Subclasses write `add` and `run`; `show` words one result for a person.

    A result with the key `ok` set to False makes the exit status 1.
    """

    requires_system_checks: list[str] = []  # noqa: RUF012
    start_checks = True  # False only where the answer is about a broken installation

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object per line")
        self.add(parser)

    def add(self, parser: CommandParser) -> None:
        """Add the command's own arguments."""

    @abstractmethod
    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> Result | Iterable[Result]:
        """Do the work and return what was done."""

    def show(self, result: Result) -> str:
        """Return `result` in words for a terminal."""
        width = max((len(key) for key in result), default=0)
        return "\n".join(f"{key:<{width}}  {_plain(value)}" for key, value in result.items())

    def say(self, message: str) -> None:
        """Tell the person something without touching the result."""
        self.stderr.write(message)

    def handle(self, *args: Any, **options: Any) -> None:
        by = shell_actor(user=_os_user(), host=socket.gethostname())
        failed = False
        try:
            if self.start_checks:
                wiring.start_checks()
            for result in _each(self.run(options, by, wiring.now())):
                failed = failed or result.get("ok") is False
                self.stdout.write(_line(result) if options["json"] else self.show(result))
        except HybridOpsError as error:
            self.refuse(error, as_json=options["json"])
            sys.exit(1)
        except (OperationalError, InterfaceError) as error:
            self.refuse(database_is_away(error), as_json=options["json"])
            sys.exit(1)
        if failed:
            sys.exit(1)

    def refuse(self, error: HybridOpsError, *, as_json: bool) -> None:
        """Say on standard error why nothing was done, and on standard output as JSON if asked."""
        self.stderr.write(error.message)
        for effect in error.facts.get("effects", ()):
            self.stderr.write(f"  - {effect}")
        if as_json:
            refused = {"error": error.code, "message": error.message, **error.facts}
            self.stdout.write(_line(refused))


def database_is_away(error: Exception) -> Unavailable:
    """Return in words that the database cannot be reached or is busy, as the driver tells it."""
    told = " ".join(str(error).split())[:300]
    return Unavailable(
        f"The database did not answer ({told}). Look whether it runs, whether DATABASE_URL or "
        "HYBRIDOPS_HOME leads to it and its disk has room, then try again.",
        retry_after_s=5,
    )


def _each(result: Result | Iterable[Result]) -> Iterable[Result]:
    return (result,) if isinstance(result, Mapping) else result


def _line(result: Result) -> str:
    return json.dumps(result, default=str, ensure_ascii=False)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
