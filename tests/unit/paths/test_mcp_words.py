from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import CallToolResult

from routing.core.values import EnvironmentName, Failure, Operation
from routing.paths import mcp_replies, mcp_words
from routing.paths.base import Call, Message, PathError
from routing.paths.mcp_transport import Exchange


def call(*texts: str, **more: Any) -> Call:
    given_: dict[str, Any] = {
        "environment": EnvironmentName.STAGING,
        "operation": Operation.STANDARD,
        "messages": tuple(Message(role="user", text=text) for text in texts),
        "max_tokens": 10,
        "timeout_s": 1.0,
        "decision_id": "d",
        "system": "be brief",
    }
    return Call(**{**given_, **more})


def exchange(**more: Any) -> Exchange:
    return Exchange(ends=math.inf, **more)


def test_without_a_template_the_tool_gets_our_arguments() -> None:
    assert mcp_words.fill(None, call("a", "b")) == {
        "operation": "standard",
        "messages": [{"role": "user", "text": "a"}, {"role": "user", "text": "b"}],
        "system": "be brief",
        "max_tokens": 10,
    }


def test_a_slot_alone_is_the_value_and_within_text_its_words() -> None:
    template = {
        "all": "{messages}",
        "most": "{max_tokens}",
        "line": "{operation}: {prompt} ({max_tokens}, {system}) {unknown} {{prompt}}",
        "deep": {"list": ["{prompt}", {"x": "{max_tokens}"}]},
        "flag": True,
        "none": None,
    }
    assert mcp_words.fill(template, call("first", "last")) == {
        "all": [{"role": "user", "text": "first"}, {"role": "user", "text": "last"}],
        "most": 10,
        "line": "standard: last (10, be brief) {unknown} {last}",
        "deep": {"list": ["last", {"x": 10}]},
        "flag": True,
        "none": None,
    }
    assert mcp_words.fill({"p": "<{prompt}>"}, call()) == {"p": "<>"}


SLOTS = ["{prompt}", "{messages}", "{system}", "{operation}", "{max_tokens}"]


@given(st.lists(st.sampled_from(SLOTS) | st.text(max_size=8)).map("".join))
def test_words_of_the_caller_that_look_like_slots_stay_words(prompt: str) -> None:
    template = {"p": "[{prompt}]", "s": "{system}|{prompt}|{operation}"}
    filled = mcp_words.fill(template, call(prompt, system=prompt))
    assert filled == {"p": f"[{prompt}]", "s": f"{prompt}|{prompt}|standard"}


@given(st.text(), st.sampled_from([f"{slot}" for slot in SLOTS]))
def test_no_prompt_changes_the_shape_of_the_arguments(prompt: str, slot: str) -> None:
    template = {"a": slot, "b": f"x {slot}", "c": 1}
    filled = json.loads(json.dumps(mcp_words.fill(template, call(prompt))))
    assert set(filled) == {"a", "b", "c"}
    assert filled["c"] == 1
    assert isinstance(filled["b"], str)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", "\ud800", object()])
def test_a_template_that_json_cannot_say_is_refused_before_it_is_sent(value: Any) -> None:
    with pytest.raises(PathError) as caught:
        mcp_words.fill({"x": value}, call("a"))
    assert (caught.value.failure, caught.value.sent) == (Failure.DISABLED, False)


@given(st.integers(), st.text(), st.booleans(), st.booleans())
def test_every_code_is_some_failure(code: int, said: str, acts: bool, answered: bool) -> None:
    problem = mcp_words.translate(code, said, exchange(acts=acts, answered=answered))
    assert problem.failure in Failure
    assert len(problem.detail) <= 300


def test_a_client_that_went_away_leaves_the_outcome_unknown_only_where_the_tool_acts() -> None:
    closed = mcp_words.CONNECTION_CLOSED
    met = {
        acts: mcp_words.translate(closed, "Connection closed", exchange(acts=acts)).failure
        for acts in (True, False)
    }
    assert met == {True: Failure.OUTCOME_UNKNOWN, False: Failure.UNREACHABLE}
    said = mcp_words.translate(closed, "mine", exchange(acts=True, answered=True))
    assert said.failure is Failure.PROVIDER


@pytest.mark.parametrize("status", range(201, 600))
def test_every_status_is_some_failure(status: int) -> None:
    failure = mcp_replies.by_status(status)
    assert failure in Failure
    assert (failure is Failure.PROVIDER) == (status >= 500 and status != 504)


def result(**value: Any) -> CallToolResult:
    return CallToolResult.model_validate({"content": [], **value})


TEXT = {"type": "text", "text": "well"}
IMAGE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}


def test_texts_are_joined() -> None:
    answer = mcp_words.answer(result(content=[TEXT, TEXT]), "t")
    assert (answer.text, answer.model, answer.usage) == ("wellwell", "t", None)


@pytest.mark.parametrize(
    ("value", "failure"),
    [
        ({"content": []}, Failure.PROTOCOL),
        ({"content": [TEXT, IMAGE]}, Failure.PROTOCOL),
        ({"content": [{"type": "text", "text": ""}]}, Failure.PROTOCOL),
        ({"content": [], "structuredContent": {"a": 1}}, Failure.PROTOCOL),
        ({"content": [TEXT], "resultType": "input_required"}, Failure.PROTOCOL),
        ({"content": [TEXT], "isError": True}, Failure.TOOL_ERROR),
        ({"content": [], "isError": True}, Failure.TOOL_ERROR),
    ],
)
def test_what_is_no_plain_text_is_no_answer(value: dict[str, Any], failure: Failure) -> None:
    with pytest.raises(PathError) as caught:
        mcp_words.answer(result(**value), "t")
    assert caught.value.failure is failure
    assert caught.value.detail
