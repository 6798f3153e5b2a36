"""OpenAI's words into ours: what is taken, what says nothing, what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.api import openai_words
from routing.api.dialect import Asked
from routing.api.openai_words import CHAT, OpenAi
from routing.api.refusals import CannotCarry
from routing.core.errors import Invalid, NotFound
from tests.unit.stage import CALLER, NOW

HELLO = [{"role": "user", "content": "How are we?"}]
DOOR = OpenAi(known=("hybridops",), clock=lambda: NOW)
SAID: dict[str, str | None] = dict.fromkeys(
    ["X-HybridOps-Operation", "X-HybridOps-Priority", "X-HybridOps-Path", "X-HybridOps-Nonce"]
)


def read(**more: Any) -> Asked:
    body = {"model": "hybridops", "messages": HELLO, **more}
    return DOOR.read(json.dumps(body).encode(), DOOR.place(CHAT), said=SAID, caller=CALLER)


def test_the_plainest_request() -> None:
    asked = read()
    assert (asked.ask.operation, asked.ask.system, asked.streams) == ("standard", "", False)
    assert [m.text for m in asked.ask.messages] == ["How are we?"]


def test_what_says_nothing_is_no_obstacle() -> None:
    neutral = {name: values[0] for name, values in openai_words._NEUTRAL.items()}
    assert read(**neutral, seed=None, metadata=None) == read()
    assert read(top_p=1.0) == read()


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"n": True},
        {"n": 0},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"tool_choice": "auto"},
        {"top_p": 0.5},
        {"stop": ["x"]},
        {"response_format": {"type": "json_object"}},
        {"seed": 1},
        {"modalities": ["text", "audio"]},
        {"what_nobody_knows": 1},
        {"stream": True, "stream_options": {"include_obfuscation": True}},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "tool", "content": "x", "tool_call_id": "t"}]},
        {"messages": [{"role": "tool", "content": "x"}]},
        {"messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}]},
        {"messages": [*HELLO, {"role": "system", "content": "too late"}]},
    ],
)
def test_what_no_path_can_say_is_refused_and_not_dropped(more: dict[str, Any]) -> None:
    with pytest.raises(CannotCarry):
        read(**more)


@pytest.mark.parametrize(
    "more",
    [
        {"messages": []},
        {"messages": "How are we?"},
        {"messages": ["How are we?"]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": 7}]},
        {"messages": [{"role": "user", "content": " "}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "more": 1}]}]},
        {"model": 7},
        {"stream": "yes"},
        {"stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": "usage"},
        {"max_tokens": 0},
        {"max_tokens": 5, "max_completion_tokens": 6},
        {"temperature": 2.5},
        {"user": "two words"},
    ],
)
def test_what_makes_no_sense_is_invalid(more: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read(**more)


def test_a_model_that_nobody_configured_is_not_found() -> None:
    with pytest.raises(NotFound) as told:
        read(model="gpt-9")
    assert "hybridops" in told.value.message


@given(
    body=st.dictionaries(
        st.sampled_from([*openai_words.KEYS, *openai_words._NEUTRAL, "seed"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), inner)
            ),
            max_leaves=8,
        ),
    )
)
def test_whatever_is_sent_is_read_or_refused(body: dict[str, Any]) -> None:
    data = json.dumps(body).encode()
    try:
        found = DOOR.read(data, DOOR.place(CHAT), said=SAID, caller=CALLER)
    except (Invalid, CannotCarry, NotFound):
        return
    assert all(message.text.strip() for message in found.ask.messages)
