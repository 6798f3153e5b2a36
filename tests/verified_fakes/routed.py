"""A real router over a real Bedrock client of a server that misbehaves; MCP is scripted."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path as Folder
from typing import Any

from routing.breakers.board import Board, Key
from routing.compliance.gate import Policy
from routing.core.decision import PathFacts, State
from routing.core.flags import defaults
from routing.core.matrix import DEFAULT, Matrix
from routing.core.values import (
    Breaker,
    EnvironmentName,
    Health,
    Operation,
    Path,
)
from routing.decisions.log import DecisionLog
from routing.decisions.record import Caller
from routing.paths.base import Message
from routing.paths.bedrock import DirectBedrockClient
from routing.paths.scripted import ScriptedClient
from routing.router import Ask, IntelligentRouter, Routed
from tests.verified_fakes import hostile
from tests.verified_fakes.asked import call
from tests.verified_fakes.hostile import Server, reply
from tests.verified_fakes.test_bedrock_same_faults import (
    GOOD,
)
from tests.verified_fakes.test_direct_bedrock_client import connect

DEV = EnvironmentName.DEVELOPMENT
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
# Emergencies have Bedrock alone; infrastructure has MCP behind it.
ALONE, BACKED = Operation.EMERGENCY, Operation.INFRASTRUCTURE
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@dataclass(slots=True)
class Ground:
    """A real router over a real client of `server`, and over a scripted other path."""

    server: Server
    client: DirectBedrockClient
    log: DecisionLog
    other: ScriptedClient
    board: Board
    matrix: Matrix = DEFAULT

    def router(self) -> IntelligentRouter:
        return IntelligentRouter(
            situation=lambda *_: State(
                matrix=self.matrix, flags=defaults(DEV), paths={p: self._facts(p) for p in Path}
            ),
            client=lambda _, path: self.client if path is DIRECT else self.other,
            board=self.board,
            log=self.log,
            clock=lambda: NOW,
            policy=Policy(),
        )

    def _facts(self, path: Path) -> PathFacts:
        target = self.client.target if path is DIRECT else self.other.target
        key = Key(environment=DEV, path=path, target=target)
        return PathFacts(health=Health.HEALTHY, breaker=self.board.state(key))

    def breaker(self) -> Breaker:
        return self._facts(DIRECT).breaker

    def budget(self, ms: int) -> None:
        rows = {op: replace(row, budget_ms=ms) for op, row in self.matrix.rows.items()}
        self.matrix = Matrix(version=1, rows=rows)

    async def route(self, operation: Operation) -> Routed:
        return await self.router().route(ask(operation))

    def fail(self, code: str, status: int, **more: str) -> None:
        said: Any = {"x_amzn_errortype": code, **more}
        self.server.behave = hostile.saying(reply(status, {"message": "no"}, **said))

    def stream(self, *frames: bytes) -> None:
        self.server.behave = hostile.saying(reply(200, b"".join(frames)))


def ask(operation: Operation) -> Ask:
    caller = Caller(environment=DEV, token="tok_1", tenant="acme")
    words = (Message(role="user", text="what is the state"),)
    return Ask(caller=caller, operation=operation, messages=words)


@contextlib.asynccontextmanager
async def laid(folder: Folder) -> AsyncIterator[Ground]:
    """Yield the ground, its client warm, over a server that answers well."""
    log = DecisionLog(folder, process="p", boot="1")
    log.open(NOW)
    async with hostile.serving(hostile.saying(GOOD)) as server:
        client = connect(lambda: server.url)
        await client.call(call())
        server.requests.clear()
        yield Ground(server, client, log, ScriptedClient(path=MCP), Board())
        await client.close()
    log.close(NOW)


def moved(routed: Routed) -> bool:
    """Whether the other path gave the answer."""
    return routed.status == 200 and routed.conclusion.effective is MCP
