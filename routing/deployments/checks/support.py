"""Support mode, held to what its flag demands."""

from __future__ import annotations

from datetime import timedelta

from routing.core.errors import RuleBroken, Stale
from routing.core.flags import FlagName
from routing.core.values import Action, TestStatus
from routing.core.verdict import Mismatch
from routing.deployments.checks import base
from routing.deployments.checks.base import Ground, Looked
from routing.deployments.evidence import Claim, Journal
from routing.support import mode, queries

LASTS = timedelta(minutes=5)  # a session that a killed run leaves behind ends by itself
ACTIVATED, REFUSED, TAKEN = "activated and deactivated", "refused by its flag", "already active"


async def support_mode_basic(ground: Ground) -> Looked:
    """Try to activate with the nonce as the reason: refused while off, done and undone while on.

    The flag is what the serving process says it is; what happens is what the manager does.
    """
    report = await ground.run.report(ground.nonce)
    if not report.ok:
        return Looked(status=TestStatus.FAIL, error=base.refused(report))
    on = bool(report.body["flags"][str(FlagName.SUPPORT_MODE)])
    expected = ACTIVATED if on else REFUSED
    actual = await ground.db(_try, ground)
    if on and actual == TAKEN:
        expected = TAKEN  # somebody works in it: a second session must be refused
    outcome = "done" if actual == ACTIVATED else "refused"
    claim = Claim(
        journal=Journal.CONTROL,
        nonce=ground.nonce,
        action=Action.SUPPORT_ACTIVATE,
        says={"outcome": outcome},
    )
    return base.compared(expected=expected, actual=actual, claims=(claim,), kind=Mismatch.FLAG)


def _try(ground: Ground) -> str:
    _clear(ground)
    now = ground.clock()
    try:
        opened = mode.activate(
            by=ground.by,
            now=now,
            environment=ground.environment,
            reason=ground.nonce,
            ends_at=now + LASTS,
        )
    except RuleBroken as error:
        return REFUSED if error.facts.get("rule") == mode.FLAG_OFF else error.message
    except Stale:
        return TAKEN
    active = mode.status(ground.environment, ground.clock()).active
    mode.deactivate(
        by=ground.by,
        now=ground.clock(),
        environment=ground.environment,
        reason=ground.nonce,
        session=opened.id,
    )
    return ACTIVATED if active else "activated, and its status says that it is not active"


def _clear(ground: Ground) -> None:
    """End what a killed run of this operation left open."""
    kept = queries.open_session(ground.environment)
    if kept is not None and kept.reason.startswith(ground.operation):
        mode.deactivate(
            by=ground.by,
            now=ground.clock(),
            environment=ground.environment,
            reason="left by a run that was killed",
            session=kept.id,
        )
