"""The binary frames of application/vnd.amazon.eventstream.

A frame: total length, length of the headers, CRC-32 of those eight bytes; headers; payload;
CRC-32 of all before (the Smithy specification, "Amazon Event Stream").
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7  # the header value type of a UTF-8 string


def event(name: str, payload: Mapping[str, Any]) -> bytes:
    """Return the frame of the event `name`."""
    return frame({":event-type": name, ":message-type": "event"}, payload)


def exception(name: str, message: str) -> bytes:
    """Return the frame that ends a stream with the modelled exception `name`."""
    return frame({":exception-type": name, ":message-type": "exception"}, {"message": message})


def spoiled(whole: bytes) -> bytes:
    """Return `whole` with a checksum that does not hold."""
    return whole[:-1] + bytes([whole[-1] ^ 0xFF])


def frame(headers: Mapping[str, str], payload: Mapping[str, Any]) -> bytes:
    """Return one frame with `headers` and `payload` as JSON."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    named = b"".join(
        _header(name, value)
        for name, value in {**headers, ":content-type": "application/json"}.items()
    )
    prelude = struct.pack(">II", 16 + len(named) + len(body), len(named))
    checked = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + body
    return checked + struct.pack(">I", zlib.crc32(checked))


def _header(name: str, value: str) -> bytes:
    said, held = name.encode(), value.encode()
    return bytes([len(said)]) + said + struct.pack(">BH", _STRING, len(held)) + held
