"""Frames are judged by the decoder of the client that will read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from routing.core import eventstream

PAYLOADS = st.dictionaries(st.text(max_size=20), st.text(max_size=200), max_size=5)


def decoded(*parts: bytes) -> list[Any]:
    buffer = EventStreamBuffer()
    for part in parts:
        buffer.add_data(part)
    return list(buffer)


@given(name=st.sampled_from(["messageStart", "metadata"]), payload=PAYLOADS)
def test_an_event_reads_back_as_it_was_sent(name: str, payload: dict[str, str]) -> None:
    [message] = decoded(eventstream.event(name, payload))
    assert message.headers == {
        ":event-type": name,
        ":message-type": "event",
        ":content-type": "application/json",
    }
    assert json.loads(message.payload) == payload


@given(payloads=st.lists(PAYLOADS, min_size=1, max_size=4), cut=st.integers(1, 50))
def test_frames_may_arrive_in_any_pieces(payloads: list[dict[str, str]], cut: int) -> None:
    whole = b"".join(eventstream.event("contentBlockDelta", p) for p in payloads)
    pieces = [whole[start : start + cut] for start in range(0, len(whole), cut)]
    assert len(decoded(*pieces)) == len(payloads)


def test_an_exception_says_which() -> None:
    [message] = decoded(eventstream.exception("throttlingException", "slow down"))
    assert message.headers[":message-type"] == "exception"
    assert message.headers[":exception-type"] == "throttlingException"


def test_a_spoiled_frame_is_refused_by_the_decoder() -> None:
    whole = eventstream.event("messageStart", {"role": "assistant"})
    assert decoded(whole)
    with pytest.raises(ChecksumMismatch):
        decoded(eventstream.spoiled(whole))


@given(at=st.integers(0, 60))
def test_any_changed_byte_is_noticed(at: int) -> None:
    whole = bytearray(eventstream.event("messageStart", {"role": "assistant"}))
    whole[at % len(whole)] ^= 0x01
    try:
        read = decoded(bytes(whole))
    except Exception:  # noqa: BLE001 - each kind of refusal is right
        return
    assert read == []  # a longer length waits for bytes that never come
