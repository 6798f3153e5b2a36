from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import cards

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
SMALL = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-60, "just now"),
        (0, "just now"),
        (4.9, "just now"),
        (5, "5 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3599, "59 min ago"),
        (3600, "1 h ago"),
        (86_399, "23 h ago"),
        (86_400, "1 d ago"),
        (86_400 * 400, "400 d ago"),
    ],
)
def test_words_an_age_in_its_largest_unit(seconds: float, words: str) -> None:
    assert cards.ago(NOW - timedelta(seconds=seconds), NOW) == words


def test_prints_the_zone_with_every_absolute_time() -> None:
    assert cards.absolute(NOW) == "2026-11-23 03:00:00 UTC"


def state(on: bool, percentage: int, version: int) -> dict[str, object]:
    return {"on": on, "percentage": percentage, "groups": [], "version": version}


def test_words_a_flag_in_one_word() -> None:
    before = {"ENABLE_MCP_INTEGRATION": state(True, 100, 3)}
    after = {"ENABLE_MCP_INTEGRATION": state(False, 100, 4)}
    assert cards.diff(before, after) == (("ENABLE_MCP_INTEGRATION", "on", "off"),)
    part = {"ENABLE_MCP_INTEGRATION": state(True, 25, 5)}
    assert cards.diff(after, part) == (("ENABLE_MCP_INTEGRATION", "off", "on for 25 %"),)


def test_leaves_the_side_empty_that_was_not_there() -> None:
    assert cards.diff(None, {"role": "admin"}) == (("role", "", "admin"),)
    assert cards.diff({"role": "admin"}, None) == (("role", "admin", ""),)


def test_says_nothing_of_what_is_empty_on_both_sides() -> None:
    assert cards.diff(None, {"groups": [], "note": None}) == ()


def test_names_where_a_nested_value_stands() -> None:
    assert cards.diff({"a": {"b": False}}, {"a": {"b": True}}) == (("a · b", "no", "yes"),)


def test_cuts_a_long_value_and_shows_that_it_did() -> None:
    ((_, _, shown),) = cards.diff(None, {"text": "x" * 5000})
    assert len(shown) == cards.LONGEST_VALUE
    assert shown.endswith("…")


@given(SMALL)
def test_equal_sides_differ_in_nothing(value: object) -> None:
    assert cards.diff(value, value) == ()


@given(SMALL, SMALL)
def test_every_difference_has_two_sides_that_were_there_or_none(old: object, new: object) -> None:
    forward, back = cards.diff(old, new), cards.diff(new, old)
    assert {(n, b, a) for n, b, a in forward} == {(n, a, b) for n, b, a in back}
