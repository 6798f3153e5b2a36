"""IntelligentRouter and budgets: what is refused, what goes on, and what every end costs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.core.admission import QueueSettings
from routing.core.budget import Limit, Period, Sums, Unit
from routing.core.cost import Price
from routing.core.replay import Effect, Proposal, replay
from routing.core.values import Failure, Operation, Path, Reason, StreamEnd
from routing.cost.meter import Meter
from routing.cost.policy import Policy
from routing.flow import Left
from routing.paths.base import Billed, Usage
from routing.paths.scripted import ScriptedClient, Step, fails, says, streams
from tests.unit import stage as stages
from tests.unit.stage import CALLER, NOW, PRODUCTION, Stage, ask
from tests.unit.test_router_stream import Kept

EMERGENCY, STANDARD = Operation.EMERGENCY, Operation.STANDARD
INFRASTRUCTURE = Operation.INFRASTRUCTURE
MCP = Path.MCP
USED = Usage(input_tokens=1000, output_tokens=200)
PRICES = {"scripted": Price(input_nanos=3 * 10**9, output_nanos=15 * 10**9)}
COSTS = 6_000_000  # nanos for USED: six thousandths
DAY = Limit(period=Period.DAY, unit=Unit.MONEY, amount=2 * COSTS, hard_stop=True)


def metered(*limits: Limit, spent: int = 0) -> Meter:
    inforce = Policy(version=7, currency="USD", prices=PRICES, limits=limits)
    meter = Meter(lambda _: inforce)
    read(meter, *limits, spent=spent)
    return meter


def read(meter: Meter, *limits: Limit, spent: int) -> None:
    """Let `meter` read that so much was spent, by all and by the stage's tenant."""
    inforce = Policy(version=7, currency="USD", prices=PRICES, limits=limits)
    sums = {(t, p): Sums(nanos=spent, tokens=spent) for t in ("", "acme") for p in Period}
    meter.learn(PRODUCTION, inforce, sums, upto=0, now=NOW)


def raised(folder: Folder, meter: Meter, **more: Any) -> Any:
    return stages.raised(folder, meter=meter, **more)


def costs(stage: Stage) -> list[dict[str, Any] | None]:
    return [body["cost"] for body in stage.records()]


def priced(**more: Any) -> dict[str, Any]:
    usual = {
        "model": "scripted",
        "currency": "USD",
        "nanos": COSTS,
        "policy": 7,
        "open": False,
        "cached": False,
    }
    return usual | more


UNPRICED = {"nanos": None, "currency": ""}


async def test_a_spent_budget_refuses_before_any_attempt_and_says_when_it_ends(
    tmp_path: Folder,
) -> None:
    with raised(tmp_path, metered(DAY, spent=2 * COSTS)) as stage:
        routed = await stage.router.route(ask(STANDARD))
        assert (routed.status, routed.code) == (429, "refused_budget")
        assert routed.retry_after_s == 12 * 3600  # the stage's clock stands at noon
        assert "0.012 USD, is spent" in routed.advice and "2026-11-24 00:00 UTC" in routed.advice
        assert routed.conclusion.reason is Reason.REFUSED_BUDGET
        assert not stage.direct.calls + stage.mcp.calls
        (booked,) = stage.records()
        assert (booked["reason"], booked["status"], booked["cost"]) == (
            "refused_budget",
            429,
            None,
        )
        assert booked["attempts"] == [] and booked["effective"] is None


async def test_the_request_that_reaches_the_limit_is_the_last(tmp_path: Folder) -> None:
    with raised(tmp_path, metered(DAY)) as stage:
        stage.mcp.otherwise = says("yes", usage=USED)
        found = [(await stage.router.route(ask(STANDARD))).status for _ in range(4)]
        assert found == [200, 200, 429, 429]
        assert costs(stage)[:2] == [priced(), priced()]


async def test_an_emergency_goes_on_unless_an_admin_said_otherwise(tmp_path: Folder) -> None:
    with raised(tmp_path, metered(DAY, spent=9 * COSTS)) as stage:
        assert (await stage.router.route(ask(EMERGENCY))).status == 200
    with raised(tmp_path, metered(replace(DAY, stops_emergencies=True), spent=9 * COSTS)) as stage:
        assert (await stage.router.route(ask(EMERGENCY))).code == "refused_budget"


