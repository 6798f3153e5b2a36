from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import lifecycle
from routing.core.errors import RuleBroken
from routing.core.lifecycle import NEXT, Stage
from routing.core.values import Verdict

stages = st.sampled_from(Stage)
RUN = [
    Stage.PENDING,
    Stage.DEPLOYING,
    Stage.SMOKE,
    Stage.VALIDATING,
    Stage.INTEGRATION,
    Stage.BAKING,
    Stage.JUDGED,
    Stage.DOCUMENTING,
    Stage.CLOSED,
]


def ways(start: Stage = Stage.PENDING) -> Iterator[list[Stage]]:
    """Yield every way from `start` to a terminal stage."""
    if not NEXT[start]:
        yield [start]
    for following in NEXT[start]:
        for way in ways(following):
            yield [start, *way]


def test_every_stage_is_reached_from_pending() -> None:
    assert {stage for way in ways() for stage in way} == set(Stage)


def test_no_stage_comes_twice() -> None:
    assert all(len(way) == len(set(way)) for way in ways())


def test_only_what_is_over_has_no_exit() -> None:
    over = {Stage.CANCELLED, Stage.ROLLED_BACK}
    assert over == lifecycle.TERMINAL
    assert over | {Stage.CLOSED} == lifecycle.AT_REST


def test_a_run_goes_through_every_stage_in_order() -> None:
    for source, target in pairwise(RUN):
        forward = NEXT[source] & set(RUN)
        assert forward == {target}


@given(stages)
def test_a_rollback_starts_from_any_stage_after_pending(stage: Stage) -> None:
    assert lifecycle.can_move(stage, Stage.ROLLING_BACK) == (stage in RUN[1:])


def test_only_a_pending_deployment_is_cancelled() -> None:
    assert [s for s in Stage if lifecycle.can_move(s, Stage.CANCELLED)] == [Stage.PENDING]


def test_nothing_closes_without_having_been_judged() -> None:
    for way in ways():
        if Stage.CLOSED in way:
            assert Stage.JUDGED in way[: way.index(Stage.CLOSED)]


@given(stages, stages)
def test_a_check_refuses_exactly_what_cannot_be(source: Stage, target: Stage) -> None:
    if lifecycle.can_move(source, target):
        lifecycle.check_move(source, target)
        return
    with pytest.raises(RuleBroken) as refused:
        lifecycle.check_move(source, target)
    assert set(refused.value.facts["legal"]) == NEXT[source]
    assert all(str(stage) in refused.value.message for stage in NEXT[source])


@given(stages, st.one_of(st.none(), st.sampled_from(Verdict)))
def test_the_verdict_is_set_once_and_at_judged_only(stage: Stage, present: Verdict | None) -> None:
    if stage is Stage.JUDGED and present is None:
        lifecycle.check_verdict(stage, present)
        return
    with pytest.raises(RuleBroken, match="judged once"):
        lifecycle.check_verdict(stage, present)


def test_the_diagram_shows_every_move_and_no_other() -> None:
    lines = lifecycle.mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    shown = {tuple(line.split(" --> ")) for line in (text.strip() for text in lines[1:])}
    moves = {(str(source), str(target)) for source in Stage for target in NEXT[source]}
    rest = {(str(stage), "[*]") for stage in lifecycle.AT_REST}
    assert shown == moves | rest | {("[*]", "pending")}
    assert len(shown) == len(lines) - 1
