"""IntelligentRouter under a compliance policy: what is refused stays refused, and is booked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path as Folder

import pytest

from routing.compliance.gate import Policy, Treatment
from routing.compliance.policy import Broken, Rule
from routing.compliance.policy import Policy as RulesOf
from routing.core import arguments
from routing.core.decision import decide
from routing.core.values import (
    Failure,
    Operation,
    Path,
    Reason,
    Skip,
)
from routing.paths.base import Message
from routing.paths.scripted import fails
from routing.router import Ask, Routed
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


async def test_a_compliance_refusal_is_final(tmp_path: Folder) -> None:
    policy = Policy(treatments={stages.PRODUCTION: Treatment.BLOCK})
    with stages.raised(tmp_path, policy=policy) as stage:
        words = (Message(role="user", text="Write to jane.doe@example.org please."),)
        routed = await stage.router.route(ask(EMERGENCY, messages=words))
        assert (routed.status, routed.code) == (422, "refused_compliance")
        assert not stage.direct.calls + stage.mcp.calls
        (booked,) = stage.records()
        assert booked["prompt"]["size"] > 0
        assert booked["prompt"]["pii"] == ["email"]
        assert booked["compliance"] == {"policy": 0, "pii": "block", "broken": "pii_blocked"}
        assert routed.broken is Broken.PII_BLOCKED
        assert "jane.doe" not in str(booked) + routed.advice


class Rules:
    """The same policy everywhere."""

    def __init__(self, **rules: Rule) -> None:
        named = {Operation(name): rule for name, rule in rules.items()}
        self.policy = RulesOf(version=4, operations=named)

    def of(self, _: object) -> RulesOf:
        return self.policy


async def test_an_operation_bound_to_another_path_than_its_first_is_refused(
    tmp_path: Folder,
) -> None:
    with stages.raised(tmp_path, policy=Rules(standard=Rule(path=DIRECT))) as stage:
        routed = await stage.router.route(ask(STANDARD))
        assert (routed.status, routed.broken) == (422, Broken.PATH_FORBIDDEN)
        assert "direct_bedrock alone" in routed.advice
        assert not stage.direct.calls + stage.mcp.calls
        (booked,) = stage.records()
        assert booked["compliance"] == {"policy": 4, "pii": "mask", "broken": "path_forbidden"}
        assert decide(*arguments.unpack(booked["arguments"])) == routed.decision


async def test_an_operation_bound_to_its_first_path_does_not_move_to_the_other(
    tmp_path: Folder,
) -> None:
    with stages.raised(tmp_path, policy=Rules(standard=Rule(path=MCP))) as stage:
        stage.mcp.otherwise = fails(Failure.PROVIDER)
        routed = await stage.router.route(ask(STANDARD))
        assert (routed.status, routed.conclusion.reason) == (503, Reason.NO_PATH)
        assert (DIRECT, Skip.NOT_ALLOWED_REGION) in skips(routed)
        assert not stage.direct.calls
        explained, _ = stage.router.explain(ask(STANDARD))
        assert explained.candidates == routed.decision.candidates


async def test_a_forbidden_emergency_is_refused_like_any_other(tmp_path: Folder) -> None:
    with stages.raised(tmp_path, policy=Rules(emergency=Rule(forbidden=True))) as stage:
        routed = await stage.router.route(ask(EMERGENCY))
        assert (routed.status, routed.broken) == (422, Broken.OPERATION_FORBIDDEN)
        assert not stage.direct.calls + stage.mcp.calls


async def test_no_text_of_an_ask_leaves_unmasked(stage: Stage) -> None:
    secret = "jane.doe@example.org"
    words: dict[str, object] = {}
    for each in fields(Ask):
        if each.name == "messages":
            words["messages"] = tuple(Message(role=r, text=secret) for r in ("user", "assistant"))
        elif each.type == "str":
            words[each.name] = secret
    await stage.router.route(ask(STANDARD, **words))
    assert {"system", "subject"} <= set(words)
    assert secret not in str(stage.mcp.calls[0])


async def test_a_breach_of_residency_is_not_mended_by_the_other_path(stage: Stage) -> None:
    stage.facts = {MCP: {"region_allowed": False}}
    routed = await stage.router.route(ask(STANDARD))
    assert (routed.status, routed.conclusion.reason) == (422, Reason.REFUSED_COMPLIANCE)
    assert not stage.direct.calls
