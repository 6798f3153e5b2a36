"""`manage.py replay`: the last decisions decided again, as they were or under a proposal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.changes import preview
from routing.core.errors import Invalid, NotFound
from routing.core.flags import FlagName, parse_flag
from routing.core.matrix import Matrix
from routing.core.replay import Cell, Proposal
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Operation, Path, parse
from routing.management import base
from routing.matrix import queries, store

DRAFT, NONE = "draft", "none"


class Command(base.OperatorCommand):
    help = (
        "Decide the last stored decisions again and count what would end elsewhere, those without "
        "a path first. Without a proposal every one must come out as it stands; exit 1 where one "
        "does not, or cannot be decided again."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument(
            "--flag",
            action="append",
            default=[],
            metavar="NAME=on|off",
            help="with this flag so for everyone; may be given more than once",
        )
        parser.add_argument(
            "--matrix", metavar="draft|VERSION", help="under this matrix, not those of then"
        )
        parser.add_argument(
            "--override",
            action="append",
            default=[],
            metavar="OPERATION=PATH|none",
            help="with this override, or none, for its operation; may be given more than once",
        )
        parser.add_argument(
            "--last", type=int, default=preview.USUAL, metavar="1-5000", help="how many"
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        environment = EnvironmentName(options["environment"])
        proposal = Proposal(
            flags=dict(_flag(said) for said in options["flag"]),
            matrix=_matrix(environment, options["matrix"]),
            overrides=_overrides(options["override"]),
        )
        found = preview.effect(environment, proposal, options["last"])
        return {
            "ok": not found.mismatched and not found.unreadable,
            "environment": str(environment),
            "decisions": found.total,
            "synthetic": found.synthetic,
            "changed": found.changed,
            "no_path": found.stranded,
            "unknown_outcome": found.unknown,
            "cells": [_cell(cell, count) for cell, count in found.cells],
            "mismatched": list(found.mismatched),
            "unreadable": list(found.unreadable),
            "words": list(preview.words(found)),
        }

    def show(self, result: base.Result) -> str:
        lines = [
            f"{one['count']:>6}  {one['operation']:<20} {one['from'] or 'no path'} → "
            f"{one['to'] or 'no path'}{'' if one['outcome_known'] else ' (outcome unknown)'}"
            for one in result["cells"]
        ]
        return "\n".join([*result["words"], *lines])


def _cell(cell: Cell, count: int) -> base.Result:
    return {
        "operation": str(cell.operation),
        "from": str(cell.before) if cell.before else None,
        "to": str(cell.after) if cell.after else None,
        "outcome_known": not cell.unknown,
        "count": count,
    }


def _flag(said: str) -> tuple[FlagName, bool]:
    name, _, state = said.partition("=")
    if state not in ("on", "off"):
        raise Invalid(f"{said!r} is no flag with its state; write NAME=on or NAME=off.")
    return parse_flag(name), state == "on"


def _overrides(said: Iterable[str]) -> Mapping[Operation, Path | None]:
    pairs = (one.partition("=") for one in said)
    return {
        parse(Operation, name): None if path == NONE else parse(Path, path)
        for name, _, path in pairs
    }


def _matrix(environment: EnvironmentName, said: str | None) -> Matrix | None:
    if said is None:
        return None
    if said != DRAFT:
        if not said.isdecimal():
            raise Invalid(f"{said!r} is no matrix; write draft or the number of a version.")
        return store.version(environment, int(said))
    kept = queries.draft(environment)
    if kept is None:
        raise NotFound(f"{environment} has no draft; begin one with `manage.py matrix draft`.")
    if kept.problems:
        raise Invalid(" ".join(kept.problems), problems=list(kept.problems))
    return kept.matrix
