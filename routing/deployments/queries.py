"""Deployments for readers: the list, one of them whole, and whatever they need beside it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet

from routing.core import verdict
from routing.core.errors import Invalid, NotFound
from routing.core.flags import FlagName
from routing.core.values import Component, EnvironmentName, Evidence, TestStatus, Verdict
from routing.core.verdict import Mismatch, Suite, TestResult
from routing.deployments import complaints, findings, parsed
from routing.deployments.complaints import Reading
from routing.deployments.findings import Finding
from routing.deployments.models import (
    Deployment,
    DeploymentDocument,
    DeploymentFinding,
    DeploymentTest,
)
from routing.deployments.origins import Origin
from routing.deployments.parsed import Format

MAX_SIZE = 200
_HISTORY = "history-"
_CURSOR = re.compile(r"(?P<at>[^~]{20,40})~(?P<id>[A-Za-z0-9._-]{1,100})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What to list; None lists all. `verdict` is what the evidence adds up to."""

    environment: EnvironmentName | None = None
    verdict: Verdict | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRow:
    """One deployment. `at` is when it took place: our clock for what ran here, else a claim.

    `derived` is what its evidence adds up to, None while it runs; `recorded` is the status as
    its document spells it, empty without one.
    """

    id: str
    environment: EnvironmentName
    origin: Origin
    at: datetime
    by: str
    recorded: str
    recorded_success: bool | None
    derived: Verdict | None
    stage: str
    tests: int
    failed: int
    proven: int
    findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows, newest first; `next_before` asks for the page behind, None on the last."""

    rows: tuple[DeploymentRow, ...]
    next_before: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRow:
    """One document; `entry_seq` is where its import is booked."""

    format: Format
    file_name: str
    sha256: str
    bytes: int
    text: str
    imported_at: datetime
    by: str
    entry_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """One error as it was written, and what it is about where its form is known."""

    text: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One deployment whole. `run_ms` is None where nothing says how long it took.

    `claimed` is what its own facts add up to, `reasons` the sentences that lead to the derived
    verdict. `related` are other records of the same run: history beside an import.
    """

    row: DeploymentRow
    claimed: Verdict
    reasons: tuple[str, ...]
    components: tuple[Component, ...]
    flags: Mapping[FlagName, bool]
    tests: tuple[TestResult, ...]
    errors: tuple[ErrorRow, ...]
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]
    documents: tuple[DocumentRow, ...]
    process: str
    run_ms: int | None
    related: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is stored about the worth of a deployment's documents."""

    derived: Verdict | None
    findings: tuple[Finding, ...]


def page(*, filters: Filters, before: str | None = None, size: int = 50) -> Page:
    """Return up to `size` (1 to 200) deployments older than `before`, a `next_before`."""
    if not 1 <= size <= MAX_SIZE:
        raise Invalid(f"A page has 1 to {MAX_SIZE} deployments; {size} were asked for.")
    found = _older(_asked(filters), before)
    kept = list(found.order_by("-created_at", "-pk")[: size + 1])
    rows = rows_of(kept[:size])
    last = rows[-1] if len(kept) > size else None
    return Page(rows=rows, next_before=f"{last.at.isoformat()}~{last.id}" if last else None)


def detail(deployment_id: str, *, environments: Collection[EnvironmentName]) -> Detail:
    """Return one deployment of those `environments`; raises NotFound."""
    kept = Deployment.objects.filter(
        pk=deployment_id, environment_id__in=[str(e) for e in environments]
    ).first()
    if kept is None:
        raise NotFound(f"There is no deployment {parsed.shown(deployment_id)} here.")
    [row] = rows_of([kept])
    tests = tuple(_result(test) for test in kept.tests.order_by("position"))
    failed = {test.name for test in tests if test.status is TestStatus.FAIL}
    components = tuple(Component(name) for name in kept.components)
    documents = tuple(_document(one) for one in kept.documents.order_by("format"))
    claimed, reasons = _judged(row, tests, components, kept.errors)
    return Detail(
        row=row,
        claimed=claimed,
        reasons=reasons,
        components=components,
        flags={FlagName(name): on for name, on in kept.flags.items()},
        tests=tests,
        errors=tuple(
            ErrorRow(text=text, readings=complaints.read(text, failed=failed))
            for text in kept.errors
        ),
        warnings=tuple(kept.warnings),
        findings=_findings(kept.pk),
        documents=documents,
        process=kept.process,
        run_ms=_run_ms(kept, documents),
        related=_related(kept),
    )


def verdict_of(deployment_id: str) -> Judged:
    """Return what a deployment amounts to; nothing for one that is not there."""
    derived = Deployment.objects.filter(pk=deployment_id).values_list("derived_verdict").first()
    return Judged(
        derived=Verdict(derived[0]) if derived and derived[0] else None,
        findings=_findings(deployment_id),
    )


