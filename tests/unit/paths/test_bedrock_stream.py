"""Our reader of event streams against botocore's, on whole, broken and senseless bytes."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from routing.core import eventstream
from routing.core.values import Failure
from routing.paths import bedrock_stream
from routing.paths.base import PathError
from routing.paths.bedrock_stream import Event, Frames

Seen = list[tuple[dict[str, str | None], bytes]]


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """One header of any type that there is, now and then one that is not."""
    name = draw(st.text(max_size=8)).encode()
    kind = draw(st.integers(0, 10))
    size = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}.get(kind)
    if size is not None:
        value = draw(st.binary(min_size=size, max_size=size))
    else:
        text = draw(st.text(max_size=9).map(str.encode) | st.binary(max_size=9))
        value = struct.pack(">H", len(text)) + text
    return bytes([len(name)]) + name + bytes([kind]) + value


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    named, payload = b"".join(draw(st.lists(headers(), max_size=3))), draw(st.binary(max_size=30))
    prelude = struct.pack(">II", 16 + len(named) + len(payload), len(named))
    head = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + payload
    return head + struct.pack(">I", zlib.crc32(head))


def by_botocore(chunks: list[bytes]) -> tuple[Seen, bool]:
    buffer: Any = EventStreamBuffer()
    seen: Seen = []
    try:
        for chunk in chunks:
            buffer.add_data(chunk)
            for message in buffer:
                named = {k: v if isinstance(v, str) else None for k, v in message.headers.items()}
                seen.append((named, message.payload))
    except Exception:  # noqa: BLE001 - botocore lets KeyError and UnicodeDecodeError through too
        return seen, False
    return seen, True


def by_us(chunks: list[bytes]) -> tuple[Seen, bool]:
    reader = Frames()
    seen: Seen = []
    try:
        for chunk in chunks:
            for raw, payload in reader._whole(chunk):
                seen.append((dict(bedrock_stream._headers(raw)), payload))
    except PathError as error:
        assert error.failure is Failure.PROTOCOL
        return seen, False
    return seen, True


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks, at = [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    return [*chunks, data[at:]]


@given(st.lists(frames(), max_size=4), st.lists(st.integers(1, 40), max_size=12))
def test_reads_what_botocore_reads_however_it_is_cut(whole: list[bytes], sizes: list[int]) -> None:
    chunks = cut(b"".join(whole), sizes)
    assert by_us(chunks) == by_botocore(chunks)


@given(st.lists(frames(), min_size=1, max_size=3), st.data())
def test_refuses_what_botocore_refuses(whole: list[bytes], data: st.DataObject) -> None:
    spoiled = bytearray(b"".join(whole))
    spoiled[data.draw(st.integers(0, len(spoiled) - 1))] ^= data.draw(st.integers(1, 255))
    assert by_us([bytes(spoiled)]) == by_botocore([bytes(spoiled)])


SAYING = ("contentBlockDelta", "messageStop", "metadata")
SILENT = ("messageStart", "contentBlockStart", "contentBlockStop")


def heard_by_botocore(chunks: list[bytes]) -> tuple[list[Event], bool]:
    """What the frames that botocore reads say to us, and whether all of it is well."""
    seen, well = by_botocore(chunks)
    found = list[Event]()
    for named, payload in seen:
        name = named.get(":event-type") or ""
        if named.get(":message-type") in ("exception", "error"):
            return found, False
        if name in SAYING:
            body = json.loads(payload)
            if not isinstance(body, dict):
                return found, False
            found.append((name, body))
        elif name in SILENT:
            found.append((name, {}))
    return found, well


def heard_by_us(chunks: list[bytes]) -> tuple[list[Event], bool]:
    reader, found = Frames(), list[Event]()
    try:
        for chunk in chunks:
            reader.hear(chunk, found)
    except PathError:
        return found, False
    return found, True


def events() -> st.SearchStrategy[bytes]:
    names = ("messageStart", "contentBlockDelta", "messageStop", "metadata", "unheardOf", "")
    payload = st.dictionaries(st.text(max_size=4), st.text(max_size=8), max_size=2)
    said = st.builds(eventstream.event, st.sampled_from(names), payload)
    no_object: Any = ["a list"]
    misshapen = st.just(eventstream.frame({":event-type": "metadata"}, no_object))
    error = st.builds(
        eventstream.exception, st.sampled_from(("throttlingException", "x")), st.text()
    )
    return st.one_of(said, said, misshapen, error, said.map(eventstream.spoiled))


@given(st.lists(events(), max_size=5), st.lists(st.integers(1, 200), max_size=6))
def test_hears_what_the_frames_of_botocore_say(whole: list[bytes], sizes: list[int]) -> None:
    chunks = cut(b"".join(whole), sizes)
    assert heard_by_us(chunks) == heard_by_botocore(chunks)


def test_a_byte_at_a_time_takes_no_longer_than_its_bytes() -> None:
    """A frame of 1 MB that drips in: what has come is not looked through again each time."""
    frame = eventstream.event("contentBlockDelta", {"delta": {"text": "x" * 1_000_000}})
    reader, found = Frames(), list[Event]()
    for at in range(0, len(frame), 16):
        reader.hear(frame[at : at + 16], found)
    assert len(found) == 1


@pytest.mark.parametrize("name", ["messageStart", "somethingNew", "contentBlockStop"])
def test_an_event_that_says_nothing_to_us_is_not_read(name: str) -> None:
    heard = list[Event]()
    Frames().hear(eventstream.frame({":event-type": name}, {"deep": "x"}), heard)
    assert heard == [(name, {})] * (name in SILENT)


@given(
    st.binary(max_size=40)
    | st.text(max_size=20).map(lambda text: json.dumps({"text": text}).encode())
    | st.sampled_from(("utf-8-sig", "utf-16", "utf-32")).map('{"a": "\\u00e9"} '.encode)
    | st.sampled_from((b'{"a":1} x', b' {"a":1}', b'{"a":1}\n', b'"\xed\xa0\x80"', b"[" * 5000))
)
def test_a_payload_is_what_pythons_own_reader_makes_of_it(payload: bytes) -> None:
    def by(read: Callable[[bytes], Any]) -> Any:
        try:
            return json.dumps(read(payload))
        except (ValueError, RecursionError) as error:
            return isinstance(error, RecursionError)

    assert by(bedrock_stream.read_json) == by(json.loads)
