"""The real router over real clients of both stand-ins, in two environments, without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path as Folder

from routing.breakers.board import Board, Key
from routing.compliance.gate import Policy
from routing.core.decision import PathFacts, State
from routing.core.flags import defaults
from routing.core.matrix import DEFAULT
from routing.core.values import EnvironmentName, Health, Operation, Path
from routing.decisions.log import DecisionLog
from routing.decisions.record import Caller
from routing.paths import bedrock, mcp
from routing.paths.base import Message, PathClient
from routing.paths.bedrock import DirectBedrockClient
from routing.paths.mcp import MCPRouter
from routing.router import Ask, IntelligentRouter
from tests.chaos import oracle
from tests.chaos.oracle import Asked
from tests.verified_fakes import standin
from tests.verified_fakes.asked import MODEL
from tests.verified_fakes.standin import StandIn

PLACES = (EnvironmentName.DEVELOPMENT, EnvironmentName.PRODUCTION)
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """`stand_ins` by path; `log` is the decision log that the router writes."""

    router: IntelligentRouter
    log: DecisionLog
    stand_ins: dict[str, StandIn]

    def fail(self, path: str, share: float = 0.5) -> None:
        self.stand_ins[path].fault(kind="error", status=503, share=share, seconds=120)

    async def run(self, rng: random.Random, count: int, at_once: int = 16) -> list[Asked]:
        """Route `count` random asks, so many at once, and return what each caller saw."""
        asks = iter([_ask(rng, number) for number in range(count)])
        seen: list[Asked] = []

        async def caller() -> None:
            for ask in asks:
                seen.append(await self._one(ask))

        await asyncio.gather(*(caller() for _ in range(at_once)))
        return seen

    async def _one(self, ask: Ask) -> Asked:
        routed = await self.router.route(ask)
        return Asked(
            environment=str(ask.caller.environment),
            operation=str(ask.operation),
            decision_id=routed.decision_id,
            status=routed.status,
            code=routed.code,
            retry_after_s=routed.retry_after_s,
        )

    def verdict(self, asked: Sequence[Asked], failing: str) -> list[str]:
        """Close the log, wait for the journals, and return what the oracle finds wrong."""
        self.log.close(NOW)
        for stand_in in self.stand_ins.values():
            for place in PLACES:
                _wait_for_the_last(stand_in, str(place))
        met = oracle.journals(one.home for one in self.stand_ins.values())
        booked = oracle.decisions(self.log.path, self.log.stream)
        return oracle.problems(asked, met, booked, failing)


def _wait_for_the_last(stand_in: StandIn, place: str) -> None:
    """A journal is written on after the answer has left."""
    deadline = time.monotonic() + 5
    while True:
        events = [entry["event"] for entry in stand_in.journal(place)]
        if events.count("ended") == events.count("arrived"):
            return
        assert time.monotonic() < deadline, "a request never ended"


def _ask(rng: random.Random, number: int) -> Ask:
    caller = Caller(environment=rng.choice(PLACES), token="tok_1", tenant="acme")
    words = (Message(role="user", text=f"ask number {number}"),)
    return Ask(caller=caller, operation=rng.choice(list(Operation)), messages=words)


@contextlib.asynccontextmanager
async def laid(home: Folder, seed: int) -> AsyncIterator[Ground]:
    """Start both stand-ins and everything that routes; end all of it after the block."""
    async with contextlib.AsyncExitStack() as stack:
        stand_ins = {}
        for name, path in (("bedrock", oracle.DIRECT), ("mcp", oracle.MCP)):
            running = standin.running(name, home / name, "--seed", str(seed))
            stand_ins[path] = stack.enter_context(running)
        for load in (bedrock.load_sdk, mcp.load_sdk):
            await asyncio.to_thread(load)
        log = DecisionLog(home / "segments", process="chaos", boot="1")
        log.open(NOW)
        stack.callback(log.close, NOW)
        clients = {place: _clients(stand_ins, place) for place in PLACES}
        for client in (one for pair in clients.values() for one in pair.values()):
            stack.push_async_callback(client.close)
            assert (await client.probe()).ok
        yield Ground(router=_router(clients, log), log=log, stand_ins=stand_ins)


def _clients(stand_ins: dict[str, StandIn], place: EnvironmentName) -> dict[Path, PathClient]:
    direct = DirectBedrockClient(
        environment=place,
        region="eu-central-1",
        model=MODEL,
        endpoint=lambda: stand_ins[oracle.DIRECT].url(str(place)),
        local=True,
    )
    other = MCPRouter(
        target="local:mcp",
        tool="route_request",
        endpoint=lambda: f"{stand_ins[oracle.MCP].url(str(place))}/mcp",
    )
    return {Path.DIRECT_BEDROCK: direct, Path.MCP: other}


def _router(
    clients: dict[EnvironmentName, dict[Path, PathClient]], log: DecisionLog
) -> IntelligentRouter:
    board = Board()

    def facts(place: EnvironmentName, path: Path) -> PathFacts:
        key = Key(environment=place, path=path, target=clients[place][path].target)
        return PathFacts(health=Health.HEALTHY, breaker=board.state(key))

    return IntelligentRouter(
        situation=lambda place, _: State(
            matrix=DEFAULT,
            flags=defaults(place),
            paths={path: facts(place, path) for path in Path},
        ),
        client=lambda place, path: clients[place][path],
        board=board,
        log=log,
        clock=lambda: NOW,
        policy=Policy(),
    )
