from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import aliases, failures, flags, lifecycle, matrix, rights, vocabulary
from routing.core.errors import Broken
from routing.core.matrix import Matrix
from routing.core.values import Failure, Operation, Path, Priority, Role


def without(table: Any, key: Any) -> dict[Any, Any]:
    return {k: v for k, v in table.items() if k is not key}


def mismatches(matrices: dict[str, Matrix] | None = None, **more: Any) -> list[str]:
    with pytest.raises(Broken) as broken:
        vocabulary.check(matrices=matrices, **more)
    found = list(broken.value.facts["mismatches"])
    assert all(sentence in broken.value.message for sentence in found)
    return found


def test_the_tables_of_the_core_agree_with_the_vocabulary() -> None:
    vocabulary.check()
    vocabulary.check(matrices={"staging": matrix.DEFAULT})


@pytest.mark.parametrize(
    ("module", "name", "key"),
    [
        (rights, "RIGHTS", Role.REVIEWER),
        (flags, "DECLARED", flags.FlagName.CACHING),
        (failures, "TABLE", Failure.TRUNCATED),
        (lifecycle, "NEXT", lifecycle.Stage.BAKING),
    ],
)
def test_a_table_that_lacks_a_word_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, key: StrEnum
) -> None:
    shorter = without(getattr(module, name), key)
    monkeypatch.setattr(module, name, shorter)
    if module is flags:
        monkeypatch.setattr(vocabulary, name, shorter)
    assert any(sentence.endswith(f"{key} is missing.") for sentence in mismatches())


def test_an_alias_of_another_kind_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    crossed: dict[Any, Any] = {**aliases.ALIASES, Priority: {"urgent": Operation.EMERGENCY}}
    monkeypatch.setattr(aliases, "ALIASES", crossed)
    assert mismatches() == [
        "aliases of Priority: <Operation.EMERGENCY: 'emergency'> is no Priority."
    ]


def test_an_alias_that_hides_a_word_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    crossed: dict[Any, Any] = {**aliases.ALIASES, Path: {"mcp": Path.DIRECT_BEDROCK}}
    monkeypatch.setattr(aliases, "ALIASES", crossed)
    assert mismatches() == ["aliases of Path: 'mcp' is a word of its own."]


def _foreign_path(row: matrix.Row) -> matrix.Row:
    return replace(row, primary="direct")  # type: ignore[arg-type]


def _text_for_a_word(row: matrix.Row) -> matrix.Row:
    return replace(row, primary="direct_bedrock")  # type: ignore[arg-type]


def _other_operation(row: matrix.Row) -> matrix.Row:
    return replace(row, operation=Operation.STANDARD)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_foreign_path, "staging, primary paths: 'direct' is no Path."),
        (_text_for_a_word, "staging, primary paths: 'direct_bedrock' is no Path."),
        (
            _other_operation,
            "staging: the row of <Operation.STANDARD: 'standard'> stands under "
            "<Operation.EMERGENCY: 'emergency'>.",
        ),
    ],
)
def test_a_matrix_in_other_words_stops_the_start(
    change: Callable[[matrix.Row], matrix.Row], sentence: str
) -> None:
    rows = dict(matrix.DEFAULT.rows)
    rows[Operation.EMERGENCY] = change(rows[Operation.EMERGENCY])
    spoilt = replace(matrix.DEFAULT, rows=rows)
    assert mismatches({"staging": spoilt}) == [sentence]


def test_a_matrix_without_a_row_stops_the_start() -> None:
    short = replace(matrix.DEFAULT, rows=without(matrix.DEFAULT.rows, Operation.META_MONITOR))
    assert mismatches({"staging": short}) == ["staging, rows: Operation meta_monitor is missing."]


def test_a_narrowed_row_is_looked_at_too() -> None:
    row = matrix.DEFAULT.rows[Operation.STANDARD]
    key = (Operation.EMERGENCY, Priority.HIGH)
    assert len(mismatches({"staging": replace(matrix.DEFAULT, narrowed={key: row})})) == 1


def test_every_mismatch_is_listed_at_once() -> None:
    tables = [
        vocabulary.keys("lanes", Path, ["direct"]),
        vocabulary.some("marks", Role, ["root", Role.ADMIN]),
    ]
    assert mismatches(tables=tables) == [
        "lanes: 'direct' is no Path.",
        "lanes: Path direct_bedrock is missing.",
        "lanes: Path mcp is missing.",
        "marks: 'root' is no Role.",
    ]


@given(st.sets(st.sampled_from(Operation)), st.lists(st.text(max_size=8), max_size=3))
def test_a_table_agrees_only_with_all_words_and_no_other(
    mentioned: set[Operation], foreign: list[str]
) -> None:
    words = [*mentioned, *foreign]
    lacking = len(Operation) - len(mentioned)
    exact = vocabulary.mismatches(vocabulary.keys("t", Operation, words))
    assert len(exact) == lacking + len(foreign)
    partial = vocabulary.mismatches(vocabulary.some("t", Operation, words))
    assert len(partial) == len(foreign)