def rows_of(kept: Sequence[Deployment]) -> tuple[DeploymentRow, ...]:
    """Return table rows as frozen ones, in their order, with two queries for all of them."""
    ids = [one.pk for one in kept]
    tests = DeploymentTest.objects.filter(deployment__in=ids).values("deployment_id")
    counted = {
        found["deployment_id"]: found
        for found in tests.annotate(
            total=Count("pk"),
            failed=Count("pk", filter=Q(status=str(TestStatus.FAIL))),
            proven=Count(
                "pk",
                filter=Q(evidence=str(Evidence.PROVEN)) & ~Q(status=str(TestStatus.SKIP)),
            ),
        )
    }
    known = DeploymentFinding.objects.filter(deployment__in=ids).values("deployment_id")
    found = {one["deployment_id"]: one["total"] for one in known.annotate(total=Count("pk"))}
    none = {"total": 0, "failed": 0, "proven": 0}
    return tuple(_row(one, counted.get(one.pk, none), found.get(one.pk, 0)) for one in kept)


def _row(kept: Deployment, counted: Mapping[str, Any], found: int) -> DeploymentRow:
    return DeploymentRow(
        id=kept.pk,
        environment=EnvironmentName(kept.environment_id),
        origin=Origin(kept.origin),
        at=kept.created_at,
        by=kept.by,
        recorded=kept.recorded_status,
        recorded_success=kept.recorded_success,
        derived=Verdict(kept.derived_verdict) if kept.derived_verdict else None,
        stage=kept.stage,
        tests=counted["total"],
        failed=counted["failed"],
        proven=counted["proven"],
        findings=found,
    )


def _asked(filters: Filters) -> QuerySet[Deployment]:
    found = Deployment.objects.all()
    if filters.environment is not None:
        found = found.filter(environment_id=str(filters.environment))
    if filters.verdict is not None:
        found = found.filter(derived_verdict=str(filters.verdict))
    if filters.origin is not None:
        found = found.filter(origin=str(filters.origin))
    return found


def _older(found: QuerySet[Deployment], before: str | None) -> QuerySet[Deployment]:
    if not before:
        return found
    match = _CURSOR.fullmatch(before)
    try:
        at = datetime.fromisoformat(match["at"]) if match else None
    except ValueError:
        at = None
    if match is None or at is None or at.tzinfo is None:
        raise Invalid("That page of the list is not known; start over at the newest.")
    return found.filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=match["id"]))


def _judged(
    row: DeploymentRow,
    tests: Sequence[TestResult],
    components: Collection[Component],
    errors: Sequence[str],
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict that a deployment's own facts claim, and the reasons of the derived."""
    if row.origin is Origin.RAN:
        judged = verdict.explain(tests, components, errors)
        return judged.verdict, judged.reasons
    derived = verdict.derive(tests, components, errors)
    if row.derived is None or row.derived is derived.verdict:
        return derived.claimed, derived.reasons
    worse = f"Its two documents differ, and the worse one counts: {row.derived}."
    return derived.claimed, (*derived.reasons, worse)


def _result(kept: DeploymentTest) -> TestResult:
    return TestResult(
        suite=Suite(kept.suite),
        name=kept.name,
        status=TestStatus(kept.status),
        evidence=Evidence(kept.evidence),
        duration_ms=kept.duration_ms,
        expected=kept.expected,
        actual=kept.actual,
        kind=Mismatch(kept.kind) if kept.kind else None,
        error=kept.error,
    )


def _document(kept: DeploymentDocument) -> DocumentRow:
    return DocumentRow(
        format=Format(kept.format),
        file_name=kept.file_name,
        sha256=kept.sha256,
        bytes=kept.bytes,
        text=kept.text,
        imported_at=kept.imported_at,
        by=kept.by,
        entry_seq=kept.entry_seq,
    )


def _findings(deployment_id: str) -> tuple[Finding, ...]:
    kept = DeploymentFinding.objects.filter(deployment_id=deployment_id).order_by("position")
    return tuple(Finding(code=one.code, message=one.message) for one in kept)


def _run_ms(kept: Deployment, documents: Sequence[DocumentRow]) -> int | None:
    if kept.started_at is not None and kept.ended_at is not None:
        return int((kept.ended_at - kept.started_at).total_seconds() * 1000)
    names = [one.file_name for one in documents if one.format is Format.JSON]
    return findings.run_ms(kept.pk, names[0]) if names else None


def _related(kept: Deployment) -> tuple[str, ...]:
    begun = parsed.id_ms(kept.pk)
    if begun is None:
        return ()
    others = Deployment.objects.filter(environment_id=kept.environment_id).exclude(pk=kept.pk)
    if kept.origin == Origin.HISTORY:
        others = others.filter(origin=str(Origin.IMPORTED), pk__endswith=f"-{begun}")
    else:
        others = others.filter(origin=str(Origin.HISTORY), pk=f"{_HISTORY}{begun}")
    return tuple(others.order_by("pk").values_list("pk", flat=True)[:10])
