"""Deployment documents written by us, in the grammar that we read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from routing.core.values import TestStatus
from routing.core.verdict import Suite, TestResult
from routing.deployments import markdown as form
from routing.deployments.parsed import Parsed


def markdown(document: Parsed) -> str:
    """Return `document` as Markdown; reading it again gives the same facts.

    The form has no room for a test's error, for counts and for drift, so these are left out. A
    process text must hold no second-level heading of its own: such a line would be a section.
    """
    return "\n".join(_lines(document)) + f"\n{document.process}"


def summary(document: Parsed) -> str:
    """Return `document` as JSON with the counts of its own facts; the process is left out."""
    return json.dumps(_summary(document), indent=2, ensure_ascii=False) + "\n"


def counts(document: Parsed) -> dict[str, int]:
    """Count the facts of `document` as its summary names them."""
    smoke = [test for test in document.tests if test.suite is Suite.SMOKE]
    integration = [test for test in document.tests if test.suite is Suite.INTEGRATION]
    return {
        "componentsDeployed": len(document.components),
        "featureFlagsEnabled": len(document.flags),
        "smokeTestsPassed": _passed(smoke),
        "smokeTestsTotal": len(smoke),
        "integrationTestsPassed": _passed(integration),
        "integrationTestsTotal": len(integration),
        "errorsCount": len(document.errors),
        "warningsCount": len(document.warnings),
    }


def _lines(document: Parsed) -> Iterator[str]:
    yield from (form.TITLE, "", f"## {form.INFORMATION}")
    values = (
        document.deployment_id,
        str(document.environment),
        _moment(document.timestamp),
        document.recorded_status,
    )
    yield from (f"- **{label}**: {v}" for label, v in zip(form.LABELS, values, strict=True))
    yield from _section(form.COMPONENTS, [str(c) for c in document.components], empty="")
    yield from _section(form.FLAGS, _flags(document), empty="")
    for title, suite in ((form.SMOKE, Suite.SMOKE), (form.INTEGRATION, Suite.INTEGRATION)):
        results = [_result(test) for test in document.tests if test.suite is suite]
        yield from _section(title, results, empty="")
    for title, texts in ((form.ERRORS, document.errors), (form.WARNINGS, document.warnings)):
        yield from _section(title, [form.quoted(text) for text in texts], empty=form.NONE)
    yield from ("", f"## {form.PROCESS}")


def _section(title: str, bullets: Sequence[str], *, empty: str) -> Iterator[str]:
    yield from ("", f"## {title}")
    yield from (f"- {text}" for text in bullets) if bullets else (empty,)


def _flags(document: Parsed) -> list[str]:
    return [f"{name}={str(on).lower()}" for name, on in document.flags.items()]


def _result(test: TestResult) -> str:
    return f"{test.name}: {str(test.status).upper()} ({test.duration_ms}ms)"


def _summary(document: Parsed) -> dict[str, Any]:
    success = document.recorded_status == "SUCCESS"
    about = {
        "deploymentId": document.deployment_id,
        "timestamp": _moment(document.timestamp),
        "environment": str(document.environment),
        "success": success,
    }
    details = about | {
        "componentsDeployed": [str(c) for c in document.components],
        "featureFlagsEnabled": _flags(document),
        "smokeTestResults": [_entry(t) for t in document.tests if t.suite is Suite.SMOKE],
        "integrationTestResults": [
            _entry(t) for t in document.tests if t.suite is Suite.INTEGRATION
        ],
        "errors": list(document.errors),
        "warnings": list(document.warnings),
    }
    return about | {"summary": counts(document), "details": details}


def _entry(test: TestResult) -> dict[str, Any]:
    if test.suite is Suite.SMOKE:
        component, _, name = test.name.partition(".")
        who = {"component": component, "test": name}
    else:
        who = {"integration": test.name}
    said: dict[str, Any] = {**who, "status": str(test.status), "duration": test.duration_ms}
    return {**said, "error": test.error} if test.error else said


def _passed(tests: Sequence[TestResult]) -> int:
    return sum(test.status is TestStatus.PASS for test in tests)


def _moment(at: datetime) -> str:
    utc = at.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"
