"""`manage.py support`: the state of support mode, its two levers, and the infrastructure audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from routing.core.findings import Overall
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.management import base
from routing.support import infrastructure, mode, queries
from routing.support.infrastructure import Report
from routing.support.queries import AuditRow, SessionRow

VERBS = ("status", "activate", "deactivate", "audit")
LEVERS = ("activate", "deactivate")


class Command(base.OperatorCommand):
    help = (
        "Show, activate or deactivate support mode, or audit the installation. An audit exits "
        "with 1 when it found something critical or could not look everywhere."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=VERBS)
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument("--reason", default="", help="why; it is booked")
        parser.add_argument(
            "--hours",
            type=int,
            choices=range(1, 25),
            metavar="1-24",
            help="end the session by itself after so many hours",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # A broken installation is what an audit is asked about, not a reason to give none.
        self.start_checks = options["verb"] in LEVERS
        super().handle(*args, **options)

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        environment, verb = EnvironmentName(options["environment"]), options["verb"]
        if verb == "audit":
            return self._audit(options, by, now, environment)
        if verb == "activate":
            hours = options["hours"]
            mode.activate(
                by=by,
                now=now,
                environment=environment,
                reason=options["reason"],
                ends_at=now + timedelta(hours=hours) if hours else None,
            )
        elif verb == "deactivate":
            mode.deactivate(by=by, now=now, environment=environment, reason=options["reason"])
        return _status(environment, now)

    def show(self, result: base.Result) -> str:
        if "overall" not in result:
            return str(result["sentence"])
        lines = [
            f"{one['severity']:<9} {one['title']}\n{'':<9} {one['remediation']}"
            for one in result["findings"]
        ]
        summary = f"{result['overall']}: {result['checks']} checks, {len(lines)} findings"
        blind = sum(one["unchecked"] for one in result["findings"])
        more = f"; {blind} could not look." if blind else "."
        return "\n".join([*lines, summary + more])

    def _audit(
        self,
        options: Mapping[str, Any],
        by: Actor,
        now: datetime,
        environment: EnvironmentName,
    ) -> base.Result:
        report = infrastructure.run(
            by=by,
            now=now,
            environment=environment,
            on_progress=None if options["json"] else self._tell,
        )
        if report.run_id is None:
            self.say("The database is away, so this audit is shown here and stored nowhere.")
        return _report(report)

    def _tell(self, done: int, total: int, about: str) -> None:
        if about:
            self.say(f"{done + 1} of {total}: {about}")


def _status(environment: EnvironmentName, now: datetime) -> base.Result:
    told = mode.status(environment, now)
    return {
        "environment": str(environment),
        "active": told.active,
        "flag_on": told.flag_on,
        "sentence": told.sentence,
        "obstacle": told.obstacle,
        "session": _session(told.session),
        "last_audit": _last(queries.last_audit(environment)),
    }


def _session(session: SessionRow | None) -> base.Result | None:
    return asdict(session) if session else None


def _last(audit: AuditRow | None) -> base.Result | None:
    if audit is None:
        return None
    return {"id": audit.id, "overall": str(audit.overall), "started_at": audit.started_at}


def _report(report: Report) -> base.Result:
    # A warning hides in `overall` that something could not be looked at; the exit status does not.
    blind = any(one.unchecked for one in report.findings)
    return {
        "ok": report.overall in (Overall.HEALTHY, Overall.WARNING) and not blind,
        "id": report.run_id,
        "environment": str(report.environment),
        "overall": str(report.overall),
        "checks": report.checks,
        "started_at": report.started_at,
        "ended_at": report.ended_at,
        "findings": [asdict(one) for one in report.findings],
    }
