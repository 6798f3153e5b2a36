"""What the door makes of a body: every field bounded, nothing a caller sends is a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.api import asked
from routing.core.errors import Invalid, UnknownWord
from routing.core.values import Operation, Path, Priority
from routing.router import Ask
from tests.unit.stage import CALLER

NOTHING: dict[str, str | None] = {}


def clean(body: object, said: dict[str, str | None] = NOTHING) -> Ask:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asked.clean(asked.document(data), said=said, caller=CALLER)


def test_a_prompt_is_one_message_and_everything_else_has_its_usual_value() -> None:
    ask = clean({"prompt": "Hello"})
    assert [(m.role, m.text) for m in ask.messages] == [("user", "Hello")]
    assert (ask.operation, ask.priority, ask.system) == (Operation.STANDARD, None, "")
    assert (ask.max_tokens, ask.temperature, ask.pinned) == (1024, None, None)


def test_every_field_arrives() -> None:
    ask = clean(
        {
            "operation": "infrastructure",
            "priority": "low",
            "messages": [{"role": "user", "text": "a"}, {"role": "assistant", "text": "b"}],
            "system": "be brief",
            "max_tokens": 64000,
            "temperature": 0.5,
            "subject": "u-7@example.org",
        },
        {asked.PATH: "mcp"},
    )
    assert (ask.operation, ask.priority) == (Operation.INFRASTRUCTURE, Priority.LOW)
    assert [(m.role, m.text) for m in ask.messages] == [("user", "a"), ("assistant", "b")]
    assert (ask.system, ask.max_tokens, ask.temperature) == ("be brief", 64000, 0.5)
    assert (ask.subject, ask.pinned) == ("u-7@example.org", Path.MCP)


def test_the_headers_choose_where_the_body_does_not() -> None:
    said: dict[str, str | None] = {asked.OPERATION: "meta_monitor", asked.PRIORITY: "high"}
    ask = clean({"prompt": "x", "priority": "high"}, said)
    assert (ask.operation, ask.priority) == (Operation.META_MONITOR, Priority.HIGH)


@pytest.mark.parametrize("key", ["operation", "priority"])
def test_headers_and_body_may_not_differ(key: str) -> None:
    header = {"operation": asked.OPERATION, "priority": asked.PRIORITY}[key]
    with pytest.raises(Invalid, match="differ"):
        clean({"prompt": "x", key: "standard"}, {header: "implementation"})


@pytest.mark.parametrize(
    ("body", "known"),
    [
        ({"prompt": "x", "operation": "Emergency"}, "background_tasks"),
        ({"prompt": "x", "operation": "infrastructure_audit"}, "infrastructure"),
        ({"prompt": "x", "priority": ""}, "critical"),
    ],
)
def test_an_unknown_word_is_answered_with_the_known_ones(body: object, known: str) -> None:
    with pytest.raises(UnknownWord) as caught:
        clean(body)
    assert known in caught.value.facts["known"]


DEEP = b'{"prompt":' + b"[" * 100_000
HOSTILE: list[Any] = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b'{"prompt":"a"} {}',
    b'{"prompt":"a","prompt":"b"}',
    b'{"prompt":"a","\\u0070rompt":"b"}',
    b'{"prompt":"a","temperature":NaN}',
    b'{"prompt":"a","temperature":Infinity}',
    b'{"prompt":"a","temperature":1e400}',
    b'{"prompt":"a","max_tokens":' + b"9" * 5000 + b"}",
    b'{"prompt":"a","max_tokens":-1}',
    b'{"prompt":"a","max_tokens":01}',
    b'{"prompt":"\\ud800"}',
    b'{"prompt":"\xed\xa0\x80"}',
    b'{"prompt":"\xff"}',
    b'\xef\xbb\xbf{"prompt":"a"}',
    b'{"prompt":"a\x00b"}',
    b'{"prompt":"a\\u0000b"}',
    b'{"prompt":"\\u001b[2J"}',
    DEEP,
    b'{"messages":[' + b",".join([b'{"role":"user","text":"a"}'] * 2001) + b"]}",
    {},
    {"prompt": ""},
    {"prompt": "  \n"},
    {"prompt": None},
    {"prompt": 1},
    {"prompt": ["a"]},
    {"prompt": {"text": "a"}},
    {"prompt": "a", "messages": []},
    {"messages": []},
    {"messages": "a"},
    {"messages": {"role": "user", "text": "a"}},
    {"messages": ["a"]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "system", "text": "a"}]},
    {"messages": [{"role": ["user"], "text": "a"}]},
    {"messages": [{"role": "user", "text": "a", "name": "x"}]},
    {"messages": [{"role": "user", "text": [{"text": "a"}]}]},
    {"messages": [{"role": "user", "text": ""}]},
    {"prompt": "a", "system": None},
    {"prompt": "a", "system": 1},
    {"prompt": "a", "max_tokens": 0},
    {"prompt": "a", "max_tokens": 64001},
    {"prompt": "a", "max_tokens": 1.0},
    {"prompt": "a", "max_tokens": True},
    {"prompt": "a", "max_tokens": "1"},
    {"prompt": "a", "max_tokens": None},
    {"prompt": "a", "temperature": -0.1},
    {"prompt": "a", "temperature": 2.1},
    {"prompt": "a", "temperature": True},
    {"prompt": "a", "temperature": "1"},
    {"prompt": "a", "temperature": None},
    {"prompt": "a", "operation": None},
    {"prompt": "a", "operation": 1},
    {"prompt": "a", "operation": ["standard"]},
    {"prompt": "a", "priority": 0.5},
    {"prompt": "a", "subject": ""},
    {"prompt": "a", "subject": "a b"},
    {"prompt": "a", "subject": "\u202eadmin"},
    {"prompt": "a", "subject": "x" * 129},
    {"prompt": "a", "environment": "development"},
    {"prompt": "a", "tenant": "other"},
    {"prompt": "a", "path": "mcp"},
    {"prompt": "a", "nonce": "n"},
    {"prompt": "a", "__proto__": {}},
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: str(body)[:40])
def test_refuses(body: object) -> None:
    with pytest.raises(Invalid):
        clean(body)


def test_names_the_unknown_keys_and_the_known_ones() -> None:
    with pytest.raises(Invalid, match="'environment', 'tenant'; known: operation, priority"):
        clean({"prompt": "a", "environment": "x", "tenant": "y"})


@pytest.mark.parametrize("text", ["\u0627\u0644\u0639", "a\u202eb", "\U0001f680", "x" * 900_000])
def test_takes_every_text_that_people_write(text: str) -> None:
    assert clean({"prompt": f"{text}\r\n\tend"}).messages[0].text == f"{text}\r\n\tend"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(asked.KEYS) | st.text(max_size=8)


@given(st.dictionaries(KEYS, VALUES, max_size=6) | VALUES)
def test_any_json_becomes_an_ask_or_a_refusal_in_words(body: object) -> None:
    try:
        ask = clean(json.dumps(body).encode())
    except (Invalid, UnknownWord) as refusal:
        assert refusal.message
    else:
        assert 1 <= ask.max_tokens <= 64_000
        assert ask.temperature is None or 0 <= ask.temperature <= 2
        assert all(message.text.strip() for message in ask.messages)


@given(st.binary(max_size=200))
def test_any_bytes_become_an_ask_or_a_refusal_in_words(data: bytes) -> None:
    with pytest.raises(Invalid):
        clean(data)


@pytest.mark.parametrize(
    ("said", "fresh"),
    [(None, False), ("max-age=0", False), ("no-cache", True), ("Max-Age=0, No-Store", True)],
)
def test_cache_control_asks_for_a_new_answer(said: str | None, fresh: bool) -> None:
    made = asked.clean({"prompt": "x"}, said={asked.CACHE: said}, caller=CALLER)
    assert made.fresh is fresh
