"""Splits: the same subject always, more subjects as the share grows, nobody moved back."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import rollout
from routing.core.decision import Decision, PathFacts, Request, State, decide
from routing.core.flags import FlagName
from routing.core.matrix import DEFAULT, OTHER, Matrix, problems
from routing.core.values import EnvironmentName, Health, Operation, Path, Priority, Reason

DEV, STG, PROD = EnvironmentName
SHARES = st.integers(0, 100)
SUBJECTS = st.text(max_size=40)
STANDARD = DEFAULT.rows[Operation.STANDARD]
KNOWN = [33, 61, 29]


def split(share: int, **changes: object) -> Matrix:
    row = replace(STANDARD, split=share, **changes)  # type: ignore[arg-type]
    return replace(DEFAULT, rows={**DEFAULT.rows, Operation.STANDARD: row})


def ask(share: int, bucket: int | None, **changes: object) -> Decision:
    request = Request(
        operation=Operation.STANDARD, priority=Priority.MEDIUM, now_us=1, bucket=bucket
    )
    state = State(
        matrix=split(share, **changes),
        flags=dict.fromkeys(FlagName, True),
        paths=dict.fromkeys(Path, PathFacts(health=Health.HEALTHY)),
    )
    return decide(request, state)


def place(subject: str, environment: EnvironmentName = PROD) -> int:
    return rollout.split_bucket(environment, Operation.STANDARD, subject)


@given(SUBJECTS, SHARES, SHARES)
def test_a_larger_share_moves_nobody_back(subject: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    was, becomes = ask(small, place(subject)), ask(large, place(subject))
    moved = was.intended is not STANDARD.primary
    assert not moved or becomes.intended is was.intended


@given(SUBJECTS, SHARES)
def test_a_subject_goes_the_same_way_every_time(subject: str, share: int) -> None:
    rollout.split_bucket.cache_clear()
    first = ask(share, place(subject))
    rollout.split_bucket.cache_clear()
    assert ask(share, place(subject)) == first


@pytest.mark.parametrize("share", [1, 10, 25, 50, 90])
def test_the_share_is_met_within_four_standard_deviations(share: int) -> None:
    subjects = 20_000
    went = sum(place(f"tenant-{n}/user-{n * 7}") < share for n in range(subjects))
    spread = sqrt(subjects * share / 100 * (1 - share / 100))
    assert abs(went - subjects * share / 100) < 4 * spread


def test_places_are_independent_of_operation_environment_and_flags() -> None:
    """Else the same subjects would be first in line for everything."""
    subjects = [f"tenant-{n}" for n in range(5_000)]
    here = [place(s) < 50 for s in subjects]
    others = (
        [place(s, STG) < 50 for s in subjects],
        [rollout.split_bucket(PROD, Operation.META_MONITOR, s) < 50 for s in subjects],
        [rollout.bucket(FlagName.CACHING, s) < 50 for s in subjects],
    )
    for there in others:
        same = sum(a == b for a, b in zip(here, there, strict=True))
        assert abs(same - 2_500) < 4 * sqrt(5_000 / 4)


def test_the_places_of_known_subjects_never_change() -> None:
    """Another salt or another hash would move every subject of every split at once."""
    assert [place(s) for s in ("acme", "acme/ada", "")] == KNOWN


def test_who_is_in_the_share_begins_on_the_other_path_and_says_split() -> None:
    inside, outside = ask(30, 29), ask(30, 30)
    assert (inside.eligible, inside.reason) == ((Path.DIRECT_BEDROCK, Path.MCP), Reason.SPLIT)
    assert inside.matrix_path is Path.MCP
    assert (outside.eligible, outside.reason) == ((Path.MCP, Path.DIRECT_BEDROCK), Reason.RULE)
    assert ask(30, None).reason is Reason.RULE, "a subject without a place stays"


def test_a_split_gives_no_fallback_where_the_row_has_none() -> None:
    assert ask(30, 0, fallback=None).eligible == (Path.DIRECT_BEDROCK,)


@given(SHARES)
def test_orders_name_every_group_that_there_is(share: int) -> None:
    row = replace(STANDARD, split=share)
    taken = {ask(share, bucket).eligible for bucket in range(100)}
    assert taken == set(row.orders())


def test_an_emergency_may_not_be_split_nor_fail_closed() -> None:
    row = DEFAULT.rows[Operation.EMERGENCY]
    broken = replace(row, split=5, when_down=STANDARD.when_down, fallback=OTHER[row.primary])
    found = problems(replace(DEFAULT, rows={**DEFAULT.rows, Operation.EMERGENCY: broken}))
    assert len(found) == 3
    assert all(sentence.startswith("The row of emergency ") for sentence in found)


def test_every_problem_is_listed_at_once_and_names_its_row() -> None:
    rows = dict(DEFAULT.rows)
    del rows[Operation.STANDARD]
    rows[Operation.META_MONITOR] = replace(rows[Operation.META_MONITOR], budget_ms=0, split=101)
    narrow = {(Operation.STANDARD, Priority.LOW): replace(STANDARD, fallback=STANDARD.primary)}
    found = problems(Matrix(version=2, rows=rows, narrowed=narrow))
    assert [sentence[:44] for sentence in found] == [
        "The matrix has no row for standard; add one ",
        "The row of meta_monitor has no time: set a b",
        "The row of meta_monitor sends 101 % to the o",
        "The row of standard at low falls back onto i",
    ]
