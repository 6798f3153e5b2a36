"""Answers given again: to the same question alone, for a while, and never where it matters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as Folder
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import caching
from routing.core.decision import PathFacts, Request, State, Versions, decide
from routing.core.flags import FlagName
from routing.core.matrix import DEFAULT
from routing.core.values import (
    Breaker,
    EnvironmentName,
    Failure,
    Health,
    Operation,
    Path,
    Priority,
    Reason,
)
from routing.paths.base import Answer, Message, Usage
from routing.paths.scripted import Step, fails, says, waits
from tests.unit import stage as stages
from tests.unit.stage import CALLER, Stage, ask

STANDARD, INFRASTRUCTURE = Operation.STANDARD, Operation.INFRASTRUCTURE


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path) as made:
        made.mcp.otherwise = says("one answer", usage=Usage(input_tokens=3, output_tokens=2))
        yield made


def question(**more: Any) -> Any:
    return replace(ask(STANDARD, subject="ada"), **more)


async def test_the_same_question_is_answered_again_without_a_call(stage: Stage) -> None:
    first = await stage.router.route(question())
    again = await stage.router.route(question())
    assert (first.conclusion.reason, again.conclusion.reason) == (Reason.RULE, Reason.CACHE_HIT)
    assert again.answer is not None and again.answer.text == "one answer"
    assert again.answer.usage is None  # nothing was used now, and 0 would be a figure
    assert again.conclusion.effective is None and not again.attempts
    assert len(stage.mcp.calls) == 1
    told, repeated = stage.records()
    assert repeated["repeats"] == told["id"] == again.repeats
    assert (told["repeats"], repeated["reason"], repeated["status"]) == (None, "cache_hit", 200)


OTHERS: dict[str, dict[str, Any]] = {
    "tenant": {"caller": replace(CALLER, tenant="other")},
    "environment": {"caller": replace(CALLER, environment=EnvironmentName.STAGING)},
    "user": {"subject": "bob"},
    "words": {"messages": (Message(role="user", text="What is the state"),)},
    "role": {"messages": (Message(role="assistant", text="What is the state?"),)},
    "cut": {
        "messages": (
            Message(role="user", text="What is the"),
            Message(role="user", text=" state?"),
        )
    },
    "system": {"system": "Be short."},
    "max_tokens": {"max_tokens": 7},
    "temperature": {"temperature": 0.0},
    "operation": {"operation": Operation.BACKGROUND_TASKS},
    "asked to be fresh": {"fresh": True},
}


@pytest.mark.parametrize("other", OTHERS)
async def test_another_question_is_asked(stage: Stage, other: str) -> None:
    await stage.router.route(question())
    routed = await stage.router.route(replace(question(), **OTHERS[other]))
    assert routed.conclusion.reason is Reason.RULE
    assert len(stage.mcp.calls) == 2


async def test_who_does_not_say_whose_answer_it_is_always_gets_a_new_one(stage: Stage) -> None:
    for _ in range(2):
        routed = await stage.router.route(question(subject=""))
        assert routed.conclusion.reason is Reason.RULE


async def test_another_model_is_asked(stage: Stage) -> None:
    await stage.router.route(question())
    stage.mcp.target = "another"
    assert (await stage.router.route(question())).conclusion.reason is Reason.RULE


@pytest.mark.parametrize(
    "now", [Versions(flags=2), Versions(overrides=2), Versions(settings=2)], ids=str
)
async def test_a_change_of_what_is_in_force_forgets_all(stage: Stage, now: Versions) -> None:
    await stage.router.route(question())
    stage.versions = now
    assert (await stage.router.route(question())).conclusion.reason is Reason.RULE


async def test_the_flag_switches_it_off(stage: Stage) -> None:
    await stage.router.route(question())
    stage.flags[FlagName.CACHING] = False
    assert (await stage.router.route(question())).conclusion.reason is Reason.RULE


async def test_an_emergency_is_never_answered_from_before(stage: Stage) -> None:
    for _ in range(2):
        routed = await stage.router.route(question(operation=Operation.EMERGENCY))
        assert routed.conclusion.reason is Reason.RULE
    assert len(stage.direct.calls) == 2


async def test_a_run_always_goes_to_the_path_that_it_tries(stage: Stage) -> None:
    mine = replace(question(), caller=replace(CALLER, synthetic=True))
    for _ in range(2):
        assert (await stage.router.route(mine)).conclusion.reason is Reason.RULE


async def test_personal_data_is_compared_as_it_would_be_sent(stage: Stage) -> None:
    """Masked, two addresses are one question: what comes back names neither."""
    for address in ("ada@example.org", "bob@example.org"):
        words = (Message(role="user", text=f"Write to {address}, please."),)
        routed = await stage.router.route(question(messages=words))
    assert routed.conclusion.reason is Reason.CACHE_HIT
    assert routed.pii == ("email",)


@pytest.mark.parametrize("stop", ["content_filtered", "guardrail_intervened", "strange"])
async def test_keeps_no_answer_that_a_filter_gave(stage: Stage, stop: str) -> None:
    stage.mcp.otherwise = Step(answer=Answer(text="no", stop_reason=stop, model="m"))
    for _ in range(2):
        assert (await stage.router.route(question())).conclusion.reason is Reason.RULE


async def test_keeps_no_answer_of_a_fallback(stage: Stage) -> None:
    """It is another model's; the intended one would have said something else."""
    stage.mcp.otherwise = fails(Failure.PROVIDER)
    for _ in range(2):
        routed = await stage.router.route(question())
        assert routed.conclusion.reason is Reason.FALLBACK_ERROR


