"""A flag for a share or a group of callers: decided, recorded, replayed as that caller had it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path as Folder

import pytest

from routing.core import arguments, audience, rollout
from routing.core.flags import FlagName, State, Subject
from routing.core.replay import Effect, Proposal, replay
from routing.core.values import EnvironmentName, Operation, Path
from routing.flags import snapshot
from routing.flags.snapshot import EnvironmentFlags, Snapshot, Source
from tests.unit import stage as stages
from tests.unit.stage import CALLER, PRODUCTION, Stage, ask

MCP = FlagName.MCP_INTEGRATION
HALF = State(on=True, percentage=50)
FEW = State(on=True, percentage=0, groups=("tenant:acme", "token:nightly"))


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path) as made:
        yield made


def holding(state: State) -> Snapshot:
    """Return a snapshot in which the mcp path is open as `state` says."""
    kept = snapshot.declared(PRODUCTION).states
    flags = EnvironmentFlags(version=7, states={**kept, MCP: state})
    return Snapshot(environments={PRODUCTION: flags}, source=Source.DATABASE)


async def test_each_subject_goes_where_its_share_sends_it(stage: Stage) -> None:
    stage.snapshot = holding(HALF)
    users = [f"u{n}" for n in range(40)]
    for user in users:
        await stage.router.route(ask(Operation.STANDARD, subject=user))
    records = stage.records()
    went = {user: kept["effective"] for user, kept in zip(users, records, strict=True)}
    assert set(went.values()) == {str(path) for path in Path}
    for user, path in went.items():
        assert (path == "mcp") is (rollout.bucket(MCP, f"acme/{user}") < 50)
    kept = json.loads(json.dumps(records))
    assert replay(kept, Proposal()) == Effect(
        total=40, synthetic=0, cells=(), mismatched=(), unreadable=()
    )
    for record in records:
        _, state = arguments.unpack(record["arguments"])
        assert state.flags[MCP] is (record["effective"] == "mcp")


async def test_a_group_has_it_whatever_the_percentage(stage: Stage) -> None:
    stage.snapshot = holding(FEW)
    mine = audience.of(tenant="acme", token="web", role="viewer")
    named = audience.of(tenant="other", token="nightly", role="viewer")
    nobody = audience.of(tenant="other", token="web", role="viewer")
    found = []
    for groups in (mine, named, nobody):
        routed = await stage.router.route(
            ask(Operation.STANDARD, caller=replace(CALLER, groups=groups))
        )
        found.append(routed.conclusion.effective)
    assert found == [Path.MCP, Path.MCP, Path.DIRECT_BEDROCK]


async def test_explaining_promises_the_same_for_that_subject(stage: Stage) -> None:
    stage.snapshot = holding(HALF)
    for user in map(str, range(20)):
        decision, state = stage.router.explain(ask(Operation.STANDARD, subject=user))
        routed = await stage.router.route(ask(Operation.STANDARD, subject=user))
        assert decision.eligible[0] is routed.conclusion.effective
        assert state.flags[MCP] is holding(HALF).is_on(
            MCP, EnvironmentName.PRODUCTION, Subject(name=f"acme/{user}")
        )
