"""List M: how an MCP server may misbehave while it is called, and what the call must then be.

The other items of the list are about the list of tools, addresses and certificates; they have
tests of their own. Each item is tried on the client alone and behind the router.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from routing.core.values import Failure
from tests.verified_fakes import hostile
from tests.verified_fakes.hostile import Behave, Request, error, events, reply, result, text

OPEN_EVENTS = reply(200, b"", length=10**9, content_type="text/event-stream")
UNSIZED = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\n\r\n"  # until it is closed
HTML = b"<html>busy</html>"
CANARY = "zebra-canary-4711"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """`number` is that of the list; `answered` the text that is right all the same."""

    number: int
    what: str
    behave: Behave
    failure: Failure | None = None
    answered: str = ""

    def __str__(self) -> str:
        return f"M{self.number} {self.what}"


def said(make: Callable[[Request], bytes | Iterable[bytes]]) -> Behave:
    """Answer with what `make` returns for the request, part by part."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        made = make(request)
        for part in (made,) if isinstance(made, bytes) else made:
            writer.write(part)
            await writer.drain()

    return behave


def closed(make: Callable[[Request], bytes | Iterable[bytes]]) -> Behave:
    """The same, and close the connection: an answer without a length ends with it."""
    inner = said(make)

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        await inner(request, writer)
        writer.close()

    return behave


