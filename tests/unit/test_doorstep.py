"""Who can only wait in vain hears so before anything is done for the request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path as Folder

import pytest

from routing.compliance import gate
from routing.compliance.policy import Policy
from routing.core.admission import QueueSettings, Rank
from routing.core.errors import Unavailable
from routing.core.flags import FlagName
from routing.core.once import Once
from routing.core.values import EnvironmentName, Failure, Operation, Priority, Reason
from routing.router import Routed
from tests.unit import stage as stages
from tests.unit.stage import CALLER, Stage, ask

STANDARD = Operation.STANDARD
FULL = QueueSettings(capacity=1, reserved=1, room=0)


@dataclass(slots=True)
class Counting:
    """Counts how often the gate asked for a policy."""

    asked: int = 0

    def of(self, environment: EnvironmentName) -> Policy:
        self.asked += 1
        return gate.Policy().of(environment)


@pytest.fixture
def policy() -> Counting:
    return Counting()


@pytest.fixture
def stage(tmp_path: Folder, policy: Counting) -> Iterator[Stage]:
    with stages.raised(tmp_path, queue=FULL, policy=policy) as made:
        yield made


@asynccontextmanager
async def full(stage: Stage) -> AsyncIterator[None]:
    """Let one request through, then hold the one place for the block."""
    assert (await stage.router.route(ask(STANDARD))).status == 200
    async with stage.admission.place(Rank.LOW, left_s=60) as place:
        assert place.shed is None
        yield


async def test_nothing_is_read_decided_or_looked_up_for_who_is_sent_away(
    stage: Stage, policy: Counting
) -> None:
    async with full(stage):
        asked, subjects = policy.asked, len(stage.subjects)
        routed = await stage.router.route(ask(STANDARD))
        assert (policy.asked, len(stage.subjects)) == (asked, subjects)
        assert len(stage.mcp.calls + stage.direct.calls) == 1
    assert (routed.status, routed.code, routed.failure) == (503, "shed", Failure.QUEUE_FULL)
    assert routed.retry_after_s is not None and 1 <= routed.retry_after_s <= 30
    assert stage.seen[-1] is routed, "who listens to the router hears of it"
    await stage.router.route(ask(STANDARD))
    assert policy.asked > asked, "the control: who comes in is read"


async def test_its_record_says_that_nothing_was_decided(stage: Stage) -> None:
    async with full(stage):
        routed = await stage.router.route(ask(STANDARD, priority=Priority.LOW))
        whole, kept = stage.records()
    told = {name: kept[name] for name in ("id", "reason", "status", "failure", "priority")}
    assert told == {
        "id": routed.decision_id,
        "reason": "shed",
        "status": 503,
        "failure": "queue_full",
        "priority": "low",
    }
    assert (kept["arguments"], kept["intended"], kept["effective"]) == (None, None, None)
    assert (kept["matrix_path"], kept["budget_ms"], kept["attempts"]) == ("mcp", 30_000, [])
    assert "prompt" not in kept
    assert set(kept) - {"priority"} < set(whole)
    assert routed.seq is not None and not routed.decision.is_made


async def test_an_emergency_comes_in(stage: Stage) -> None:
    async with full(stage):
        routed = await stage.router.route(ask(Operation.EMERGENCY))
    assert (routed.status, routed.conclusion.reason) == (200, Reason.RULE)


async def test_who_may_get_a_cached_answer_comes_in_for_it(stage: Stage) -> None:
    stage.flags = {**stage.flags, FlagName.CACHING: True}
    first = await stage.router.route(ask(STANDARD, subject="ann"))
    async with full(stage):
        again = await stage.router.route(ask(STANDARD, subject="ann"))
        fresh = await stage.router.route(ask(STANDARD, subject="ann", fresh=True))
    assert (again.status, again.repeats) == (200, first.decision_id)
    assert (fresh.code, fresh.decision.is_made) == ("shed", False)


async def test_one_environment_is_not_judged_by_the_matrix_of_another(stage: Stage) -> None:
    elsewhere = replace(CALLER, environment=EnvironmentName.STAGING)
    async with full(stage):
        routed = await stage.router.route(ask(STANDARD, caller=elsewhere))
    assert routed.code == "shed" and routed.decision.is_made, "its first one is decided"


async def test_the_key_of_a_repeat_names_its_decision_and_is_not_used_up(stage: Stage) -> None:
    once = Once(key="k", body="b", decision_id="d-once")
    async with full(stage):
        routed = await stage.router.route(ask(STANDARD, once=once))
        *_, kept = stage.records()
    assert routed.decision_id == kept["id"] == "d-once"
    assert "once" not in kept


async def test_a_stream_is_sent_away_alike(stage: Stage) -> None:
    class Nowhere:
        async def open(self, _: object) -> None:
            raise AssertionError("nothing may begin")

        piece = open

    async with full(stage):
        routed: Routed = await stage.router.stream(ask(STANDARD), Nowhere())
    assert (routed.status, routed.code, routed.streamed) == (503, "shed", None)


async def test_without_a_record_nobody_is_told_that_there_is_one(stage: Stage) -> None:
    async with full(stage):
        stage.log.close(stages.NOW)
        with pytest.raises(Unavailable):
            await stage.router.route(ask(STANDARD))
