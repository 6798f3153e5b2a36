"""The first deployment of a fresh installation: a real one, as soon as both paths are healthy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from routing.core.errors import HybridOpsError
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Health, Path
from routing.deployments import deploy
from routing.deployments.models import Deployment, Origin

log = logging.getLogger(__name__)
ENVIRONMENT = EnvironmentName.DEVELOPMENT
LOOK_S = 0.5
LONGEST_WAIT_S = 60.0


def is_due() -> bool:
    """Tell whether nothing was ever deployed to development from here."""
    ran = Deployment.objects.filter(environment_id=ENVIRONMENT, origin=str(Origin.RAN))
    return not ran.exists()


async def healthy(health: Callable[[], Mapping[Path, Health]]) -> bool:
    """Wait until both paths are measured healthy; False when a minute was not enough."""
    clock = asyncio.get_running_loop().time
    until = clock() + LONGEST_WAIT_S
    while clock() < until:
        if all(status is Health.HEALTHY for status in health().values()):
            return True
        await asyncio.sleep(LOOK_S)
    return False


def start(*, by: Actor, now: datetime, code_version: str) -> None:
    """Ask for the deployment; whoever serves development runs it. A refusal is logged."""
    if not is_due():
        return
    try:
        deploy.start(
            by=by,
            now=now,
            environment=ENVIRONMENT,
            code_version=code_version,
            reason="first run of this installation",
        )
    except HybridOpsError as error:
        log.warning("The first deployment was not started: %s", error.message)