async def test_a_soft_limit_and_one_of_another_tenant_stop_nobody(tmp_path: Folder) -> None:
    limits = (replace(DAY, hard_stop=False), replace(DAY, tenant="other"))
    with raised(tmp_path, metered(*limits, spent=9 * COSTS)) as stage:
        assert (await stage.router.route(ask(STANDARD))).status == 200


async def test_a_tenant_s_own_limit_stops_that_tenant(tmp_path: Folder) -> None:
    with raised(tmp_path, metered(replace(DAY, tenant="acme"), spent=9 * COSTS)) as stage:
        assert (await stage.router.route(ask(STANDARD))).status == 429
        other = replace(CALLER, tenant="other")
        assert (await stage.router.route(ask(STANDARD, caller=other))).status == 200


async def test_our_own_traffic_is_neither_stopped_nor_counted(tmp_path: Folder) -> None:
    with raised(tmp_path, metered(DAY)) as stage:
        stage.mcp.otherwise = says("yes", usage=USED)
        ours = replace(CALLER, synthetic=True)
        for _ in range(5):
            assert (await stage.router.route(ask(STANDARD, caller=ours))).status == 200
        assert (await stage.router.route(ask(STANDARD))).status == 200
        assert costs(stage) == [priced()] * 6  # what it cost is told all the same
    with raised(tmp_path, metered(DAY, spent=9 * COSTS)) as stage:
        assert (await stage.router.route(ask(STANDARD, caller=ours))).status == 200


async def test_what_the_cache_answers_costs_nothing_and_passes_a_spent_budget(
    tmp_path: Folder,
) -> None:
    limit = replace(DAY, amount=COSTS)
    with raised(tmp_path, metered(limit)) as stage:
        stage.mcp.otherwise = says("yes", usage=USED)
        question = ask(STANDARD, subject="ada")
        first, again = [await stage.router.route(question) for _ in range(2)]
        assert (first.status, again.status) == (200, 200)
        assert again.conclusion.reason is Reason.CACHE_HIT
        assert (await stage.router.route(ask(STANDARD, subject="bob"))).status == 429
        assert costs(stage) == [priced(), priced(nanos=0, cached=True), None]


async def until(holds: Callable[[], bool]) -> None:
    """Let the others run until `holds`."""
    while not holds():  # noqa: ASYNC110 - what the router does meanwhile sets no event
        await asyncio.sleep(0)


async def test_one_that_waited_in_line_is_asked_again_when_its_turn_comes(
    tmp_path: Folder,
) -> None:
    meter = metered(DAY)
    with raised(tmp_path, meter, queue=QueueSettings(capacity=1, reserved=1)) as stage:
        gate = asyncio.Event()
        stage.mcp.otherwise = replace(says("yes"), after=gate)
        async with asyncio.timeout(60):
            first = asyncio.create_task(stage.router.route(ask(STANDARD)))
            await until(lambda: bool(stage.mcp.calls))
            second = asyncio.create_task(stage.router.route(ask(STANDARD)))
            await until(lambda: bool(sum(stage.admission.figures().waiting.values())))
            read(meter, DAY, spent=2 * COSTS)
            gate.set()
            assert [(await task).status for task in (first, second)] == [200, 429]
        assert len(stage.mcp.calls) == 1


NO_TOKENS = priced(**UNPRICED)


@pytest.mark.parametrize(
    ("steps", "status", "cost"),
    [
        ([says("yes")], 200, NO_TOKENS),
        ([fails(Failure.UNREACHABLE)] * 2, 503, None),
        ([fails(Failure.VALIDATION)], 400, None),
        ([fails(Failure.TIMEOUT)] * 2, 503, NO_TOKENS | {"model": "", "open": True}),
    ],
)
async def test_each_end_costs_what_is_known_and_says_what_is_not(
    tmp_path: Folder, steps: list[Any], status: int, cost: dict[str, Any] | None
) -> None:
    with raised(tmp_path, metered()) as stage:
        stage.facts = {Path.DIRECT_BEDROCK: {"configured": False}}
        stage.mcp = ScriptedClient(path=MCP, steps=steps)
        routed = await stage.router.route(ask(STANDARD))
        assert (routed.status, costs(stage)) == (status, [cost])


