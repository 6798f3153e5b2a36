"""What the router still tries when everything looks down: forced emergencies, the last resort."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path as Folder

import pytest

from routing.breakers.held import Copy
from routing.core import circuit
from routing.core.circuit import Circuit
from routing.core.values import Breaker, Health, Operation, Path, Reason, Skip
from routing.paths import base
from routing.paths.base import Answer, Call
from routing.paths.scripted import ScriptedClient, Step, waits
from routing.router import Routed
from tests.unit import stage as stages
from tests.unit.stage import BOTH, Stage, ask

DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
EMERGENCY, STANDARD = Operation.EMERGENCY, Operation.STANDARD
INFRASTRUCTURE = Operation.INFRASTRUCTURE


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path) as made:
        yield made


class Queueing(ScriptedClient):
    """Lets every call wait in line until its turn comes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path=path)
        self.turn = asyncio.Event()
        self.waiting = asyncio.Event()

    async def call(self, call: Call) -> Answer:
        self.waiting.set()
        await self.turn.wait()
        base.ask_leave(call.may_go)
        return await super().call(call)


async def waited(stage: Stage, client: Queueing, operation: Operation) -> Routed:
    """Return what came of an ask whose breaker opened while its call waited in line."""
    asked = asyncio.create_task(stage.router.route(ask(operation)))
    await client.waiting.wait()
    stage.trip(client.path)
    client.turn.set()
    return await asked


async def test_an_emergency_is_forced_out_of_the_line_past_a_breaker_that_opened(
    stage: Stage,
) -> None:
    stage.direct = Queueing(DIRECT)
    routed = await waited(stage, stage.direct, EMERGENCY)
    assert (routed.status, routed.conclusion.reason) == (200, Reason.FORCED_EMERGENCY)
    assert len(stage.direct.calls) == len(routed.attempts) == 1


async def test_who_waited_while_the_only_breaker_opened_ends_without_a_call(stage: Stage) -> None:
    stage.mcp = Queueing(MCP)
    stage.facts[DIRECT] = {"configured": False}
    routed = await waited(stage, stage.mcp, STANDARD)
    assert (routed.status, routed.conclusion.reason) == (503, Reason.NO_PATH)
    assert (routed.retry_after_s, routed.attempts) == (5, ())
    assert [c.skip for c in routed.conclusion.candidates if c.path is MCP] == [Skip.BREAKER_OPEN]
    assert not stage.mcp.calls


@pytest.mark.parametrize("seen", [Breaker.CLOSED, Breaker.OPEN])
async def test_forces_an_emergency_past_an_open_breaker(stage: Stage, seen: Breaker) -> None:
    stage.trip(DIRECT)
    stage.breakers = {DIRECT: seen}
    routed = await stage.router.route(ask(EMERGENCY))
    assert (routed.status, routed.conclusion.reason) == (200, Reason.FORCED_EMERGENCY)
    assert stage.board.state(stage.key(DIRECT)) is Breaker.HALF_OPEN  # it was seen to answer


@pytest.mark.parametrize("seen", [Breaker.CLOSED, Breaker.OPEN])
async def test_forces_two_emergencies_at_a_time_and_sheds_the_third(
    stage: Stage, seen: Breaker
) -> None:
    gate = asyncio.Event()
    stage.direct.otherwise = waits(gate)
    stage.trip(DIRECT)
    stage.breakers = {DIRECT: seen}
    forced = [asyncio.create_task(stage.router.route(ask(EMERGENCY))) for _ in range(2)]
    await stage.direct.arrived(2)
    third = await stage.router.route(ask(EMERGENCY))
    assert (third.status, third.conclusion.reason, third.retry_after_s) == (503, Reason.SHED, 1)
    gate.set()
    assert {(await t).conclusion.reason for t in forced} == {Reason.FORCED_EMERGENCY}
    assert (await stage.router.route(ask(EMERGENCY))).status == 200  # the slots are free again


