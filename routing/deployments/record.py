"""The rows of a deployment that ran here, written in the transactions of its steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from routing.core.values import Component, Evidence, TestStatus
from routing.core.verdict import Mismatch, Suite, TestResult
from routing.deployments.ledger_models import Operation
from routing.deployments.models import (
    Deployment,
    DeploymentDocument,
    DeploymentFinding,
    DeploymentTest,
    Origin,
)
from routing.deployments.parsed import Format

_FIRST = {Suite.SMOKE: 0, Suite.VALIDATION: 100, Suite.INTEGRATION: 200}


def opened(operation: Operation, flags: Mapping[str, bool]) -> None:
    """Lay the deployment of an operation; `flags` are those that its release wants there."""
    Deployment.objects.create(
        id=operation.id,
        environment_id=operation.environment_id,
        origin=str(Origin.RAN),
        stage=operation.stage,
        release=operation.release_id or "",
        created_at=operation.created_at,
        by=operation.by["id"],
        flags=dict(flags),
    )


def components(id: str, found: Sequence[Component], *, now: datetime) -> None:
    """Keep which components the serving process showed."""
    rows = Deployment.objects.filter(pk=id)
    rows.update(components=[str(one) for one in found])
    rows.filter(started_at=None).update(started_at=now)


def tests(id: str, suite: Suite, results: Sequence[TestResult]) -> None:
    """Keep the results of one suite."""
    DeploymentTest.objects.bulk_create(
        DeploymentTest(
            deployment_id=id,
            position=_FIRST[suite] + n,
            suite=str(one.suite),
            name=one.name,
            status=str(one.status),
            evidence=str(one.evidence),
            duration_ms=one.duration_ms,
            expected=one.expected,
            actual=one.actual,
            kind=str(one.kind or ""),
            error=one.error,
        )
        for n, one in enumerate(results)
    )


def judged(id: str, *, errors: Sequence[str], warnings: Sequence[str]) -> None:
    """Keep what speaks against the run, and what a reader should know."""
    Deployment.objects.filter(pk=id).update(errors=list(errors), warnings=list(warnings))


def documented(
    id: str,
    *,
    texts: Mapping[Format, tuple[str, str]],
    findings: Sequence[tuple[str, str]],
    by: str,
    now: datetime,
) -> None:
    """Keep the documents (file name and text by form) and the findings."""
    for form, (name, text) in texts.items():
        data = text.encode()
        DeploymentDocument.objects.create(
            deployment_id=id,
            format=str(form),
            file_name=name,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            text=text,
            imported_at=now,
            by=by,
        )
    DeploymentFinding.objects.bulk_create(
        DeploymentFinding(deployment_id=id, position=n, code=code, message=message)
        for n, (code, message) in enumerate(findings)
    )
    Deployment.objects.filter(pk=id).update(ended_at=now)


def as_json(result: TestResult) -> dict[str, Any]:
    """Return a result as the ledger keeps it and a command prints it."""
    said = asdict(result)
    return said | {
        name: str(said[name]) if said[name] is not None else None
        for name in ("suite", "status", "evidence", "kind")
    }


def from_json(said: Mapping[str, Any]) -> TestResult:
    """Return the result that `as_json` said."""
    return TestResult(
        suite=Suite(said["suite"]),
        name=said["name"],
        status=TestStatus(said["status"]),
        evidence=Evidence(said["evidence"]),
        duration_ms=said["duration_ms"],
        expected=said["expected"],
        actual=said["actual"],
        kind=Mismatch(said["kind"]) if said["kind"] else None,
        error=said["error"],
    )
