"""The facts of the seven runs recorded on 10 October 2025 in the system before this one.

They stand here as history: labelled so, unproven, derived to a verdict like anything else. They
neither block nor answer an import of the documents themselves, which carry more. What the facts
do not say is left out, not guessed: of the ten tests of each run only the one whose result is
known for all seven is a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from routing.audit import ledger
from routing.core import verdict
from routing.core.flags import FlagName
from routing.core.rights import Actor
from routing.core.values import Action, Component, EnvironmentName, TestStatus
from routing.core.verdict import Suite, TestResult
from routing.deployments.models import (
    Deployment,
    DeploymentFinding,
    DeploymentTest,
    Origin,
)

ENVIRONMENT = EnvironmentName.DEVELOPMENT
_ALL = tuple(Component)
_THREE = (
    Component.DIRECT_BEDROCK_CLIENT,
    Component.MCP_ROUTER,
    Component.HYBRID_HEALTH_MONITOR,
)
_FLAGS = {
    FlagName.INTELLIGENT_ROUTING: True,
    FlagName.DIRECT_FALLBACK: False,
    FlagName.BEDROCK_PROVIDER: True,
    FlagName.CACHING: True,
    FlagName.MONITORING: True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One run: `ms` is its id and its beginning (epoch), `wall_ms` how long all of it took."""

    ms: int
    components: Sequence[Component]
    smoke: int
    errors: int
    wall_ms: int
    essence: str
    support_mode: bool = False


RUNS: Sequence[Recorded] = (
    Recorded(
        ms=1760079227872,
        components=(),
        smoke=0,
        errors=8,
        wall_ms=33,
        essence="The script called methods that did not exist; integration tests still 5 of 5.",
    ),
    Recorded(
        ms=1760084629482,
        components=_THREE,
        smoke=2,
        errors=4,
        wall_ms=28,
        essence="Support manager and router were not deployed; the operations test, "
        "infrastructure_audit and undefined had no rule.",
    ),
    Recorded(
        ms=1760085486694,
        components=_ALL,
        smoke=3,
        errors=1,
        wall_ms=25,
        essence="emergency: expected direct_bedrock, got undefined.",
    ),
    Recorded(
        ms=1760085917937,
        components=_ALL,
        smoke=3,
        errors=1,
        wall_ms=23,
        essence="emergency: expected direct_bedrock, got undefined.",
    ),
    Recorded(
        ms=1760086145620,
        components=_ALL,
        smoke=3,
        errors=1,
        wall_ms=44,
        essence="emergency: expected direct_bedrock, got direct.",
    ),
    Recorded(
        ms=1760086517231,
        components=_ALL,
        smoke=4,
        errors=1,
        wall_ms=24,
        essence="standard: expected mcp, got direct; the router's smoke test passed.",
    ),
    Recorded(
        ms=1760086996375,
        components=_ALL,
        smoke=4,
        errors=1,
        wall_ms=24,
        essence="standard: expected mcp, got direct; the support mode flag was added.",
        support_mode=True,
    ),
)


def identifier(run: Recorded) -> str:
    """Return the id of `run` in our tables."""
    return f"history-{run.ms}"


def lay(*, by: Actor, now: datetime) -> int:
    """Put the runs that are missing into the tables, booked once; return how many were."""
    there = set(Deployment.objects.filter(origin=str(Origin.HISTORY)).values_list("id", flat=True))
    missing = [run for run in RUNS if identifier(run) not in there]
    if not missing:
        return 0
    with transaction.atomic():
        for run in missing:
            _lay(run, by)
        ledger.record(
            by=by,
            now=now,
            action=Action.HISTORY_LAY,
            environment=ENVIRONMENT,
            object_type="environment",
            object_id=str(ENVIRONMENT),
            after={"runs": [identifier(run) for run in missing]},
        )
    return len(missing)


def _lay(run: Recorded, by: Actor) -> None:
    # The one result that is known for all seven: the written way back was never proven.
    test = TestResult(suite=Suite.SMOKE, name="MCPRouter.mcp_connection", status=TestStatus.FAIL)
    flags = {**_FLAGS, FlagName.SUPPORT_MODE: True} if run.support_mode else _FLAGS
    kept = Deployment.objects.create(
        id=identifier(run),
        environment_id=ENVIRONMENT,
        origin=str(Origin.HISTORY),
        recorded_status="FAILED",
        derived_verdict=str(verdict.derive([test], run.components, [run.essence]).verdict),
        created_at=datetime.fromtimestamp(run.ms / 1000, UTC),
        by=by.id,
        components=[str(component) for component in run.components],
        flags={str(name): on for name, on in flags.items()},
        errors=[run.essence],
    )
    DeploymentTest.objects.create(
        deployment=kept,
        position=0,
        suite=str(test.suite),
        name=test.name,
        status=str(test.status),
        evidence=str(test.evidence),
    )
    for position, (code, words) in enumerate(_findings(run)):
        DeploymentFinding.objects.create(
            deployment=kept, position=position, code=code, message=words
        )


def _findings(run: Recorded) -> Sequence[tuple[str, str]]:
    return (
        (
            "history",
            f"Facts of a recorded run, not a document: {run.smoke} of 5 smoke tests passed, 5 of "
            f"5 integration tests passed, {run.errors} error(s). Which of the other smoke tests "
            "passed is in the run's own documents; import them to see.",
        ),
        (
            "implausible_run",
            f"The whole run took {run.wall_ms} ms, by its own file names: nothing outside the "
            "process can have been contacted in that time.",
        ),
    )
