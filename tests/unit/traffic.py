"""Random requests through a real router to random paths, each past breakers of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from routing.breakers.board import Board
from routing.compliance.gate import Policy
from routing.core.decision import Decision, State
from routing.core.values import EnvironmentName, Failure, Operation, Path, Priority
from routing.decisions.log import DecisionLog
from routing.decisions.record import Caller
from routing.paths.base import Message
from routing.paths.scripted import ECHO, ScriptedClient, fails
from routing.router import Ask, IntelligentRouter, Routed
from tests.unit import drawn
from tests.unit.stage import NOW

CALLER = Caller(
    environment=EnvironmentName.DEVELOPMENT, token="tok_1", tenant="acme", request_id="r1"
)


class Kept(DecisionLog):
    """A log in memory, for tests that ask what was written and not whether it lasts."""

    def __init__(self) -> None:
        self.bodies: list[Mapping[str, Any]] = []
        self._problem = ""

    def put(self, body: Mapping[str, Any]) -> asyncio.Future[int]:
        self.bodies.append(body)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(len(self.bodies))
        return done


def client(rng: Random, path: Path) -> ScriptedClient:
    """Return a path that answers, fails for good, or fails once."""
    how = rng.random()
    if how < 0.4:
        return ScriptedClient(path=path)
    failing = fails(rng.choice(list(Failure)))
    if how < 0.5:
        return ScriptedClient(path=path, steps=[failing], otherwise=ECHO)
    return ScriptedClient(path=path, otherwise=failing)


def ask(rng: Random) -> Ask:
    return Ask(
        caller=CALLER,
        operation=rng.choice(list(Operation)),
        messages=(Message(role="user", text="What is the state?"),),
        priority=rng.choice((None, *Priority)),
        pinned=rng.choice(list(Path)) if rng.random() < 0.05 else None,
        mcp_can_say_it=rng.random() < 0.9,
        subject=f"user-{rng.randrange(1000)}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """One request: under which state, what `explain` said before, what became of it."""

    state: State
    explained: Decision
    routed: Routed


async def one(rng: Random, log: DecisionLog) -> Went:
    """Explain and route the same ask under the same state."""
    state, asked = drawn.state(rng), ask(rng)
    clients = {path: client(rng, path) for path in Path}
    router = IntelligentRouter(
        situation=lambda *_: state,
        client=lambda _, path: clients[path],
        board=Board(),
        log=log,
        clock=lambda: NOW,
        policy=Policy(),
    )
    explained, _ = router.explain(asked)
    return Went(state=state, explained=explained, routed=await router.route(asked))
