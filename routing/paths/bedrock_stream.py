"""The binary frames of application/vnd.amazon.eventstream, as ConverseStream answers.

A frame: total length, length of the headers, CRC-32 of those eight bytes; headers; payload;
CRC-32 of all before (the Smithy specification, "Amazon Event Stream"). Frames that break it end
the stream as a protocol failure; events that nobody knows yet are passed over.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

from routing.core.values import Failure
from routing.paths import bedrock_words
from routing.paths.base import Billed, PathError

Event = tuple[str, Mapping[str, Any]]

MOST_FRAME = 4 * 1024 * 1024
MOST_HEADERS = 128 * 1024  # the specification's own limit
KEPT_HEADERS = 64  # sets of headers remembered: all streams repeat the same handful
PRELUDE = 12
_prelude = struct.Struct(">III").unpack_from
_crc = struct.Struct(">I").unpack_from
_json: Any = json.JSONDecoder()  # whose stubs leave out what it reads by
_first_value = _json.scan_once  # raises StopIteration where there is none
_SAYING = frozenset({"contentBlockDelta", "messageStop", "metadata"})
_SILENT: Mapping[str, Event] = {
    name: (name, {}) for name in ("messageStart", "contentBlockStart", "contentBlockStop")
}
# Header value type -> its size in bytes; None for the two that carry a length of their own.
_SIZES: Mapping[int, int | None] = {
    0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 6: None, 7: None, 8: 8, 9: 16
}  # fmt: skip
_STRING = 7


class Frames:
    """Puts the frames of one stream together from the bytes as they come."""

    def __init__(self) -> None:
        self._left = bytearray()
        self._wanted = PRELUDE

    def hear(self, data: bytes, heard: list[Event]) -> None:
        """Add to `heard` the events that `data` completes, but those that nobody here knows.

        Raises PathError, behind what came before it, for a broken frame, the exception or error
        that one carries, or a payload that is no JSON. Every word of every answer passes here.
        """
        for raw, payload in self._whole(data):
            name = _name(raw)
            if name is None:
                raise _said(_headers(raw), payload)
            if name in _SAYING:
                heard.append((name, _payload(name, payload)))
            elif name in _SILENT:
                heard.append(_SILENT[name])

    def _whole(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield headers and payload of the frames that `data` completes, checked."""
        if self._left:
            self._left += data
            if len(self._left) < self._wanted:
                return
            data = bytes(self._left)
        at, size = 0, len(data)
        self._wanted = PRELUDE
        while size - at >= PRELUDE:
            total, named, checksum = _prelude(data, at)
            if crc32(data[at : at + 8]) != checksum:
                raise _broken("a frame's prelude does not hold")
            if named > MOST_HEADERS or not PRELUDE + 4 + named <= total <= MOST_FRAME:
                raise _broken(f"a frame of {total} bytes with {named} of headers")
            end = at + total
            if end > size:
                self._wanted = total
                break
            # Of all but the checksum itself; of the first eight bytes it is known by now.
            rest = data[at + 8 : end - 4]
            if crc32(rest, checksum) != _crc(data, end - 4)[0]:
                raise _broken("a frame's checksum does not hold")
            yield rest[4 : 4 + named], rest[4 + named :]
            at = end
        self._left = bytearray(data[at:])


def _payload(name: str, payload: bytes) -> Mapping[str, Any]:
    try:
        found = read_json(payload)
    except (ValueError, RecursionError):
        raise _broken(f"the payload of {name} is no JSON") from None
    if not isinstance(found, dict):
        raise _broken(f"the payload of {name} is no object")
    return found


def read_json(payload: bytes) -> Any:
    """Return what `json.loads` does, at half its price for what every frame holds."""
    try:
        text = payload.decode()
        value, end = _first_value(text, 0)
    except (ValueError, StopIteration):
        return json.loads(payload)
    return value if end == len(text) else json.loads(payload)


@lru_cache(maxsize=KEPT_HEADERS)
def _headers(raw: bytes) -> Mapping[str, str | None]:
    headers: dict[str, str | None] = {}
    at = 0
    try:
        while at < len(raw):
            name_ends = at + 1 + raw[at]
            name, kind = raw[at + 1 : name_ends].decode(), raw[name_ends]
            at, value = _value(raw, name_ends + 1, kind)
            if name in headers:
                raise _broken(f"the header {name} is there twice")
            headers[name] = value
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        raise _broken("a frame's headers cannot be read") from None
    return headers


@lru_cache(maxsize=KEPT_HEADERS)
def _name(raw: bytes) -> str | None:
    """Return the name of the event with these headers, empty for none, None for an error."""
    headers = _headers(raw)
    if headers.get(":message-type") in ("exception", "error"):
        return None
    return headers.get(":event-type") or ""


def _value(raw: bytes, at: int, kind: int) -> tuple[int, str | None]:
    """Return where the value at `at` ends, and the text that it is."""
    size = _SIZES[kind]
    if size is None:
        (size,) = struct.unpack_from(">H", raw, at)
        at += 2
    end = at + size
    if end > len(raw):
        raise IndexError
    return end, raw[at:end].decode() if kind == _STRING else None


def _said(headers: Mapping[str, str | None], payload: bytes) -> PathError:
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        body = {}
    told = body if isinstance(body, dict) else {}
    message = told.get("message") or told.get("Message") or headers.get(":error-message") or ""
    code = headers.get(":exception-type") or headers.get(":error-code") or ""
    return bedrock_words.in_stream(code, str(message))


def _broken(detail: str) -> PathError:
    text = f"The event stream is broken: {detail}."
    return PathError(Failure.PROTOCOL, text, billed=Billed())
