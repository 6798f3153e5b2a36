"""Server-sent events: JSON in frames of text, for our own door and for OpenAI's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing.api import wire

CONTENT_TYPE = "text/event-stream; charset=utf-8"
STILL_THERE = b": still there\n\n"  # a comment, which readers pass over
# Readers that split text into lines may take these for the end of one.
_LINE_ENDS = {
    "\x85".encode(): rb"\u0085",
    "\u2028".encode(): rb"\u2028",
    "\u2029".encode(): rb"\u2029",
}


def event(body: Mapping[str, Any], name: str = "") -> bytes:
    """Return one event with `body` as its data."""
    data = wire.packed(body)
    for found, written in _LINE_ENDS.items():
        data = data.replace(found, written)
    named = f"event: {name}\n".encode() if name else b""
    return named + b"data: " + data + b"\n\n"
