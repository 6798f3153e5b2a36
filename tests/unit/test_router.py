"""IntelligentRouter: what is tried, in what time, and what is booked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.core import arguments, failures
from routing.core.decision import Kill, Override, decide
from routing.core.errors import Unavailable
from routing.core.flags import FlagName, defaults
from routing.core.matrix import DEFAULT, Matrix
from routing.core.values import (
    Breaker,
    Failure,
    Health,
    Operation,
    Path,
    Priority,
    Reason,
    Skip,
)
from routing.paths.base import Message
from routing.paths.scripted import Step, fails, says, waits
from routing.router import Routed
from tests.unit import stage as stages
from tests.unit.stage import Stage, ask

DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
EMERGENCY, STANDARD = Operation.EMERGENCY, Operation.STANDARD
INFRASTRUCTURE = Operation.INFRASTRUCTURE


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path) as made:
        yield made


def skips(routed: Routed) -> list[tuple[Path, Skip | None]]:
    return [(c.path, c.skip) for c in routed.conclusion.candidates]


@pytest.mark.parametrize(("failure", "operation"), list(product(Failure, Operation)))
async def test_moves_on_exactly_where_the_table_of_failures_says_so(
    stage: Stage, failure: Failure, operation: Operation
) -> None:
    first, *rest = DEFAULT.rows[operation].order()
    stage.client(first).otherwise = fails(failure)
    routed = await stage.router.route(ask(operation))
    moved = bool(rest) and failures.may_fall_back(failure)
    again = not rest and failures.may_retry(failure)
    assert len(stage.client(first).calls) == (2 if again else 1)
    assert [len(stage.client(path).calls) for path in rest] == [int(moved)] * len(rest)
    assert (routed.status == 200) is moved
    assert routed.conclusion.effective is (rest[0] if moved else None)
    assert routed.conclusion.reason is (Reason.FALLBACK_ERROR if moved else Reason.NO_PATH)


async def test_a_path_is_told_how_urgent_the_request_is(stage: Stage) -> None:
    await stage.router.route(ask(STANDARD))
    await stage.router.route(ask(STANDARD, priority=Priority.HIGH))
    own = stage.matrix.rows[STANDARD].default_priority
    assert [call.priority for call in stage.mcp.calls] == [own, Priority.HIGH]


async def test_tells_the_caller_what_a_final_failure_means(stage: Stage) -> None:
    stage.mcp.otherwise = fails(Failure.VALIDATION)
    routed = await stage.router.route(ask(STANDARD))
    assert (routed.status, routed.code, routed.retry_after_s) == (400, "validation", None)


async def test_says_when_to_come_back_but_not_what_a_provider_wishes(stage: Stage) -> None:
    stage.direct.otherwise = stage.mcp.otherwise = fails(Failure.THROTTLED, retry_after_s=9e9)
    routed = await stage.router.route(ask(STANDARD))
    assert (routed.status, routed.code, routed.retry_after_s) == (503, "no_path", 60)


async def test_a_hint_that_is_no_number_is_no_hint(stage: Stage) -> None:
    stage.direct.otherwise = fails(Failure.THROTTLED, retry_after_s=float("nan"))
    stage.mcp.otherwise = fails(Failure.THROTTLED)
    assert (await stage.router.route(ask(STANDARD))).retry_after_s == 5


async def test_the_one_retry_waits_as_long_as_the_provider_asks(stage: Stage) -> None:
    stage.direct.otherwise = fails(Failure.THROTTLED, retry_after_s=0.3)
    routed = await stage.router.route(ask(EMERGENCY))
    assert len(routed.attempts) == 2
    assert routed.duration_us >= 300_000


@pytest.mark.parametrize("hint_s", [1.98, float("inf")])
async def test_there_is_no_retry_that_would_come_too_late(stage: Stage, hint_s: float) -> None:
    stage.budget(2000)
    stage.direct.otherwise = fails(Failure.THROTTLED, retry_after_s=hint_s)
    routed = await stage.router.route(ask(EMERGENCY))
    assert len(routed.attempts) == 1


async def test_retries_a_tenth_of_the_requests_once_its_savings_are_spent(stage: Stage) -> None:
    """Every retry is a call too many while the path is ill."""
    stage.direct.otherwise = fails(Failure.THROTTLED)  # never trips the breaker
    many = await asyncio.gather(*(stage.router.route(ask(EMERGENCY)) for _ in range(40)))
    retried = sum(len(routed.attempts) == 2 for routed in many)
    assert 10 <= retried <= 14


async def test_shares_one_deadline_and_leaves_the_fallback_its_part(stage: Stage) -> None:
    stage.budget(500)
    stage.direct.otherwise = stage.mcp.otherwise = waits(asyncio.Event())
    routed = await stage.router.route(ask(STANDARD))
    first, second = stage.mcp.calls[0].timeout_s, stage.direct.calls[0].timeout_s
    assert 0.25 < first <= 0.3
    assert 0 < second <= 0.5 - first
    assert 500_000 <= routed.duration_us < 1_000_000
    assert [a.failure for a in routed.attempts] == [Failure.TIMEOUT] * 2
    assert (stage.mcp.given_up, stage.direct.given_up) == (1, 1)


async def test_a_lone_candidate_may_use_all_the_time(stage: Stage) -> None:
    await stage.router.route(ask(EMERGENCY))
    assert 4.9 < stage.direct.calls[0].timeout_s <= 5


async def test_a_fallback_without_time_is_passed_over_by_that_name(stage: Stage) -> None:
    stage.budget(110)
    stage.mcp.otherwise = waits(asyncio.Event())
    routed = await stage.router.route(ask(STANDARD))
    assert skips(routed) == [(MCP, Skip.TRIED), (DIRECT, Skip.NO_TIME_LEFT)]
    assert not stage.direct.calls


async def test_passes_over_a_breaker_that_opened_after_the_decision(stage: Stage) -> None:
    stage.trip(MCP)
    stage.breakers = {MCP: Breaker.CLOSED}
    routed = await stage.router.route(ask(STANDARD))
    assert skips(routed) == [(MCP, Skip.BREAKER_OPEN), (DIRECT, None)]
    assert routed.conclusion.reason is Reason.FALLBACK_BREAKER_OPEN


async def test_the_callers_own_faults_never_open_a_breaker(stage: Stage) -> None:
    stage.direct.otherwise = fails(Failure.VALIDATION)
    for _ in range(30):
        await stage.router.route(ask(EMERGENCY))
    assert stage.board.state(stage.key(DIRECT)) is Breaker.CLOSED


async def test_five_failures_in_a_row_open_it(stage: Stage) -> None:
    stage.mcp.otherwise = fails(Failure.PROTOCOL)
    for _ in range(5):
        await stage.router.route(ask(STANDARD))
    assert stage.board.state(stage.key(MCP)) is Breaker.OPEN


async def test_a_caller_that_goes_leaves_a_record_and_the_trials_free(stage: Stage) -> None:
    stage.trip(DIRECT)
    stage.clock.now_us += 60_000_000
    stage.direct.otherwise = waits(asyncio.Event())
    for count in (1, 2, 3, 4):  # more than there are trials
        task = asyncio.create_task(stage.router.route(ask(EMERGENCY)))
        await stage.direct.arrived(count)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert stage.direct.given_up == 4
    kept = stage.records()
    assert [(r["status"], r["failure"], r["reason"]) for r in kept] == [
        (499, "outcome_unknown", "no_path")
    ] * 4
    assert [r["attempts"][0][2] for r in kept] == ["outcome_unknown"] * 4
    assert stage.board.state(stage.key(DIRECT)) is Breaker.HALF_OPEN


async def test_an_error_nobody_foresaw_leaves_a_record_and_a_free_slot(stage: Stage) -> None:
    stage.health = {DIRECT: Health.UNHEALTHY}
    stage.direct.otherwise = Step(broken=ZeroDivisionError("a client that breaks its word"))
    for _ in range(3):  # more than there are slots
        with pytest.raises(ZeroDivisionError):
            await stage.router.route(ask(EMERGENCY))
    assert [r["status"] for r in stage.records()] == [500] * 3


async def test_the_record_is_on_disk_before_the_answer(stage: Stage) -> None:
    stage.mcp.otherwise = says("Well.")
    routed = await stage.router.route(ask(STANDARD))
    (kept,) = stage.records()
    assert (kept["id"], kept["seq"]) == (routed.decision_id, routed.seq)
    assert kept["effective"] == "mcp"
    assert stage.seen == [routed]


async def test_no_answer_while_the_record_waits_for_the_disk(stage: Stage) -> None:
    gate, reached = asyncio.Event(), asyncio.Event()
    write = stage.log.put

    async def held(body: Mapping[str, Any]) -> int:
        reached.set()
        await gate.wait()
        return await write(body)

    stage.log.put = lambda body: asyncio.create_task(held(body))  # type: ignore[method-assign]
    task = asyncio.create_task(stage.router.route(ask(STANDARD)))
    await reached.wait()
    assert not task.done()
    gate.set()
    assert (await task).seq == 2


async def test_without_a_log_only_emergencies_are_answered_and_they_are_counted(
    tmp_path: Folder,
) -> None:
    with stages.raised(tmp_path, opened=False) as stage:
        with pytest.raises(Unavailable):
            await stage.router.route(ask(STANDARD))
        emergency = await stage.router.route(ask(EMERGENCY))
        assert (emergency.status, emergency.seq) == (200, None)
        stage.log.open(stages.NOW)
        await stage.router.route(ask(STANDARD))
        assert [r["count"] for r in stage.records("gap")] == [1]
        assert len(stage.records()) == 1


async def test_the_record_can_be_replayed(stage: Stage) -> None:
    stage.trip(MCP)
    routed = await stage.router.route(ask(STANDARD))
    (kept,) = stage.records()
    request, state = arguments.unpack({**kept["arguments"]})
    again = decide(request, state)
    assert (again.candidates, again.reason) == (
        routed.decision.candidates,
        routed.decision.reason,
    )


async def test_the_prompt_is_not_kept(stage: Stage) -> None:
    secret = "the launch code is swordfish"
    asked = ask(STANDARD, messages=(Message(role="user", text=secret),), system="be brief")
    await stage.router.route(asked)
    assert b"swordfish" not in stage.log.path.read_bytes()
    assert stage.records()[0]["prompt"]["size"] == len(secret) + len("be brief")


async def test_personal_data_is_masked_on_the_way_and_named_in_the_record(stage: Stage) -> None:
    words = "Write to jane.doe@example.org please."
    routed = await stage.router.route(ask(STANDARD, messages=(Message(role="user", text=words),)))
    assert "jane.doe" not in stage.mcp.calls[0].messages[0].text
    assert list(routed.pii) == stage.records()[0]["prompt"]["pii"] != []


async def test_hostile_details_and_counts_of_a_provider_are_kept_as_far_as_can_be(
    stage: Stage,
) -> None:
    stage.mcp.otherwise = fails(Failure.TOOL_ERROR, detail="\ud800" + "x" * 5000)
    stage.direct.otherwise = says("ok", usage=None)
    routed = await stage.router.route(ask(STANDARD))
    assert routed.status == 200
    assert stage.records()[0]["attempts"][0][3] == "?" + "x" * 199


async def test_the_flags_share_goes_by_tenant_and_subject(stage: Stage) -> None:
    await stage.router.route(ask(STANDARD))
    await stage.router.route(ask(STANDARD, subject="u7"))
    assert [who.name for who in stage.subjects] == ["acme", "acme/u7"]


async def test_explaining_calls_nothing_and_books_nothing(stage: Stage) -> None:
    stage.health = {MCP: Health.UNHEALTHY}
    decision, _ = stage.router.explain(ask(STANDARD))
    assert decision.eligible == (DIRECT,)
    assert not stage.direct.calls + stage.mcp.calls
    assert not stage.records()


NO_FALLBACK = Matrix(version=2, rows={STANDARD: replace(DEFAULT.rows[STANDARD], fallback=None)})
OVERRIDE = Override(operation=STANDARD, path=DIRECT, ends_us=2**52)


@pytest.mark.parametrize(
    ("put", "reason", "effective"),
    [
        ({}, Reason.RULE, MCP),
        ({"health": {MCP: Health.UNHEALTHY}}, Reason.FALLBACK_UNHEALTHY, DIRECT),
        ({"health": {MCP: Health.MAINTENANCE}}, Reason.MAINTENANCE, DIRECT),
        ({"health": {MCP: Health.DEGRADED}}, Reason.RULE, MCP),
        ({"health": {MCP: Health.UNKNOWN}}, Reason.RULE, MCP),
        ({"breakers": {MCP: Breaker.OPEN}}, Reason.FALLBACK_BREAKER_OPEN, DIRECT),
        ({"breakers": {MCP: Breaker.FORCED_OPEN}}, Reason.FALLBACK_BREAKER_OPEN, DIRECT),
        ({"facts": {MCP: {"configured": False}}}, Reason.FALLBACK_UNHEALTHY, DIRECT),
        (
            {"flags": defaults(stages.PRODUCTION) | {FlagName.MCP_INTEGRATION: False}},
            Reason.FLAG_OFF,
            DIRECT,
        ),
        (
            {"flags": defaults(stages.PRODUCTION) | {FlagName.INTELLIGENT_ROUTING: False}},
            Reason.MCP_ONLY,
            MCP,
        ),
        ({"kill": Kill.MCP_ONLY}, Reason.MCP_ONLY, MCP),
        ({"kill": Kill.DIRECT_ONLY}, Reason.DIRECT_ONLY, DIRECT),
        ({"kill": Kill.STOP}, Reason.NO_PATH, None),
        ({"overrides": (OVERRIDE,)}, Reason.OVERRIDE, DIRECT),
        ({"matrix": NO_FALLBACK, "health": {MCP: Health.UNHEALTHY}}, Reason.NO_PATH, None),
    ],
)
async def test_the_reason_says_why_the_answer_came_from_there(
    stage: Stage, put: dict[str, object], reason: Reason, effective: Path | None
) -> None:
    for name, value in put.items():
        setattr(stage, name, value)
    routed = await stage.router.route(ask(STANDARD))
    assert (routed.conclusion.reason, routed.conclusion.effective) == (reason, effective)
    assert stage.records()[0]["reason"] == str(reason)


async def test_a_large_text_is_looked_at_beside_the_requests_of_others(stage: Stage) -> None:
    done: list[str] = []

    async def route(name: str, text: str) -> None:
        asked = ask(STANDARD, messages=(Message(role="user", text=text),))
        await stage.router.route(asked)
        done.append(name)

    large = asyncio.create_task(route("large", "someone@example.org " * 50_000))
    await asyncio.gather(large, route("small", "How are we?"))
    assert done == ["small", "large"]
