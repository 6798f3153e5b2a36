from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from routing.core.matrix import DEFAULT, Matrix
from routing.core.matrix_words import differences
from routing.core.values import Operation, Path, Priority
from tests.unit.core.worlds import matrices

STANDARD = DEFAULT.rows[Operation.STANDARD]


def test_says_every_difference_and_no_other() -> None:
    row = replace(STANDARD, primary=Path.DIRECT_BEDROCK, fallback=None, split=10, budget_ms=12_500)
    after = replace(DEFAULT, rows={**DEFAULT.rows, Operation.STANDARD: row})
    assert differences(DEFAULT, after) == (
        "standard: primary mcp → direct_bedrock.",
        "standard: fallback direct_bedrock → none.",
        "standard: share sent to the other path none → 10 % to mcp.",
        "standard: budget 30 s → 12500 ms.",
    )


def test_says_which_rows_are_narrowed_anew_and_which_no_more() -> None:
    narrow = replace(DEFAULT, narrowed={(Operation.STANDARD, Priority.LOW): STANDARD})
    assert differences(DEFAULT, narrow) == (
        "standard at low: a row of its own, mcp, then direct_bedrock, within 30 s, fail_closed.",
    )
    assert differences(narrow, DEFAULT) == ("standard at low: no row of its own any more.",)


@given(matrices, matrices)
def test_is_silent_exactly_where_nothing_differs(one: Matrix, other: Matrix) -> None:
    same = (one.rows, one.narrowed) == (other.rows, other.narrowed)
    assert (differences(one, other) == ()) is same
