"""The rows of one deployment, written inside the caller's transaction; the caller books."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime

from routing.core.chain import Json
from routing.core.values import EnvironmentName, Evidence, Verdict
from routing.core.verdict import TestResult
from routing.deployments.findings import Finding
from routing.deployments.models import (
    Deployment,
    DeploymentDocument,
    DeploymentFinding,
    DeploymentTest,
)
from routing.deployments.origins import Origin
from routing.deployments.parsed import Format, Parsed


def take(
    deployment_id: str, *, environment: EnvironmentName, origin: Origin, at: datetime, by: str
) -> tuple[Deployment, bool]:
    """Return the deployment of that id, locked, and whether it was made just now.

    Of two that make it at once, the slower waits and gets the one that was made.
    """
    _, created = Deployment.objects.get_or_create(
        pk=deployment_id,
        defaults={
            "environment_id": str(environment),
            "origin": str(origin),
            "created_at": at,
            "by": by,
        },
    )
    return Deployment.objects.select_for_update().get(pk=deployment_id), created


def put_claims(deployment: Deployment, said: Parsed, *, derived: Verdict) -> None:
    """Write what documents claim, and what it amounts to, in place of what was there."""
    deployment.recorded_status = said.recorded_status
    deployment.recorded_success = said.recorded_success
    deployment.derived_verdict = str(derived)
    deployment.created_at = said.timestamp
    deployment.components = [str(component) for component in said.components]
    deployment.flags = {str(name): on for name, on in said.flags.items()}
    deployment.errors = list(said.errors)
    deployment.warnings = list(said.warnings)
    deployment.process = said.process
    deployment.save()


def put_tests(deployment: Deployment, tests: Iterable[TestResult]) -> None:
    """Write the results of `deployment` in place of those that were there.

    What did not run here is never proven, whatever a result is labelled with.
    """
    ran = deployment.origin == Origin.RAN
    deployment.tests.all().delete()
    DeploymentTest.objects.bulk_create(
        DeploymentTest(
            deployment=deployment,
            position=position,
            suite=str(test.suite),
            name=test.name,
            status=str(test.status),
            evidence=str(test.evidence if ran else Evidence.UNPROVEN),
            duration_ms=test.duration_ms,
            expected=test.expected,
            actual=test.actual,
            kind=str(test.kind or ""),
            error=test.error,
        )
        for position, test in enumerate(tests)
    )


def put_findings(deployment: Deployment, found: Iterable[Finding]) -> None:
    """Write the findings of `deployment` in place of those that were there."""
    deployment.findings.all().delete()
    DeploymentFinding.objects.bulk_create(
        DeploymentFinding(
            deployment=deployment, position=position, code=one.code, message=one.message
        )
        for position, one in enumerate(found)
    )


def add_document(
    deployment: Deployment,
    *,
    form: Format,
    file_name: str,
    data: bytes,
    by: str,
    now: datetime,
) -> DeploymentDocument:
    """Keep a document to the byte; `data` is UTF-8."""
    return DeploymentDocument.objects.create(
        deployment=deployment,
        format=str(form),
        file_name=file_name,
        sha256=digest(data),
        bytes=len(data),
        text=data.decode(),
        imported_at=now,
        by=by,
    )


def seal(document: DeploymentDocument, *, entry_seq: int) -> None:
    """Note the audit entry under which `document` was booked."""
    DeploymentDocument.objects.filter(pk=document.pk).update(entry_seq=entry_seq)


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def as_json(deployment: Deployment) -> Mapping[str, Json]:
    """Return the whole of `deployment` as an audit entry books it; of long texts the digest."""
    return {
        "environment": str(deployment.environment_id),
        "origin": deployment.origin,
        "recorded_status": deployment.recorded_status,
        "recorded_success": deployment.recorded_success,
        "derived_verdict": deployment.derived_verdict,
        "created_at": deployment.created_at.isoformat(),
        "components": deployment.components,
        "flags": deployment.flags,
        "tests": {
            test.name: f"{test.status} in {test.duration_ms} ms, {test.evidence}"
            for test in deployment.tests.order_by("position")
        },
        "errors": deployment.errors,
        "warnings": deployment.warnings,
        "process_sha256": digest(deployment.process.encode()),
        "documents": {
            document.format: document.sha256
            for document in deployment.documents.order_by("format")
        },
    }
