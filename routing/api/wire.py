"""Requests and replies as ASGI carries them: one value a header, a bounded body, JSON back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar

from routing.api.refusals import TooLarge, TooSlow, Unsupported
from routing.core.errors import HybridOpsError, Invalid

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
T = TypeVar("T")

DECISION = "x-hybridops-decision"
MOST_BYTES = 1_048_576
_NAMED = "hybridops.headers"
BODY_WITHIN_S = 15.0
WATCH_AFTER_S = 0.05
_encode = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode


class Gone(Exception):
    """The caller has left; nobody reads an answer."""


class Outside(Exception):
    """What the server's own `receive` raised (its cause); it is not ours to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer: status, JSON, further headers."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


def header(scope: Scope, name: str) -> str | None:
    """Return the one value of a header, None without it; raises Invalid for several."""
    named = scope.get(_NAMED)
    values = (_sort(scope) if named is None else named).get(_low(name))
    if values is None:
        return None
    if len(values) > 1:
        raise Invalid(f"The header {name} stands {len(values)} times; send it once.")
    return values[0].decode("latin-1").strip()


@lru_cache(maxsize=64)
def _low(name: str) -> bytes:
    return name.lower().encode()


def _sort(scope: Scope) -> dict[bytes, list[bytes]]:
    """Keep the headers by name, for the next question, and return them."""
    found: dict[bytes, list[bytes]] = {}
    for key, value in scope["headers"]:
        found.setdefault(key, []).append(value)
    scope[_NAMED] = found
    return found


def raw_path(scope: Scope) -> str:
    """Return the path as it was sent, still encoded; a signature is over that one."""
    raw: bytes | None = scope.get("raw_path")
    return str(scope["path"]) if raw is None else raw.partition(b"?")[0].decode("latin-1")


def has_body(scope: Scope) -> bool:
    """Tell whether the caller announced a body."""
    names = {key for key, value in scope["headers"] if value != b"0"}
    return bool(names & {b"content-length", b"transfer-encoding"})


def check_media(scope: Scope) -> None:
    """Raise Unsupported unless the body is plain JSON, TooLarge for one announced too long."""
    said = header(scope, "Content-Type") or ""
    kind, _, parameter = said.partition(";")
    if kind.strip().lower() != "application/json" or parameter.strip().lower() not in (
        "",
        "charset=utf-8",
        'charset="utf-8"',
    ):
        raise Unsupported("Send the body with Content-Type: application/json.")
    if (header(scope, "Content-Encoding") or "identity").lower() != "identity":
        raise Unsupported("Send the body as it is, without Content-Encoding.")
    length = header(scope, "Content-Length")
    if length is not None and not (length.isascii() and length.isdigit()):
        raise Invalid("The Content-Length is not a number.")
    if length is not None and (len(length) > 12 or int(length) > MOST_BYTES):
        raise _too_large()


async def read_body(receive: Receive) -> bytes:
    """Return the whole body, however it is cut; raises TooLarge, TooSlow, Gone."""
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            while True:
                message = await _receive(receive)
                if message["type"] == "http.disconnect":
                    raise Gone
                part: bytes = message.get("body", b"")
                size += len(part)
                if size > MOST_BYTES:
                    raise _too_large()
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise TooSlow(
            f"The body did not arrive within {BODY_WITHIN_S:.0f} s; nothing was routed."
        ) from None


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; raises Gone, having cancelled it, when the caller leaves.

    Most answers are there before anybody could leave, so a watch is set only after a moment.
    """
    here = asyncio.current_task()
    assert here is not None
    watch: list[asyncio.Task[None]] = []
    over = False

    def begin() -> None:
        watch.append(asyncio.create_task(_leaves(receive)))
        watch[0].add_done_callback(lambda ended: over or ended.cancelled() or here.cancel())

    timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, begin)
    try:
        return await work
    except asyncio.CancelledError:
        if watch and watch[0].done() and here.uncancel() == 0:
            raise Gone from None  # the work has booked that it was cut off
        raise
    finally:
        over = True
        timer.cancel()
        if watch and not watch[0].done():
            watch[0].cancel()
            await asyncio.gather(*watch, return_exceptions=True)


async def _leaves(receive: Receive) -> None:
    """Return when the caller disconnects; anything else after the body is not ours to judge."""
    message = await _receive(receive)
    if message["type"] != "http.disconnect":
        await asyncio.Event().wait()


async def _receive(receive: Receive) -> Message:
    try:
        return await receive()
    except Exception as error:
        raise Outside from error


def _too_large() -> TooLarge:
    return TooLarge(f"The body is larger than {MOST_BYTES // 1024} KiB; send less.")


def refused(error: HybridOpsError, request_id: str, facts: Mapping[str, Any]) -> Reply:
    """Return the reply for an error of ours, with `facts` beside it."""
    headers: dict[str, str] = {}
    if "retry_after_s" in error.facts:
        headers["retry-after"] = str(error.facts["retry_after_s"])
    if "allow" in error.facts:
        headers["allow"] = str(error.facts["allow"])
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    said = {"code": error.code, "message": error.message, "request_id": request_id}
    if "decision_id" in error.facts:
        headers[DECISION] = error.facts["decision_id"]
    for name in ("known", "limit", "decision_id"):
        if error.facts.get(name) is not None:
            said[name] = error.facts[name]
    return Reply(status=error.status, body={"error": said, **facts}, headers=headers)


async def answer(send: Send, reply: Reply, *, request_id: str, method: str, read: bool) -> None:
    """Send `reply`; a body that was not read ends the connection, or it would be taken for the
    next request."""
    body = packed(reply.body)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        **always(request_id),
        **reply.headers,
    }
    if not read:
        headers["connection"] = "close"
    await start(send, reply.status, headers)
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


def packed(body: Mapping[str, Any]) -> bytes:
    """Return `body` as JSON; half a surrogate pair, which no text can hold, becomes `?`."""
    return _encode(body).encode("utf-8", "replace")


def always(request_id: str) -> dict[str, str]:
    """Return the headers of every answer."""
    return {
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-request-id": request_id,
    }


async def start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    """Send status and headers."""
    pairs = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
