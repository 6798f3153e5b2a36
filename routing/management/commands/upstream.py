"""`manage.py upstream bedrock|mcp start|stop|status|fault`: ask the server about its stand-ins."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import transaction

from routing.audit import ledger
from routing.core.errors import Invalid, Refused
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName, Outcome, parse
from routing.management import base
from routing.paths import keeper
from routing.paths.local import Upstream

BOOKED = {
    "start": Action.UPSTREAM_START,
    "stop": Action.UPSTREAM_STOP,
    "fault": Action.UPSTREAM_FAULT,
    "clear": Action.UPSTREAM_FAULT,
}
WAIT_S = {"start": 120.0}
FAULT = ("environment", "kind", "seconds", "share", "status", "code", "ms", "after")


class Command(base.OperatorCommand):
    help = "Start, stop or look at a local stand-in of the running server, or make it fail."

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("which", choices=[str(u) for u in Upstream])
        parser.add_argument("verb", choices=["start", "stop", "status", "fault"])
        parser.add_argument("--reason", default="", help="why, for the audit trail")
        fault = parser.add_argument_group("fault", "each ends by itself")
        fault.add_argument("--environment", help="only there; else in every environment")
        fault.add_argument("--kind", help="latency, error, hang, malformed, cut or reset")
        fault.add_argument("--seconds", type=float, help="how long, up to 600; 60 by default")
        fault.add_argument("--share", type=float, help="the part of requests it hits; 1 for all")
        fault.add_argument("--status", type=int, help="the HTTP status of an error")
        fault.add_argument("--code", help="the name of an error, such as ThrottlingException")
        fault.add_argument("--ms", type=int, help="how long each answer is delayed")
        fault.add_argument("--after", type=int, help="events of a stream that still get through")
        fault.add_argument("--clean", action="store_true", help="end a cut stream as if whole")
        fault.add_argument("--clear", action="store_true", help="end every fault of this one now")

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        home = Path(settings.HYBRIDOPS_HOME)
        message = _message(options)
        verb = message["verb"]
        wait_s = WAIT_S.get(verb, 10.0)
        if verb not in BOOKED:
            return keeper.ask(home, message, wait_s)
        keeper.ask(home, {**message, "verb": "status"}, wait_s)  # nobody there: nothing to book
        booking = _Booking(by=by, now=now, reason=options["reason"], message=message)
        booking.record(Outcome.DONE)  # first: nothing may happen that no entry tells of
        try:
            return keeper.ask(home, message, wait_s)
        except Refused as error:
            booking.record(Outcome.FAILED, error.message)
            raise


class _Booking:
    def __init__(
        self, *, by: Actor, now: datetime, reason: str, message: Mapping[str, Any]
    ) -> None:
        self._by, self._now, self._reason, self._message = by, now, reason, message

    def record(self, outcome: Outcome, problem: str = "") -> None:
        """Book that the stand-in was told to, or that it could not."""
        fault = self._message.get("fault", {})
        place = fault.get("environment")
        facts = {"verb": self._message["verb"], **_integers(fault)}
        with transaction.atomic():
            ledger.record(
                by=self._by,
                now=self._now,
                action=BOOKED[self._message["verb"]],
                environment=EnvironmentName(place) if place else None,
                object_type="upstream",
                object_id=self._message["which"],
                outcome=outcome,
                reason=self._reason,
                facts=facts | ({"problem": problem} if problem else {}),
            )


def _message(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to ask the server; raises Invalid or UnknownWord."""
    verb = options["verb"]
    fault = {name: options[name] for name in FAULT if options[name] is not None}
    if options["clean"]:
        fault["clean"] = True
    message = {"do": "upstream", "which": options["which"], "verb": verb}
    if verb != "fault":
        if fault or options["clear"]:
            raise Invalid("Those options belong to `fault`, not to " + verb + "; leave them out.")
        return message
    if options["clear"]:
        if fault:
            raise Invalid("`--clear` ends every fault and takes no other option.")
        return message | {"verb": "clear"}
    if "kind" not in fault:
        raise Invalid("Say which fault with --kind latency|error|hang|malformed|cut|reset.")
    if "environment" in fault:
        parse(EnvironmentName, fault["environment"])
    return message | {"fault": fault}


def _integers(fault: Mapping[str, Any]) -> dict[str, Any]:
    """Return `fault` as an entry can hold it: numbers are integers, in smaller units."""
    held = {k: v for k, v in fault.items() if k not in ("seconds", "share", "environment")}
    if "seconds" in fault:
        held["duration_ms"] = round(fault["seconds"] * 1000)
    if "share" in fault:
        held["share_ppm"] = round(fault["share"] * 1_000_000)
    return held
