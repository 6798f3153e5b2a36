"""Runs the checks of a suite through the machine door of the serving process, and judges proof."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from asgiref.sync import sync_to_async

from routing import runs
from routing.core.errors import HybridOpsError, Unavailable
from routing.core.rights import system_actor
from routing.core.values import Evidence, Operation, Path, TestStatus
from routing.core.verdict import Suite, TestResult
from routing.deployments.checks import (
    breakers,
    compliance,
    flags,
    health,
    paths,
    routing,
    support,
    trail,
)
from routing.deployments.checks.base import Check, Ground, Looked
from routing.deployments.engine import Run
from routing.deployments.evidence import Claim, Journal, Journals
from routing.deployments.parsed import IntegrationTest, SmokeTest
from routing.deployments.release import Content
from routing.fleet import queries as fleet

log = logging.getLogger(__name__)
NO_SERVER = "No server serves this environment, so nothing could be asked."

SUITES: Mapping[Suite, Mapping[str, Check]] = {
    Suite.SMOKE: {
        SmokeTest.ROUTING_DECISION: routing.routing_decision_basic,
        SmokeTest.DIRECT_CONNECTION: paths.connection(Path.DIRECT_BEDROCK),
        SmokeTest.MCP_CONNECTION: paths.connection(Path.MCP),
        SmokeTest.HEALTH_CHECK: health.health_check_basic,
        SmokeTest.SUPPORT_MODE: support.support_mode_basic,
    },
    Suite.VALIDATION: {
        "flag_configuration": flags.flag_configuration,
        **{f"routing_matrix.{each}": routing.validation(each) for each in Operation},
    },
    Suite.INTEGRATION: {
        IntegrationTest.FEATURE_FLAGS: flags.feature_flags_system,
        IntegrationTest.AUDIT_TRAIL: trail.audit_trail_system,
        IntegrationTest.MONITORING: health.monitoring_system,
        IntegrationTest.COMPLIANCE: compliance.compliance_system,
        IntegrationTest.CIRCUIT_BREAKER: breakers.circuit_breaker_system,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all checks of a suite share."""

    hold: Run
    content: Content
    conflicts: Mapping[str, str]


def suite(which: Suite, bench: Bench) -> list[TestResult]:
    """Return the results of one suite; without a serving process each is skipped."""
    return given(which, SUITES[which], bench)


def given(which: Suite, checks: Mapping[str, Check], bench: Bench) -> list[TestResult]:
    """Return the results of `checks`, as those of the suite `which`."""
    if not bench.hold.tools.process:
        return [_skipped(which, name, NO_SERVER) for name in checks]
    try:
        return runs.wait(partial(_suite, which, checks, bench))
    except Unavailable as error:
        return [_skipped(which, name, error.message) for name in checks]


async def _suite(which: Suite, checks: Mapping[str, Check], bench: Bench) -> list[TestResult]:
    hold = bench.hold
    environment = hold.operation.environment
    row = await sync_to_async(fleet.environment)(environment)
    async with runs.open(
        environment=environment,
        by=system_actor("deployments"),
        now=hold.now(),
        purpose=f"{hold.operation.id} {which}"[:100],
        process=hold.tools.process,
    ) as run:
        ground = Ground(
            environment=environment,
            row=row,
            run=run,
            nonce="",
            content=bench.content,
            by=hold.operation.by,
            clock=hold.now,
            journals=Journals(
                home=hold.tools.home,
                environment=environment,
                since=hold.operation.created_at,
            ),
            board=hold.tools.board,
            operation=hold.operation.id,
            conflicts=bench.conflicts,
        )
        return [
            await one(which, name, check, ground, stopping=hold.tools.stopping.is_set)
            for name, check in checks.items()
        ]


async def one(
    which: Suite,
    name: str,
    check: Check,
    ground: Ground,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> TestResult:
    """Return the result of one check under a nonce of its own; proof is looked for here."""
    if stopping():
        return _skipped(which, name, "The server ends.")
    own = replace(ground, nonce=f"{ground.operation}-{secrets.token_hex(8)}")
    began = time.monotonic()
    try:
        looked = await check(own)
    except HybridOpsError as error:
        looked = Looked(status=TestStatus.FAIL, error=error.message)
    except (KeyError, TypeError, ValueError) as error:
        log.exception("The check %s broke over what it was told.", name)
        looked = Looked(status=TestStatus.FAIL, error=f"{type(error).__name__}: {error}"[:300])
    try:
        proven = looked.status is not TestStatus.SKIP and await _proven(own, looked.claims)
    finally:
        if looked.after is not None:
            looked.after()
    return TestResult(
        suite=which,
        name=name,
        status=looked.status,
        evidence=Evidence.PROVEN if proven else Evidence.UNPROVEN,
        duration_ms=round((time.monotonic() - began) * 1000),
        expected=looked.expected,
        actual=looked.actual,
        kind=looked.kind,
        error=looked.error,
    )


async def _proven(ground: Ground, claims: Sequence[Claim]) -> bool:
    """Tell whether the other side bears out at least one claim that carries the nonce."""
    for claim in claims:
        if claim.nonce != ground.nonce:
            continue
        if claim.journal is Journal.REPORT:
            if await _is_reported(ground, claim):
                return True
        elif await ground.db(ground.journals.find, claim) is not None:
            return True
    return False


async def _is_reported(ground: Ground, claim: Claim) -> bool:
    """Ask the serving process anew: does its own report hold what the check claims?"""
    if ground.nonce not in str(claim.says.get("target", "")):
        return False
    reply = await ground.run.report(ground.nonce)
    views = reply.body.get("breakers", ())
    return any(all(view.get(k) == v for k, v in claim.says.items()) for view in views)


def _skipped(which: Suite, name: str, why: str) -> TestResult:
    return TestResult(suite=which, name=name, status=TestStatus.SKIP, error=why)
