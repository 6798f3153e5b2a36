"""`manage.py flags`: every flag, where it is on, since when and by whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.flags import queries
from routing.flags.queries import Cell, FlagRow
from routing.management import base, flagging


class Command(base.OperatorCommand):
    help = (
        "List the flags in force as the database has them, or tell with `propagation` which "
        "processes run the newest ones; exit 1 while not all do."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("what", nargs="?", choices=("list", "propagation"), default="list")
        flagging.add_wait(parser, 0)
        parser.add_argument(
            "--environment",
            choices=[str(e) for e in EnvironmentName],
            help="only this one; all without it",
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> Iterator[base.Result]:
        one = options["environment"]
        if options["what"] == "propagation":
            return _spread(EnvironmentName(one) if one else None, options["wait"])
        grid = queries.grid([EnvironmentName(one)] if one else EnvironmentName)
        if not grid.versions:
            self.say("No flags were laid yet; start the server once (`manage.py serve`).")
        return (
            _result(row, cell, grid.versions[environment])
            for row in grid.rows
            for environment, cell in row.cells.items()
        )

    def show(self, result: base.Result) -> str:
        if "sentence" in result:
            return f"{result['environment']}: {flagging.in_words(result)}"
        word = "off" if not result["on"] else "on"
        share = f" {result['percentage']} %" if result["on"] and result["percentage"] < 100 else ""
        share += "".join(f" {group}" for group in result["groups"] if result["on"])
        differs = "" if result["on"] == result["default"] else "  (not its default)"
        return (
            f"{result['flag']:<32} {result['environment']:<12} {word + share:<8} "
            f"version {result['version']}{differs}"
        )


def _spread(only: EnvironmentName | None, wait_s: float) -> Iterator[base.Result]:
    for environment in (only,) if only else EnvironmentName:
        told = flagging.spread(environment, wait_s)
        if told["version"] or only:
            yield {"ok": told["complete"], **told}


def _result(row: FlagRow, cell: Cell, flags_version: int) -> base.Result:
    return {
        "flag": str(row.name),
        "environment": str(cell.environment),
        "on": cell.state.on,
        "percentage": cell.state.percentage,
        "groups": list(cell.state.groups),
        "version": cell.state.version,
        "flags_version": flags_version,
        "default": cell.default,
        "changed_at": cell.changed_at.isoformat(),
        "changed_by": cell.changed_by,
        "entry": cell.entry_seq,
        "purpose": row.purpose,
        "when_off": row.when_off,
        "owner": row.owner,
    }
