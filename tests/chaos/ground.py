"""The real router over real clients of both stand-ins, in two environments, without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path as Folder

from routing.admission import Admission
from routing.breakers.board import Board, Key
from routing.breakers.pace import Paces
from routing.compliance.gate import Policy
from routing.core.admission import QueueSettings
from routing.core.circuit import CircuitSettings
from routing.core.decision import PathFacts, State
from routing.core.flags import FlagName, defaults
from routing.core.matrix import DEFAULT, Matrix
from routing.core.values import EnvironmentName, Health, Operation, Path
from routing.decisions.log import DecisionLog
from routing.decisions.record import Caller
from routing.health import snapshot
from routing.monitor import HybridHealthMonitor
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
    board: Board
    admission: Admission
    matrix: Matrix = DEFAULT

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a run changes of the product's own figures; `budget_ms` is for every operation.

    `probe_s` puts the health monitor to work, with that pause; `latency_ms` is the stand-ins'.
    `idempotent` is true of the stand-in's tool, which only echoes: it may be called twice.
    """

    circuit: CircuitSettings = field(default_factory=CircuitSettings)
    queue: QueueSettings = field(default_factory=QueueSettings)
    budget_ms: int | None = None
    flags: Mapping[FlagName, bool] = field(default_factory=dict)
    probe_s: float | None = None
    latency_ms: int = 2
    idempotent: bool = False

    @property
    def matrix(self) -> Matrix:
        if self.budget_ms is None:
            return DEFAULT
        rows = {op: replace(row, budget_ms=self.budget_ms) for op, row in DEFAULT.rows.items()}
        return Matrix(version=DEFAULT.version, rows=rows)


@contextlib.asynccontextmanager
async def laid(home: Folder, seed: int, terms: Terms | None = None) -> AsyncIterator[Ground]:
    """Start both stand-ins and everything that routes; end all of it after the block."""
    terms = terms or Terms()
    snapshot._judged.clear()  # every run begins at the same time of its own clock
    async with contextlib.AsyncExitStack() as stack:
        stand_ins = {}
        pace = ("--latency-ms", f"{terms.latency_ms}-{terms.latency_ms}")
        for name, path in (("bedrock", oracle.DIRECT), ("mcp", oracle.MCP)):
            running = standin.running(name, home / name, "--seed", str(seed), *pace)
            stand_ins[path] = stack.enter_context(running)
        for load in (bedrock.load_sdk, mcp.load_sdk):
            await asyncio.to_thread(load)
        log = DecisionLog(home / "segments", process="chaos", boot="1")
        log.open(NOW)
        stack.callback(log.close, NOW)
        clients = {place: _clients(stand_ins, place, terms) for place in PLACES}
        for client in (one for pair in clients.values() for one in pair.values()):
            stack.push_async_callback(client.close)
            assert (await client.probe()).ok
        made = _Made(clients, terms)
        if terms.probe_s is not None:
            watch = asyncio.create_task(made.watch(terms.probe_s))
            stack.push_async_callback(_end, watch)
        yield Ground(
            router=made.router(log),
            log=log,
            stand_ins=stand_ins,
            board=made.board,
            admission=made.admission,
            matrix=terms.matrix,
        )


def _clients(
    stand_ins: dict[str, StandIn], place: EnvironmentName, terms: Terms
) -> dict[Path, PathClient]:
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
        idempotent=terms.idempotent,
        probe_tool="echo" if terms.probe_s is not None else "",
    )
    return {Path.DIRECT_BEDROCK: direct, Path.MCP: other}


class _Made:
    """The parts that route, over real clients."""

    def __init__(
        self, clients: Mapping[EnvironmentName, Mapping[Path, PathClient]], terms: Terms
    ) -> None:
        self._clients = clients
        self._terms = terms
        self._matrix = terms.matrix
        self._began = time.monotonic()
        self.board = Board(terms.circuit)
        self.paces = Paces()
        self.admission = Admission(terms.queue)
        self.monitor = HybridHealthMonitor(
            client=self._client,
            flags=self._flags,
            board=self.board,
            paces=self.paces,
            clock=self._now,
            interval_s=terms.probe_s or 5.0,
        )

    def router(self, log: DecisionLog) -> IntelligentRouter:
        return IntelligentRouter(
            situation=lambda place, _: State(
                matrix=self._matrix,
                flags=self._flags(place),
                paths={path: self._facts(place, path) for path in Path},
            ),
            client=self._client,
            board=self.board,
            paces=self.paces,
            log=log,
            clock=self._now,
            policy=Policy(),
            admission=self.admission,
            listeners=(self.monitor.take,),
        )

    async def watch(self, pause_s: float) -> None:
        """Probe and judge as a server does."""
        never = asyncio.get_running_loop().create_future()
        while True:
            await self.monitor.round(PLACES)
            await asyncio.wait([never], timeout=pause_s)

    def _now(self) -> datetime:
        return NOW + timedelta(seconds=time.monotonic() - self._began)

    def _client(self, place: EnvironmentName, path: Path) -> PathClient:
        return self._clients[place][path]

    def _flags(self, place: EnvironmentName) -> dict[FlagName, bool]:
        return {**defaults(place), **self._terms.flags}

    def _facts(self, place: EnvironmentName, path: Path) -> PathFacts:
        key = Key(environment=place, path=path, target=self._client(place, path).target)
        health = Health.HEALTHY
        if self._terms.probe_s is not None:
            health = snapshot.of(place, int(self._now().timestamp() * 1_000_000))[path]
        return PathFacts(health=health, breaker=self.board.state(key))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
