"""What a kill file says, whatever stands in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import killing
from routing.core.decision import Kill


@pytest.mark.parametrize("word", list(Kill))
@pytest.mark.parametrize("shape", ["{}", "{}\n", "  {}\t\r\n", "\n{}\n\n"])
def test_a_known_word_is_obeyed_however_an_editor_ends_its_lines(word: Kill, shape: str) -> None:
    assert killing.read(shape.format(word)) == killing.Said(kill=word)


@given(st.text(alphabet=" \t\r\n", max_size=9))
def test_nothing_at_all_is_mcp_only(nothing: str) -> None:
    assert killing.read(nothing) == killing.Said(kill=Kill.MCP_ONLY)


@given(st.text(max_size=200).filter(lambda text: text.strip() not in {"", *Kill}))
def test_whatever_is_no_word_stops_and_says_so(text: str) -> None:
    said = killing.read(text)
    assert said.kill is Kill.STOP
    assert "mcp_only, direct_only, stop" in said.problem
    assert len(said.problem) < 1000


@pytest.mark.parametrize(
    "near", ["MCP_ONLY", "mcp-only", "mcp only", "stop!", "off", "mcp_only #x"]
)
def test_a_word_that_is_nearly_known_is_not_guessed(near: str) -> None:
    assert killing.read(near).kill is Kill.STOP
    assert repr(near) in killing.read(near).problem
