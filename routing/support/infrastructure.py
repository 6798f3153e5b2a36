"""BedrockSupportManager, the audit: looks at the real installation and stores what it found."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, OperationalError, transaction

from routing import stream
from routing.audit import ledger
from routing.core import findings, rights
from routing.core.findings import Found, Overall, Severity
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName
from routing.fleet import queries as fleet
from routing.support import site
from routing.support.checks import CHECKS, Check
from routing.support.models import AuditRun, Finding
from routing.support.site import Site

log = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]
_ANSWERS = "database.answers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One audit. `run_id` is None when it could not be stored, as the database was away."""

    run_id: int | None
    environment: EnvironmentName
    started_at: datetime
    ended_at: datetime
    checks: int
    overall: Overall
    findings: tuple[Found, ...]


def run(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    on_progress: Progress | None = None,
    checks: Sequence[Check] = CHECKS,
    place: Site | None = None,
) -> Report:
    """Run all checks for `environment`, store what they found, book that they ran.

    `on_progress` is told (done, total, what comes next) before each check and once at the end.
    Raises Forbidden and NotFound, both booked. Nothing a check raises ends the audit.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.SUPPORT_AUDIT,
        environment=environment,
        object_type="audit_run",
        object_id=str(environment),
    ):
        rights.check(by, Right.SUPPORT, environment)
        _check_laid(environment)
    began = time.monotonic()
    found = _look(place or _here(environment, now), checks, on_progress)
    report = Report(
        run_id=None,
        environment=environment,
        started_at=now,
        ended_at=now + timedelta(seconds=time.monotonic() - began),
        checks=len(checks),
        overall=findings.overall(found, checks=len(checks)),
        findings=found,
    )
    try:
        return _store(report, by, now)
    except DatabaseError:
        if not any(_says_away(one) for one in found):
            raise
        log.exception("The audit could not be stored: the database is away.")
        return report


def _says_away(one: Found) -> bool:
    return one.check == _ANSWERS and one.severity is Severity.CRITICAL


def _check_laid(environment: EnvironmentName) -> None:
    try:
        fleet.environment(environment)
    except OperationalError:
        # An audit is asked for most when the database is away; its first check says so.
        log.warning("The database did not say whether %s was laid.", environment)


def _here(environment: EnvironmentName, now: datetime) -> Site:
    return Site(
        environment=environment,
        now=now,
        home=Path(settings.HYBRIDOPS_HOME),
        code_version=str(settings.HYBRIDOPS_VERSION),
        room=site.room,
    )


def _look(place: Site, checks: Sequence[Check], on_progress: Progress | None) -> tuple[Found, ...]:
    tell: Progress = on_progress or (lambda *_: None)
    found: list[Found] = []
    for done, check in enumerate(checks):
        tell(done, len(checks), check.about)
        found += [replace(one, check=check.code) for one in _try(check, place)]
    tell(len(checks), len(checks), "")
    order = list(Severity)
    return tuple(sorted(found, key=lambda one: order.index(one.severity)))


def _try(check: Check, place: Site) -> list[Found]:
    try:
        return list(check.look(place))
    except Exception as error:
        log.exception("The check %s broke.", check.code)
        return [
            Found(
                severity=Severity.HIGH,
                title=f"It could not be checked that {check.about}.",
                remediation="The server's log has the whole error; mend that, then audit again.",
                evidence={"error": type(error).__name__, "said": str(error)[:300]},
                unchecked=True,
            )
        ]


def _store(report: Report, by: Actor, now: datetime) -> Report:
    counted = {str(s): n for s, n in findings.counts(report.findings).items()}
    with transaction.atomic(durable=True):
        kept = AuditRun.objects.create(
            environment_id=report.environment,
            started_at=report.started_at,
            ended_at=report.ended_at,
            by=by.id,
            checks=report.checks,
            counts=counted,
            overall=str(report.overall),
        )
        Finding.objects.bulk_create(_row(kept, one, report) for one in report.findings)
        ledger.record(
            by=by,
            now=now,
            action=Action.SUPPORT_AUDIT,
            environment=report.environment,
            object_type="audit_run",
            object_id=str(kept.pk),
            facts={
                "overall": str(report.overall),
                "checks": report.checks,
                "counts": counted,
                "took_ms": int((report.ended_at - report.started_at).total_seconds() * 1000),
            },
        )
        stream.announce("support", report.environment)
    return replace(report, run_id=kept.pk)


def _row(kept: AuditRun, one: Found, report: Report) -> Finding:
    return Finding(
        run=kept,
        environment_id=report.environment,
        check_code=one.check,
        severity=str(one.severity),
        title=one.title[:300],
        evidence=dict(one.evidence),
        remediation=one.remediation[:500],
        unchecked=one.unchecked,
        found_at=report.started_at,
    )
