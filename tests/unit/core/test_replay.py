"""Replay: what was decided comes out again, and a proposal's effect is counted as it would be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from routing.breakers.pace import IN_A_ROW
from routing.core.admission import QueueSettings
from routing.core.decision import Kill
from routing.core.flags import FlagName
from routing.core.matrix import DEFAULT, OTHER, Matrix
from routing.core.replay import Cell, Effect, Proposal, replay
from routing.core.values import Breaker, Failure, Health, Operation, Path, Priority
from routing.paths.scripted import fails, waits
from tests.unit.stage import Stage, ask
from tests.unit.traffic import Kept, one

DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
EMERGENCY, STANDARD = Operation.EMERGENCY, Operation.STANDARD
Body = dict[str, Any]


def stage() -> Stage:
    """A stage that looks well, over a log in memory."""
    return Stage(log=Kept(), breakers=dict.fromkeys(Path, Breaker.CLOSED))


async def ask_all(stage: Stage, *operations: Operation, **more: Any) -> list[Body]:
    """Route one ask for each operation; return the records of all so far, as JSON brings them."""
    for operation in operations:
        await stage.router.route(ask(operation, **more))
    assert isinstance(stage.log, Kept)
    bodies: list[Body] = json.loads(json.dumps(stage.log.bodies))
    return bodies


def with_row(operation: Operation, **changes: Any) -> Matrix:
    row = replace(DEFAULT.rows[operation], **changes)
    return replace(DEFAULT, rows={**DEFAULT.rows, operation: row})


async def random_bodies(seed: int, count: int) -> list[Body]:
    rng, log = Random(seed), Kept()
    await asyncio.gather(*(one(rng, log) for _ in range(count)))
    bodies: list[Body] = json.loads(json.dumps(log.bodies))
    return bodies


async def test_unchanged_every_decision_comes_out_as_it_stands(seed: int) -> None:
    bodies = await random_bodies(seed, 1_000)
    found = replay(bodies, Proposal())
    assert found == Effect(total=1_000, synthetic=0, cells=(), mismatched=(), unreadable=())


def _turned(body: Body) -> Body:
    row = body["arguments"]["row"]
    primary = OTHER[Path(row[3])]
    kept = [*row[:3], str(primary), row[4] and str(OTHER[primary]), *row[5:]]
    return body | {"arguments": body["arguments"] | {"row": kept}}


def _killed(body: Body) -> Body:
    kill = Kill.STOP if body["arguments"]["kill"] != "stop" else None
    return body | {"arguments": body["arguments"] | {"kill": kill}}


def _other_reason(body: Body) -> Body:
    return body | {"promised": "cache_hit"}


def _unheard(body: Body) -> Body:
    path, health = body["arguments"]["paths"], ["dead"]
    return body | {"arguments": body["arguments"] | {"paths": [path[0], [*path[1][:2], *health]]}}


@pytest.mark.parametrize(
    ("corrupt", "named"),
    [
        (_turned, "mismatched"),
        (_killed, "mismatched"),
        (_other_reason, "mismatched"),
        (_unheard, "unreadable"),
        (lambda body: body | {"arguments": body["arguments"] | {"form": 9}}, "unreadable"),
        (lambda body: {"id": body["id"]}, "unreadable"),
        (lambda body: {"id": body["id"], "arguments": None}, "unreadable"),
    ],
)
async def test_one_corrupted_record_among_many_is_named(corrupt: Any, named: str) -> None:
    """The control: a replay that could not fail would show nothing."""
    bodies = await ask_all(stage(), *Operation)
    spoiled = [corrupt(b) if b["operation"] == "standard" else b for b in bodies]
    (wrong,) = (b["id"] for b in bodies if b["operation"] == "standard")
    found = replay(spoiled, Proposal())
    assert getattr(found, named) == (wrong,)
    assert len(found.mismatched) + len(found.unreadable) == 1 and found.changed == 0


async def test_who_was_sent_away_undecided_is_counted_and_would_be_again() -> None:
    place = Stage(log=Kept(), queue=QueueSettings(capacity=1, reserved=1, room=0))
    gate = asyncio.Event()
    place.mcp.otherwise = waits(gate)
    first = asyncio.create_task(place.router.route(ask(STANDARD)))
    await place.mcp.arrived()
    (away,) = await ask_all(place, STANDARD)
    gate.set()
    await first
    assert away["arguments"] is None
    gone = Proposal(flags={FlagName.MCP_INTEGRATION: False})
    assert replay([away], gone) == replay([away], Proposal())
    assert replay([away], gone).total == 1 and not replay([away], gone).unreadable
    assert replay([away | {"reason": "rule"}], gone).unreadable == (away["id"],)


async def test_those_without_a_path_stand_first_then_the_unknown() -> None:
    bodies = await ask_all(stage(), EMERGENCY, STANDARD, STANDARD, Operation.INFRASTRUCTURE)
    found = replay(bodies, Proposal(flags={FlagName.BEDROCK_PROVIDER: False}))
    assert found.cells == (
        (Cell(operation=EMERGENCY, before=DIRECT, after=None, unknown=False), 1),
        (Cell(operation=Operation.INFRASTRUCTURE, before=DIRECT, after=MCP, unknown=True), 1),
    )
    assert (found.changed, found.stranded, found.unknown) == (2, 1, 1)


async def test_a_path_that_was_asked_then_has_the_outcome_of_then() -> None:
    moved = stage()
    moved.mcp.otherwise = fails(Failure.UNREACHABLE)
    bodies = await ask_all(moved, STANDARD)
    assert bodies[0]["effective"] == "direct_bedrock"
    turned = with_row(STANDARD, primary=DIRECT, fallback=MCP)
    assert replay(bodies, Proposal(matrix=turned)).changed == 0, "direct_bedrock answered then"
    alone = with_row(STANDARD, fallback=None)
    assert replay(bodies, Proposal(matrix=alone)).cells == (
        (Cell(operation=STANDARD, before=DIRECT, after=None, unknown=False), 1),
    )


async def test_a_failure_that_ends_a_request_ends_it_in_a_replay_too() -> None:
    ended = stage()
    ended.mcp.otherwise = fails(Failure.VALIDATION)
    bodies = await ask_all(ended, STANDARD)
    turned = with_row(STANDARD, primary=DIRECT, fallback=MCP)
    assert replay(bodies, Proposal(matrix=turned)).cells == (
        (Cell(operation=STANDARD, before=None, after=DIRECT, unknown=True), 1),
    )


async def test_a_path_that_its_breaker_held_back_is_held_back_again() -> None:
    held = stage()
    held.trip(MCP)
    bodies = await ask_all(held, STANDARD)
    alone = replay(bodies, Proposal(matrix=with_row(STANDARD, fallback=None)))
    assert alone.stranded == 1
    assert replay(bodies, Proposal()).changed == 0


async def _throttled() -> list[Body]:
    place = stage()
    place.mcp.otherwise = fails(Failure.THROTTLED, retry_after_s=9)
    return await ask_all(place, STANDARD, STANDARD)


async def _slow() -> list[Body]:
    place = stage()
    pace = place.paces.of(place.key(MCP), STANDARD)
    for _ in range(IN_A_ROW):
        wait = pace.begin(lambda: 0.0, 0.0)
        wait.late = True
        pace.end(wait, answered=False)
    return await ask_all(place, STANDARD)


@pytest.mark.parametrize(("spare", "why"), [(_throttled, "throttled"), (_slow, "slow")])
async def test_a_path_that_was_spared_would_be_asked_if_it_were_alone(
    spare: Callable[[], Awaitable[list[Body]]], why: str
) -> None:
    body = (await spare())[-1]
    assert dict(body["candidates"])["mcp"] == why and body["attempts"][0][0] != "mcp"
    assert replay([body], Proposal()) == Effect(
        total=1, synthetic=0, cells=(), mismatched=(), unreadable=()
    )
    alone = Proposal(matrix=with_row(STANDARD, fallback=None))
    assert replay([body], alone).cells == (
        (Cell(operation=STANDARD, before=DIRECT, after=MCP, unknown=True), 1),
    )


async def test_what_failed_before_it_came_back_to_a_slow_path_is_known_to_fail() -> None:
    place = stage()
    pace = place.paces.of(place.key(MCP), STANDARD)
    pace._spare_on(0.0)
    place.direct.otherwise = fails(Failure.PROTOCOL)
    (body,) = await ask_all(place, STANDARD)
    assert [path for path, *_ in body["attempts"]] == ["direct_bedrock", "mcp"]
    assert body["effective"] == "mcp" and replay([body], Proposal()).changed == 0
    off = Proposal(flags={FlagName.MCP_INTEGRATION: False})
    assert replay([body], off).cells == (
        (Cell(operation=STANDARD, before=MCP, after=None, unknown=False), 1),
    )


async def test_a_split_moves_exactly_the_subjects_in_its_share() -> None:
    one_stage = stage()
    for n in range(60):
        bodies = await ask_all(one_stage, STANDARD, subject=f"user-{n}")
    inside = sum(body["arguments"]["bucket"] < 40 for body in bodies)
    found = replay(bodies, Proposal(matrix=with_row(STANDARD, split=40)))
    assert 0 < found.changed == found.unknown == inside < 60


async def test_an_override_holds_for_every_request_and_none_takes_away_that_of_then() -> None:
    one_stage = stage()
    bodies = await ask_all(one_stage, STANDARD)
    found = replay(bodies, Proposal(overrides={STANDARD: DIRECT}))
    assert found.cells[0][0].after is DIRECT
    from routing.core.decision import Override

    one_stage.overrides = (Override(operation=STANDARD, path=DIRECT, ends_us=2**52),)
    overridden = (await ask_all(one_stage, STANDARD))[1:]
    assert replay(overridden, Proposal()).changed == 0
    assert replay(overridden, Proposal(overrides={STANDARD: None})).cells[0][0].after is MCP
    assert replay(overridden, Proposal(overrides={EMERGENCY: MCP})).changed == 0


async def test_a_priority_that_nobody_chose_follows_the_proposed_row() -> None:
    bodies = await ask_all(stage(), STANDARD)
    chosen = (await ask_all(stage(), STANDARD, priority=Priority.MEDIUM))[0]
    turned = replace(DEFAULT.rows[STANDARD], primary=DIRECT, fallback=MCP)
    whole = replace(
        with_row(STANDARD, default_priority=Priority.LOW),
        narrowed={(STANDARD, Priority.LOW): turned},
    )
    assert replay(bodies, Proposal(matrix=whole)).changed == 1
    assert replay([chosen], Proposal(matrix=whole)).changed == 0


async def test_a_record_without_a_place_is_not_guessed_into_a_split() -> None:
    (body,) = await ask_all(stage(), STANDARD)
    body["arguments"]["bucket"] = None
    assert replay([body], Proposal()).unreadable == ()
    found = replay([body], Proposal(matrix=with_row(STANDARD, split=50)))
    assert found.unreadable == (body["id"],)


def test_nothing_at_all_is_no_effect() -> None:
    nothing: list[Mapping[str, Any]] = []
    assert replay(nothing, Proposal(flags={FlagName.CACHING: False})).total == 0


async def test_an_unhealthy_path_of_then_is_unhealthy_still() -> None:
    ill = stage()
    ill.health = {DIRECT: Health.UNHEALTHY}
    bodies = await ask_all(ill, STANDARD)
    turned = with_row(STANDARD, primary=DIRECT, fallback=MCP)
    assert replay(bodies, Proposal(matrix=turned)).changed == 0, "it is passed over, as then"