@pytest.mark.parametrize("health", [Health.UNHEALTHY, Health.MAINTENANCE])
async def test_does_not_speak_for_a_path_that_would_not_be_asked(
    stage: Stage, health: Health
) -> None:
    await stage.router.route(question())
    stage.health = {Path.MCP: health}
    routed = await stage.router.route(question())
    assert routed.conclusion.effective is Path.DIRECT_BEDROCK


async def test_equal_questions_at_once_are_one_call(stage: Stage) -> None:
    gate = asyncio.Event()
    stage.mcp.otherwise = waits(gate)
    asked = [asyncio.create_task(stage.router.route(question())) for _ in range(20)]
    await stage.mcp.arrived()
    gate.set()
    routed = await asyncio.gather(*asked)
    assert len(stage.mcp.calls) == 1
    assert sorted(r.conclusion.reason for r in routed) == [Reason.CACHE_HIT] * 19 + [Reason.RULE]


async def test_who_waits_for_a_leader_that_fails_asks_himself(stage: Stage) -> None:
    gate = asyncio.Event()
    stage.mcp.steps = ()
    stage.mcp.otherwise = Step(after=gate, failure=Failure.VALIDATION, detail="no")
    asked = [asyncio.create_task(stage.router.route(question())) for _ in range(3)]
    await stage.mcp.arrived()
    gate.set()
    routed = await asyncio.gather(*asked)
    assert [r.status for r in routed] == [400, 400, 400]
    assert len(stage.mcp.calls) == 3


async def test_who_waits_for_a_leader_that_leaves_asks_himself(stage: Stage) -> None:
    gate = asyncio.Event()
    stage.mcp.otherwise = waits(gate)
    leader = asyncio.create_task(stage.router.route(question()))
    await stage.mcp.arrived()
    waiting = asyncio.create_task(stage.router.route(question()))
    await asyncio.sleep(0)
    leader.cancel()
    await stage.mcp.arrived(2)
    gate.set()
    assert (await waiting).status == 200


async def test_who_waits_keeps_his_own_budget(stage: Stage) -> None:
    stage.budget(200)
    stage.mcp.otherwise = stage.direct.otherwise = waits(asyncio.Event())
    both = await asyncio.gather(*(stage.router.route(question()) for _ in range(2)))
    assert all(routed.duration_us < 400_000 and routed.status == 503 for routed in both)


@given(
    st.sampled_from(Operation),
    st.sampled_from(Health),
    st.sampled_from(Breaker),
    st.booleans(),
    st.sampled_from(["", "a rule"]),
)
def test_only_what_would_go_to_its_intended_path_may_be_answered_from_before(
    operation: Operation, health: Health, breaker: Breaker, flag: bool, refusal: str
) -> None:
    state = State(
        matrix=DEFAULT,
        flags=dict.fromkeys(FlagName, flag),
        paths=dict.fromkeys(Path, PathFacts(health=health, breaker=breaker)),
    )
    request = Request(operation=operation, priority=Priority.LOW, now_us=1, refusal=refusal)
    decision = decide(request, state)
    asked = decision.skipped(decision.intended) is None and bool(decision.candidates)
    expected = operation is not Operation.EMERGENCY and not refusal and asked
    assert caching.may_repeat(decision) is expected