async def test_forces_an_emergency_when_all_trials_of_a_half_open_breaker_run(
    stage: Stage,
) -> None:
    stage.trip(DIRECT)
    stage.clock.now_us += 60_000_000
    gate = asyncio.Event()
    stage.direct.otherwise = waits(gate)
    trials = [asyncio.create_task(stage.router.route(ask(EMERGENCY))) for _ in range(3)]
    await stage.direct.arrived(3)
    stage.direct.otherwise = Step()
    assert (await stage.router.route(ask(EMERGENCY))).conclusion.reason is Reason.FORCED_EMERGENCY
    gate.set()
    assert {(await t).conclusion.reason for t in trials} == {Reason.RULE}
    assert stage.board.state(stage.key(DIRECT)) is Breaker.CLOSED


@pytest.mark.parametrize("health", [Health.UNHEALTHY, Health.MAINTENANCE])
async def test_no_illness_stops_an_emergency(stage: Stage, health: Health) -> None:
    stage.health = {DIRECT: health}
    routed = await stage.router.route(ask(EMERGENCY))
    assert (routed.status, routed.conclusion.reason) == (200, Reason.FORCED_EMERGENCY)


async def test_an_emergency_respects_a_breaker_that_a_person_opened(stage: Stage) -> None:
    stage.breakers = {DIRECT: Breaker.FORCED_OPEN}
    routed = await stage.router.route(ask(EMERGENCY))
    assert (routed.status, routed.conclusion.reason) == (503, Reason.NO_PATH)
    assert not stage.direct.calls


@pytest.mark.parametrize("seen", [Breaker.CLOSED, Breaker.OPEN])
async def test_a_person_who_opens_it_meanwhile_stops_an_emergency_too(
    stage: Stage, seen: Breaker
) -> None:
    stage.breakers = {DIRECT: seen}
    opened = circuit.force(Circuit(), Breaker.FORCED_OPEN, 2**40, stage.clock.now_us)
    stage.board.take({stage.key(DIRECT): Copy(circuit=opened)}, stage.clock.now_us)
    routed = await stage.router.route(ask(EMERGENCY))
    assert (routed.status, routed.conclusion.reason) == (503, Reason.NO_PATH)
    assert not stage.direct.calls


async def test_the_last_resort_has_one_call_in_flight_on_each_path(stage: Stage) -> None:
    stage.health = dict.fromkeys(BOTH, Health.UNHEALTHY)
    gate = asyncio.Event()
    stage.direct.otherwise = stage.mcp.otherwise = waits(gate)
    under_way = []
    for client in (stage.direct, stage.mcp):
        under_way.append(asyncio.create_task(stage.router.route(ask(INFRASTRUCTURE))))
        await client.arrived()
    third = await stage.router.route(ask(INFRASTRUCTURE))
    assert (third.status, third.conclusion.reason) == (503, Reason.NO_PATH)
    gate.set()
    ended = [await task for task in under_way]
    assert {routed.conclusion.reason for routed in ended} == {Reason.LAST_RESORT}
    assert [routed.conclusion.effective for routed in ended] == [DIRECT, MCP]


async def test_what_fails_closed_has_no_last_resort(stage: Stage) -> None:
    stage.health = dict.fromkeys(BOTH, Health.UNHEALTHY)
    routed = await stage.router.route(ask(STANDARD))
    assert routed.status == 503
    assert [(c.path, c.skip) for c in routed.conclusion.candidates] == [
        (MCP, Skip.UNHEALTHY),
        (DIRECT, Skip.UNHEALTHY),
    ]
    assert not stage.direct.calls + stage.mcp.calls


async def test_a_slow_last_resort_leaves_time_for_the_other_path(stage: Stage) -> None:
    stage.budget(500)
    stage.health = dict.fromkeys(BOTH, Health.UNHEALTHY)
    stage.direct.otherwise = waits(asyncio.Event())
    routed = await stage.router.route(ask(INFRASTRUCTURE))
    assert (routed.conclusion.effective, routed.conclusion.reason) == (MCP, Reason.LAST_RESORT)
