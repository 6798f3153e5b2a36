"""The words of the Routing page and of the draft's editor."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given

from dashboard.cards import drafts, routes
from dashboard.cards.wording import left
from routing.core.decision import Kill, Override, PathFacts, Request, State, decide
from routing.core.flags import FlagName
from routing.core.matrix import DEFAULT, Matrix
from routing.core.values import EnvironmentName, Health, Operation, Path, Priority, Skip
from routing.matrix import codec
from tests.unit.core import worlds

DEV = EnvironmentName.DEVELOPMENT
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1_000_000)
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP


def state(**more: object) -> State:
    usual = {
        "matrix": DEFAULT,
        "flags": dict.fromkeys(FlagName, True),
        "paths": dict.fromkeys(Path, PathFacts(health=Health.HEALTHY)),
    }
    return State(**(usual | more))  # type: ignore[arg-type]


def row(shown: routes.MatrixTable, name: str) -> routes.MatrixRow:
    return next(one for one in shown.rows if one.name == name)


@given(worlds.requests, worlds.states)
def test_every_promise_can_be_said(request: Request, s: State) -> None:
    """Whatever `decide` answers has words; a word that is missing raises."""
    said = routes.explained(request.operation, decide(request, s), s)
    assert said.sentence.endswith(".") and said.facts
    for step in said.steps:
        assert not step.code or step.over != step.code, "each skip has words of its own"


@given(worlds.states)
def test_every_matrix_in_every_state_can_be_shown(s: State) -> None:
    shown = routes.matrix_table(DEV, s, NOW)
    assert len(shown.rows) == len(s.matrix.rows) + len(s.matrix.narrowed)


def test_a_row_says_where_its_requests_begin_now_and_why_if_elsewhere() -> None:
    over = Override(operation=Operation.STANDARD, path=DIRECT, ends_us=NOW_US + 1)
    shown = routes.matrix_table(DEV, state(overrides=(over,)), NOW)
    standard = row(shown, "standard")
    assert standard.now == routes.way(DIRECT) and standard.why == "override"
    assert row(shown, "meta_monitor").why == ""
    dead = state(paths=dict.fromkeys(Path, PathFacts(health=Health.UNHEALTHY)))
    assert row(routes.matrix_table(DEV, dead, NOW), "standard").now is None


def test_the_kill_file_and_mcp_only_are_said_above_the_matrix() -> None:
    stopped = routes.matrix_table(DEV, state(kill=Kill.STOP), NOW)
    assert stopped.mode == "The kill file stops every path; the matrix is not followed."
    off = dict.fromkeys(FlagName, True) | {FlagName.INTELLIGENT_ROUTING: False}
    assert "MCP-only" in routes.matrix_table(DEV, state(flags=off), NOW).mode
    assert routes.matrix_table(DEV, state(), NOW).mode == ""


def test_a_narrowed_row_stands_under_its_operation() -> None:
    base = DEFAULT.rows[Operation.META_MONITOR]
    narrow = replace(DEFAULT, narrowed={(Operation.META_MONITOR, Priority.LOW): base})
    names = [one.name for one in routes.matrix_table(DEV, state(matrix=narrow), NOW).rows]
    assert names[2:4] == ["meta_monitor", "meta_monitor at low"]


def test_a_path_that_is_passed_over_says_why_in_words() -> None:
    dead = state(
        paths={MCP: PathFacts(health=Health.UNHEALTHY), DIRECT: PathFacts(health=Health.HEALTHY)}
    )
    asked = Request(operation=Operation.STANDARD, priority=Priority.MEDIUM, now_us=NOW_US)
    said = routes.explained(Operation.STANDARD, decide(asked, dead), dead)
    assert said.sentence == "standard would try direct_bedrock: its own path is not healthy."
    assert said.steps[0].over == "it was measured unhealthy"
    assert said.steps[0].code == str(Skip.UNHEALTHY)


@given(worlds.matrices)
def test_an_editor_that_nobody_touched_sends_the_same_rows(matrix: Matrix) -> None:
    sent = {
        f"{name}-{one.number}": getattr(one, name)
        for one in drafts.edited_rows(matrix)
        for name in drafts._FIELDS
    }
    rows = drafts.rows_of(sent)
    assert codec.misread(rows) == ()
    again = codec.decode(rows, version=matrix.version)
    assert (again.rows, again.narrowed) == (matrix.rows, matrix.narrowed)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "over"),
        (0, "over"),
        (1, "1 s left"),
        (59, "59 s left"),
        (60, "1 min left"),
        (61, "2 min left"),
        (3600, "1 h 0 min left"),
        (4 * 3600, "4 h 0 min left"),
    ],
)
def test_what_is_left_is_said_in_words(seconds: int, words: str) -> None:
    assert left(NOW + timedelta(seconds=seconds), NOW) == words
