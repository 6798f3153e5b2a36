"""The deployments and rollbacks that this server runs, and how they reach its event loop.

A runner works on a thread of its own; what it asks of clients and monitor is done on the loop
that they belong to, while the thread waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from routing import loops
from routing.compliance.borders import Borders
from routing.core.errors import Unavailable
from routing.core.values import EnvironmentName, Operation, Path
from routing.deployments import worker
from routing.deployments.engine import Tools
from routing.health.store import Measured
from routing.monitor import HybridHealthMonitor
from routing.paths.base import Call, Message, PathClient

WITHIN_S = 10.0  # a probe or a call for a runner; both have shorter ends of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a runner may do to the paths of this process."""

    loop: asyncio.AbstractEventLoop
    borders: Borders[PathClient]
    monitor: HybridHealthMonitor

    def tools_digest(self, environment: EnvironmentName) -> str:
        """Return what the MCP client last listed, empty before it did."""
        return str(getattr(self.borders.client(environment, Path.MCP), "tools_digest", ""))

    def look(self, environment: EnvironmentName, path: Path) -> Measured:
        """Probe one path now."""
        looking = self.monitor.fresh(environment, path)
        return asyncio.run_coroutine_threadsafe(looking, self.loop).result(WITHIN_S)

    def ask(self, environment: EnvironmentName, path: Path, prompt: str, nonce: str) -> str:
        """Ask `path` past the router and return what it answered; raises Unavailable."""
        client = self.borders.client(environment, path)
        if client is None:
            raise Unavailable(
                self.borders.breach(environment, path)
                or f"{path} is not configured in {environment}; set its address first."
            )
        call = Call(
            environment=environment,
            operation=Operation.STANDARD,
            messages=(Message(role="user", text=prompt),),
            max_tokens=16,
            timeout_s=WITHIN_S / 2,
            decision_id="",
            nonce=nonce,
        )
        answering = asyncio.run_coroutine_threadsafe(client.call(call), self.loop)
        return answering.result(WITHIN_S).text


async def keep(environments: Sequence[EnvironmentName], tools: Tools) -> None:
    """Run what is asked for in `environments`; what is under way at the end is resumed later."""
    desk = worker.Worker(environments=environments, tools=tools)
    try:
        async with loops.hand("operations") as hand:
            while True:
                await hand.try_to(desk.round)
                await asyncio.sleep(worker.EVERY_S)
    finally:
        await asyncio.shield(asyncio.to_thread(desk.stop))
