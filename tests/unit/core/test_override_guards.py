"""Guards over splits and overrides: everybody counts, on either side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import guards
from routing.core.decision import PathFacts, Request, State, decide
from routing.core.flags import FlagName
from routing.core.guards import Answer
from routing.core.matrix import DEFAULT, Matrix
from routing.core.values import EnvironmentName, Health, Operation, Path, Priority
from tests.unit.core import worlds

DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
ALL_ON = dict.fromkeys(FlagName, True)
NO_MCP = ALL_ON | {FlagName.MCP_INTEGRATION: False}
WELL = dict.fromkeys(Path, PathFacts(health=Health.HEALTHY))


def with_row(operation: Operation, **changes: object) -> Matrix:
    row = replace(DEFAULT.rows[operation], **changes)  # type: ignore[arg-type]
    return replace(DEFAULT, rows={**DEFAULT.rows, operation: row})


@given(worlds.matrices, worlds.flags, st.sampled_from(Operation), st.sampled_from(Priority))
def test_an_operation_is_served_where_decide_leaves_every_subject_a_path(
    matrix: Matrix, flags: dict[FlagName, bool], operation: Operation, priority: Priority
) -> None:
    state = State(matrix=matrix, flags=flags, paths=WELL)
    requests = [
        Request(operation=operation, priority=priority, now_us=1, bucket=bucket)
        for bucket in range(100)
    ]
    everyone = all(decide(request, state).eligible for request in requests)
    assert guards.is_served(operation, flags, matrix, priority) is everyone


def test_a_split_onto_a_path_that_is_off_asks_first() -> None:
    split = with_row(Operation.INFRASTRUCTURE, fallback=None, split=10)
    whole = with_row(Operation.INFRASTRUCTURE, fallback=None)
    judged = guards.judge_matrix(flags=NO_MCP, before=whole, after=split)
    assert judged.answer is Answer.CONFIRM
    assert judged.effects[0].startswith("infrastructure loses every path")


def test_a_flag_that_takes_the_path_of_a_share_asks_first() -> None:
    split = with_row(Operation.INFRASTRUCTURE, fallback=None, split=10)
    judged = guards.judge(
        environment=EnvironmentName.STAGING,
        before=ALL_ON,
        after=NO_MCP,
        matrix=split,
        health=dict.fromkeys(Path, Health.HEALTHY),
    )
    assert judged.answer is Answer.CONFIRM
    assert any("infrastructure" in effect for effect in judged.effects)


@pytest.mark.parametrize("path", Path)
@pytest.mark.parametrize("operation", Operation)
def test_a_matrix_sent_to_a_path_begins_there_for_everyone(
    operation: Operation, path: Path
) -> None:
    start = with_row(operation, split=0 if operation is Operation.EMERGENCY else 30)
    sent = start.sent(operation, path)
    for bucket in (0, 99):
        request = Request(operation=operation, priority=Priority.LOW, now_us=1, bucket=bucket)
        decided = decide(request, State(matrix=sent, flags=ALL_ON, paths=WELL))
        assert decided.intended is path
        alone = start.rows[operation].fallback is None
        assert len(decided.eligible) == (1 if alone else 2)
    assert {k: v for k, v in sent.rows.items() if k is not operation} == {
        k: v for k, v in start.rows.items() if k is not operation
    }


@pytest.mark.parametrize(
    ("health", "answer"),
    [
        (Health.HEALTHY, Answer.ALLOW),
        (Health.DEGRADED, Answer.ALLOW),
        (Health.UNKNOWN, Answer.ALLOW),
        (Health.UNHEALTHY, Answer.CONFIRM),
        (Health.MAINTENANCE, Answer.CONFIRM),
        (Health.NOT_CONFIGURED, Answer.CONFIRM),
    ],
)
def test_an_override_onto_a_path_that_is_not_fit_asks_first(
    health: Health, answer: Answer
) -> None:
    judged = guards.judge_override(
        flags=ALL_ON,
        before=DEFAULT,
        after=DEFAULT.sent(Operation.STANDARD, DIRECT),
        path=DIRECT,
        health=health,
    )
    assert judged.answer is answer
    assert (judged.rule == guards.PATH_NOT_FIT) is (answer is Answer.CONFIRM)


def test_of_several_judgements_the_worst_is_told_with_the_effects_of_all_equally_bad() -> None:
    fine = guards.judge_matrix(flags=ALL_ON, before=DEFAULT, after=DEFAULT)
    bad = guards.judge_matrix(
        flags=NO_MCP, before=DEFAULT, after=DEFAULT.sent(Operation.EMERGENCY, MCP)
    )
    assert guards.worst([fine, bad, fine]) == bad