@pytest.mark.parametrize(
    ("failure", "billed", "cost"),
    [
        (Failure.VALIDATION, Billed(model="scripted", usage=USED), priced()),
        (Failure.PROTOCOL, Billed(model="scripted", usage=USED), priced()),
        (Failure.VALIDATION, Billed(model="scripted"), NO_TOKENS | {"model": "", "open": True}),
        (Failure.PROTOCOL, Billed(), NO_TOKENS | {"model": "", "open": True}),
    ],
)
async def test_an_attempt_that_was_billed_and_failed_costs_what_it_told(
    tmp_path: Folder, failure: Failure, billed: Billed, cost: dict[str, Any]
) -> None:
    meter = metered(replace(DAY, amount=COSTS))
    with raised(tmp_path, meter) as stage:
        stage.facts = {Path.DIRECT_BEDROCK: {"configured": False}}
        stage.mcp.otherwise = fails(failure, billed=billed)
        routed = await stage.router.route(ask(STANDARD))
        assert routed.answer is None and costs(stage) == [cost]
        (booked,) = stage.records()
        assert booked["usage"] == ([1000, 200] if billed.usage else None)
        assert routed.usage == ((1000, 200) if billed.usage else None)
        after = await stage.router.route(ask(STANDARD))
        assert (after.status == 429) is (billed.usage is not None)  # it counts against limits


async def test_a_stream_that_ended_filtered_and_told_its_tokens_is_no_open_charge(
    tmp_path: Folder,
) -> None:
    with raised(tmp_path, metered()) as stage:
        told = Billed(model="scripted", usage=USED)
        refused = fails(Failure.VALIDATION, billed=told)
        stage.direct.otherwise = replace(refused, pieces=("All ",))
        await stage.router.stream(ask(INFRASTRUCTURE), Kept())
        assert costs(stage) == [priced()]


@pytest.mark.parametrize(
    "first",
    [
        fails(Failure.TIMEOUT),
        fails(Failure.PROTOCOL, billed=Billed()),
    ],
)
async def test_an_answer_after_an_attempt_that_may_be_billed_is_known_in_part(
    tmp_path: Folder, first: Step
) -> None:
    with raised(tmp_path, metered()) as stage:
        stage.direct.otherwise = first
        stage.mcp.otherwise = says("yes", usage=USED)
        routed = await stage.router.route(ask(INFRASTRUCTURE))
        assert [a.failure for a in routed.attempts] == [first.failure, None]
        assert costs(stage) == [priced(open=True)]


TOLD = Billed(model="scripted", usage=USED)
UNKNOWN = Billed(model="unknown", usage=USED)


@pytest.mark.parametrize(
    ("billed", "usage", "cost", "tokens"),
    [
        (TOLD, USED, priced(nanos=2 * COSTS), [2000, 400]),
        (TOLD, None, priced(open=True), [1000, 200]),  # the known part
        (UNKNOWN, USED, priced(open=True), [2000, 400]),
        (UNKNOWN, None, priced(**UNPRICED, model="unknown", open=True), [1000, 200]),
    ],
)
async def test_what_a_failed_attempt_told_is_added_to_the_answer_that_follows(
    tmp_path: Folder,
    billed: Billed,
    usage: Usage | None,
    cost: dict[str, Any],
    tokens: list[int],
) -> None:
    with raised(tmp_path, metered()) as stage:
        stage.direct.otherwise = fails(Failure.PROTOCOL, billed=billed)
        stage.mcp.otherwise = says("yes", usage=usage)
        routed = await stage.router.route(ask(INFRASTRUCTURE))
        assert routed.answer is not None and routed.answer.usage == usage
        (booked,) = stage.records()
        assert (booked["cost"], booked["usage"]) == (cost, tokens)