def torn(first: bytes) -> Behave:
    """Say `first`, then break the connection."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        await hostile.reset(request, writer)

    return behave


def good(request: Request, words: str = "well") -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request.rpc["id"], "result": text(words)}


def much(start: bytes, part: bytes = b"x" * 65_536, count: int = 960) -> Iterable[bytes]:
    """Yield 60 MB in parts."""
    yield start
    for _ in range(count):
        yield part


BOMB = reply(200, gzip.compress(bytes(64_000_000)), content_encoding="gzip")  # 64 kB


def contents(count: int) -> Callable[[Request], bytes]:
    one = {"type": "text", "text": "x"}
    return lambda r: result(r, {"resultType": "complete", "content": [one] * count})


def nested(opening: bytes, closing: bytes, depth: int) -> Callable[[Request], bytes]:
    inner = opening * depth + b"1" + closing * depth
    return lambda r: reply(200, b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (r.rpc["id"], inner))


def filled(part: bytes, count: int, around: bytes) -> Callable[[Request], bytes]:
    """A result of as many small parts as a megabyte holds."""
    inner = around[:1] + b",".join([part] * count) + around[1:]
    return lambda r: reply(
        200, b'{"jsonrpc":"2.0","id":%d,"result":{"a":%s}}' % (r.rpc["id"], inner)
    )


PROGRESS = {
    "jsonrpc": "2.0",
    "method": "notifications/progress",
    "params": {"progressToken": 1, "progress": 1},
}
PROGRESS_EVENT = b"event: message\ndata: " + json.dumps(PROGRESS).encode() + b"\n\n"
TIMEOUT, PROTOCOL, UNKNOWN = Failure.TIMEOUT, Failure.PROTOCOL, Failure.OUTCOME_UNKNOWN
CREDENTIALS, PROVIDER = Failure.REFUSED_CREDENTIALS, Failure.PROVIDER


def _item(number: int, what: str, behave: Behave, failure: Failure) -> Item:
    return Item(number=number, what=what, behave=behave, failure=failure)


# What takes its time, or a megabyte and more.
ENDLESS = (
    _item(1, "silence", hostile.hanging(), TIMEOUT),
    _item(1, "head, then silence", hostile.hanging(reply(200, b"", length=1000)), TIMEOUT),
    _item(1, "open events, then silence", hostile.hanging(OPEN_EVENTS), TIMEOUT),
    _item(2, "body drips", hostile.dripping(reply(200, b"", length=10**6)), TIMEOUT),
    _item(2, "header drips", hostile.dripping(b"HTTP/1.1 200 OK\r\nx: ", b"y"), TIMEOUT),
    _item(2, "comments", hostile.dripping(OPEN_EVENTS, b": still here\n\n"), TIMEOUT),
    _item(
        2, "empty events", hostile.dripping(OPEN_EVENTS, b"id: 7\nretry: 9\ndata:\n\n"), TIMEOUT
    ),
    _item(3, "progress", hostile.dripping(OPEN_EVENTS, PROGRESS_EVENT), TIMEOUT),
)
LARGE = (
    _item(4, "60 MB", said(lambda _: much(reply(200, b"", length=960 * 65_536))), PROTOCOL),
    _item(4, "no length", said(lambda _: much(UNSIZED)), PROTOCOL),
    _item(4, "gzip bomb", hostile.saying(BOMB), PROTOCOL),
    _item(5, "an event of 60 MB", said(lambda _: much(OPEN_EVENTS + b"data: ")), PROTOCOL),
    _item(5, "a line of 60 MB", said(lambda _: much(OPEN_EVENTS)), PROTOCOL),
    _item(8, "as many texts as fit", said(contents(30_000)), PROTOCOL),
    _item(8, "as many lists as fit", said(filled(b"[]", 340_000, b"[]")), PROTOCOL),
    _item(8, "as many objects as fit", said(filled(b'{"":0}', 140_000, b"[]")), PROTOCOL),
    _item(8, "as many words as fit", said(filled(b'"ab"', 200_000, b"[]")), PROTOCOL),
    _item(8, "lists in 10 000 lists", said(nested(b"[", b"]", 10_000)), PROTOCOL),
    _item(8, "objects in 150 objects", said(nested(b'{"a":', b"}", 150)), PROTOCOL),
)


def _status(number: int, status: int, failure: Failure, hint: str = "") -> Item:
    answer = reply(status, HTML, retry_after=hint)
    return _item(number, f"{status} {hint}".strip(), hostile.saying(answer), failure)


def _coded(code: int, failure: Failure) -> Item:
    return _item(9, str(code), said(lambda r: error(r, code)), failure)


def _failing(request: Request) -> bytes:
    return result(request, {**text("no such case"), "isError": True})


ODD = (
    _item(6, "HTML", said(lambda _: reply(200, HTML, content_type="text/html")), PROTOCOL),
    _item(6, "garbage", said(lambda _: reply(200, b"\xff{nonsense")), PROTOCOL),
    _item(6, "nothing", said(lambda _: reply(200, b"")), PROTOCOL),
    _item(6, "202 for a request", said(lambda _: reply(202, b"")), PROTOCOL),
    _item(
        6,
        "another charset",
        said(
            lambda r: reply(
                200,
                json.dumps(good(r)).encode("utf-16")[:-1],
                content_type="application/json; charset=utf-16",
            )
        ),
        PROTOCOL,
    ),
    _item(7, "wrong number", said(lambda r: reply(200, {**good(r), "id": 10**6})), PROTOCOL),
    _item(
        7,
        "number as text",
        said(lambda r: reply(200, {**good(r), "id": str(r.rpc["id"])})),
        PROTOCOL,
    ),
    _item(7, "result and error", said(lambda r: reply(200, {**good(r), "error": {}})), PROTOCOL),
    _item(7, "a batch", said(lambda r: reply(200, json.dumps([good(r)]).encode())), PROTOCOL),
    Item(
        number=7,
        what="two results",
        behave=said(lambda r: events(good(r, "first"), good(r, "second"))),
        answered="first",
    ),
    _item(8, "no content", said(lambda r: result(r, {"content": None})), PROTOCOL),
    _item(8, "a wrong shape", said(lambda r: result(r, {"content": {"text": "x"}})), PROTOCOL),
    _item(9, "isError", said(_failing), Failure.TOOL_ERROR),
    _coded(-32601, PROTOCOL),
    _coded(-32602, Failure.VALIDATION),
    _coded(-32603, PROVIDER),
    _coded(-32020, PROTOCOL),
    _coded(-32021, PROTOCOL),
    _coded(-32022, PROTOCOL),
    *(
        _status(12, 429, Failure.THROTTLED, hint)
        for hint in (
            "1000000000",
            "999999999",
            "-7",
            "Wed, 21 Oct 2015 07:28:00 GMT",
            "soon",
        )
    ),
    *(_status(13, status, PROVIDER) for status in (500, 502, 503)),
    _status(13, 504, TIMEOUT),
    _item(15, "reset after the request", hostile.reset, UNKNOWN),
    _item(15, "closed after the request", hostile.cut, UNKNOWN),
    _item(15, "reset within the head", torn(b"HTTP/1.1 200 OK\r\ncontent-ty"), UNKNOWN),
    _item(15, "reset within the body", torn(reply(200, b'{"jsonrpc"', length=500)), UNKNOWN),
    _item(
        19,
        "wants input for ever",
        said(lambda r: result(r, {"resultType": "input_required", "requestState": "s"})),
        PROTOCOL,
    ),
    *(
        _item(
            19,
            method,
            said(
                lambda r, method=method: events(  # type: ignore[misc]
                    {"jsonrpc": "2.0", "id": "q", "method": method, "params": {}}, closed=False
                )
            ),
            PROTOCOL,
        )
        for method in ("elicitation/create", "sampling/createMessage", "roots/list")
    ),
    _item(
        21, "a head of 2 MB", said(lambda _: much(b"HTTP/1.1 200 OK\r\nx: ", count=32)), UNKNOWN
    ),
    _item(
        21,
        "bare CR and LF in a header",
        said(lambda r: b"HTTP/1.1 200 OK\r\nx: a\rset-cookie: b\n\ry\r\n\r\n"),
        UNKNOWN,
    ),
)
CALLED = (*ENDLESS, *LARGE, *ODD)
