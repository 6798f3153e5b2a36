"""Deployment documents made up for tests, in the shape of the recorded ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from routing.core.flags import FlagName
from routing.core.values import Component, EnvironmentName, TestStatus
from routing.core.verdict import Suite, TestResult
from routing.deployments import render
from routing.deployments.parsed import IntegrationTest, Parsed, SmokeTest

BEGUN_MS = 1_700_000_000_000
ID = f"made-up-run-{BEGUN_MS}"
FILE = f"made-up-{ID}.md"
SUMMARY = f"made-up-summary-{BEGUN_MS + 2_500}.json"
PROCESS = "\n### What was done\n1. Everything, by hand\n\n### Way back\n- none\n"
DRIFT = "Matrix check: Expected emergency to route to direct_bedrock, got direct"


def results(
    *, failing: Sequence[str] = (), duration_ms: int = 7, error: str = ""
) -> tuple[TestResult, ...]:
    """Return a result for every test of a deployment; those in `failing` fail."""
    suites = [(Suite.SMOKE, name) for name in SmokeTest]
    suites += [(Suite.INTEGRATION, name) for name in IntegrationTest]  # type: ignore[misc]
    return tuple(
        TestResult(
            suite=suite,
            name=str(name),
            status=TestStatus.FAIL if name in failing else TestStatus.PASS,
            duration_ms=duration_ms,
            error=error if name in failing else "",
        )
        for suite, name in suites
    )


def clean(**more: Any) -> Parsed:
    """Return a document of a run without a fault, as Markdown says it; `more` replaces facts."""
    whole = Parsed(
        deployment_id=ID,
        environment=EnvironmentName.DEVELOPMENT,
        timestamp=datetime(2023, 11, 14, 22, 13, 21, 500_000, tzinfo=UTC),
        recorded_status="SUCCESS",
        components=tuple(Component),
        flags={FlagName.INTELLIGENT_ROUTING: True, FlagName.CACHING: True},
        tests=results(),
        process=PROCESS,
    )
    return replace(whole, **more)


def markdown(**more: Any) -> str:
    """Return `clean` as Markdown."""
    return render.markdown(clean(**more))


def summary(**more: Any) -> dict[str, Any]:
    """Return `clean` as the object of its JSON summary."""
    made: dict[str, Any] = json.loads(render.summary(clean(**more)))
    return made


def text_of(value: Any) -> str:
    """Return `value` as the reference wrote its JSON: indented by two."""
    return json.dumps(value, indent=2)
