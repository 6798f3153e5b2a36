"""Labelled traffic of our own, so that a fresh installation shows both paths at work.

It goes in at the machine door under run tokens, as everybody's does, and every decision of it is
marked synthetic: no status and no share of real traffic counts it. HYBRIDOPS_SYNTHETIC=0 turns
it off.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from routing import runs
from routing.core.errors import HybridOpsError
from routing.core.rights import system_actor
from routing.core.values import EnvironmentName, Operation

log = logging.getLogger(__name__)

EVERY_S = 2.0
# A run token lasts an hour at most; a run is opened anew well before.
ASKS_PER_RUN = 1200
AGAIN_AFTER_S = 10.0

# Everyday work comes most often, emergencies seldom: as the operations' names say.
_MIX: Sequence[Operation] = (
    Operation.STANDARD,
    Operation.INFRASTRUCTURE,
    Operation.STANDARD,
    Operation.BACKGROUND_TASKS,
    Operation.IMPLEMENTATION,
    Operation.STANDARD,
    Operation.META_MONITOR,
    Operation.KIRO_COMMUNICATION,
    Operation.STANDARD,
    Operation.EMERGENCY,
)


def asks() -> Iterator[tuple[Operation, str]]:
    """Return operations and prompts in their mix, for ever."""
    for number, operation in enumerate(itertools.cycle(_MIX), start=1):
        yield operation, f"Synthetic request {number} ({operation}): answer in one sentence."


async def keep_asking(
    environment: EnvironmentName, *, clock: Callable[[], datetime], process: str
) -> None:
    """Ask through the door of `process` every two seconds, for as long as the server lives.

    A refusal is an answer too; a run that cannot be opened is tried again.
    """
    words = asks()
    by = system_actor("synthetic")
    await asyncio.sleep(EVERY_S)  # the process's own row comes first
    while True:
        try:
            async with runs.open(
                environment=environment,
                by=by,
                now=clock(),
                purpose="synthetic traffic",
                process=process,
            ) as run:
                for operation, prompt in itertools.islice(words, ASKS_PER_RUN):
                    await asyncio.sleep(EVERY_S)
                    await run.route(prompt, operation=operation)
        except HybridOpsError as error:
            log.warning("synthetic traffic in %s pauses: %s", environment, error.message)
            await asyncio.sleep(AGAIN_AFTER_S)