async def test_two_attempts_that_failed_and_told_are_both_charged(tmp_path: Folder) -> None:
    with raised(tmp_path, metered()) as stage:
        stage.direct.otherwise = stage.mcp.otherwise = fails(Failure.PROTOCOL, billed=TOLD)
        await stage.router.route(ask(INFRASTRUCTURE))
        assert costs(stage) == [priced(nanos=2 * COSTS)]


async def test_a_model_without_a_price_is_unpriced_and_its_tokens_are_kept(
    tmp_path: Folder,
) -> None:
    inforce = Policy(version=2)
    with raised(tmp_path, Meter(lambda _: inforce)) as stage:
        stage.mcp.otherwise = says("yes", usage=USED)
        await stage.router.route(ask(STANDARD))
        (booked,) = stage.records()
        assert booked["usage"] == [1000, 200]
        assert booked["cost"] == priced(**UNPRICED, policy=2)


async def test_a_stream_costs_what_its_end_tells(tmp_path: Folder) -> None:
    with raised(tmp_path, metered()) as stage:
        stage.direct.otherwise = streams("All ", "well.", usage=USED)
        routed = await stage.router.stream(ask(INFRASTRUCTURE), Kept())
        assert routed.status == 200
        assert costs(stage) == [priced()]


async def test_a_stream_that_its_caller_leaves_is_booked_as_not_known(tmp_path: Folder) -> None:
    class Leaves(Kept):
        async def piece(self, text: str) -> None:
            raise Left

    with raised(tmp_path, metered(DAY)) as stage:
        stage.direct.otherwise = streams("All ", "well.", usage=USED)
        with pytest.raises(Left):
            await stage.router.stream(ask(INFRASTRUCTURE), Leaves())
        (booked,) = stage.records()
        assert booked["streamed"]["end"] == StreamEnd.GIVEN_UP
        assert booked["cost"] == NO_TOKENS | {"model": "", "open": True}


async def test_a_refused_stream_begins_nothing(tmp_path: Folder) -> None:
    with raised(tmp_path, metered(DAY, spent=9 * COSTS)) as stage:
        out = Kept()
        routed = await stage.router.stream(ask(STANDARD), out)
        assert (routed.status, out.openings, out.pieces) == (429, [], [])
        assert not stage.records("begun")


async def test_what_a_budget_refused_is_decided_again_alike_and_no_proposal_changes_it(
    tmp_path: Folder,
) -> None:
    with raised(tmp_path, metered(DAY, spent=9 * COSTS)) as stage:
        await stage.router.route(ask(STANDARD))
        await stage.router.route(ask(EMERGENCY))
        bodies = json.loads(json.dumps(stage.records()))
    nothing = Effect(total=2, synthetic=0, cells=(), mismatched=(), unreadable=())
    assert replay(bodies, Proposal()) == nothing
    elsewhere = Proposal(overrides={STANDARD: Path.DIRECT_BEDROCK})
    assert replay(bodies, elsewhere) == nothing


async def test_a_caller_that_goes_while_the_record_waits_for_the_disk_is_charged_once(
    tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, reached = threading.Event(), threading.Event()
    meter = metered(DAY)
    with raised(tmp_path, meter) as stage:
        stage.mcp.otherwise = says("Well.", usage=USED)
        commit = stage.log._commit

        def late(batch: list[Any]) -> None:
            reached.set()
            assert written.wait(10)
            commit(batch)

        monkeypatch.setattr(stage.log, "_commit", late)
        task = asyncio.create_task(stage.router.route(ask(STANDARD)))
        assert await asyncio.to_thread(reached.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        written.set()
        for _ in range(1000):
            if stage.seen:
                break
            await asyncio.sleep(0)
            await asyncio.to_thread(lambda: None)
        assert [cost and cost["nanos"] for cost in costs(stage)] == [COSTS]
        # Half of the limit is spent: a second call goes on, a third does not.
        assert (await stage.router.route(ask(STANDARD))).status == 200
        assert (await stage.router.route(ask(STANDARD))).code == "refused_budget"
