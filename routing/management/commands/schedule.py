"""`manage.py schedule`: what is planned for a time, taken back, or seen where it did not come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing import wiring
from routing.changes import schedule
from routing.changes.schedule import Booked
from routing.core.errors import Invalid
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.management import base, flagging
from routing.schedule import queries


class Command(base.OperatorCommand):
    help = (
        "List the planned changes of an environment, the waiting ones first; take one back (the "
        "change whose end is taken back stays); or note that one that did not come was seen. "
        "`manage.py set_flag --at` plans one."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=("list", "cancel", "see"))
        parser.add_argument("id", nargs="?", type=int, help="cancel, see: as `list` shows it")
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument(
            "--reason", default="", help="cancel: why; required outside development"
        )
        parser.add_argument("--typed-environment", default="", metavar="NAME")
        parser.add_argument(
            "--confirm",
            action="store_true",
            help="cancel, of an end: let its change stay even if something stops",
        )

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> base.Result | Iterable[base.Result]:
        environment = EnvironmentName(options["environment"])
        if options["verb"] == "list":
            rows = (*queries.waiting(environment), *queries.closed(environment))
            return [
                flagging.planned(Booked(entry_seq=row.entry_seq or row.asked_entry, row=row))
                for row in rows
            ]
        if options["id"] is None:
            raise Invalid(f"Name the planned change: `schedule {options['verb']} ID ...`.")
        if options["verb"] == "see":
            seen = schedule.see(by=by, now=now, environment=environment, id=options["id"])
            return flagging.planned(Booked(entry_seq=seen.entry_seq or 0, row=seen))
        done = schedule.cancel(
            by=by,
            now=now,
            environment=environment,
            id=options["id"],
            health=wiring.path_health(environment),
            reason=options["reason"],
            typed_environment=options["typed_environment"],
            confirmed=options["confirm"],
        )
        return flagging.planned(done)

    def show(self, result: base.Result) -> str:
        sets = ", ".join(f"{s['flag']} {'on' if s['on'] else 'off'}" for s in result["sets"])
        because = f" ({result['because']})" if result["because"] else ""
        return f"{result['id']:>5}  {result['state']:<10} {result['at']}  {sets}{because}"
