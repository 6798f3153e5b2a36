"""The smoke tests of a rollback: only its target counts, held to the plan's own literals."""

from __future__ import annotations

from collections.abc import Mapping

from routing.core.rollback import PATH, Target
from routing.core.values import Operation, Path, TestStatus
from routing.core.verdict import Mismatch
from routing.deployments.checks import base, health, paths, support
from routing.deployments.checks.base import Check, Ground, Looked
from routing.deployments.evidence import Claim
from routing.deployments.parsed import SmokeTest

_CONNECTION: Mapping[Path, SmokeTest] = {
    Path.DIRECT_BEDROCK: SmokeTest.DIRECT_CONNECTION,
    Path.MCP: SmokeTest.MCP_CONNECTION,
}


def checks(target: Target) -> Mapping[str, Check]:
    """Return the checks by name, in the order of a deployment's smoke tests."""
    found: dict[str, Check] = {SmokeTest.ROUTING_DECISION: everything(PATH[target])}
    for path, name in _CONNECTION.items():
        found[name] = paths.connection(path) if path is PATH[target] else _not_counted(path)
    return found | {
        SmokeTest.HEALTH_CHECK: health.health_check_basic,
        SmokeTest.SUPPORT_MODE: support.support_mode_basic,
    }


def uncounted(target: Target) -> str:
    """Return the check that is skipped by plan."""
    return next(name for path, name in _CONNECTION.items() if path is not PATH[target])


def everything(path: Path) -> Check:
    """Return the check that every operation is answered by `path`, emergencies too."""

    async def check(ground: Ground) -> Looked:
        claims: tuple[Claim, ...] = ()
        elsewhere: list[str] = []
        for operation in Operation:
            reply = await ground.run.route(
                base.prompt(ground), operation=operation, nonce=ground.nonce, max_tokens=16
            )
            if "candidates" not in reply.body:
                elsewhere.append(f"{operation} to {base.refused(reply)}")
                continue
            effective = reply.body["effective"]
            if effective != str(path):
                instead = effective or "no path"
                elsewhere.append(f"{operation} to {instead} ({reply.body['reason']})")
            claims += base.routed(ground, reply)
        good = f"{len(Operation)} of {len(Operation)} operations to {path}"
        return Looked(
            status=TestStatus.FAIL if elsewhere else TestStatus.PASS,
            expected=good,
            actual="; ".join(elsewhere) or good,
            kind=Mismatch.HEALTH_FALLBACK if elsewhere else None,
            claims=claims,
        )

    return check


def _not_counted(path: Path) -> Check:
    async def check(ground: Ground) -> Looked:
        return base.skipped(f"{path} is not the target of this rollback, so it is not counted.")

    return check
