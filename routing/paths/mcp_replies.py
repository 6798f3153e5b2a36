"""Reading one HTTP answer of an MCP server as the one message that answers one request.

At most 1 MiB of it, not compressed, and not in more parts than the SDK can make objects of within
20 MB: it takes up to 2 kB for one. Events are read up to the answer; what the server asks of us on
the way (sampling, elicitation) ends the call.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from routing.core.values import Failure
from routing.paths.base import PathError, seconds, words

MOST_BYTES = 1_048_576
MOST_PARTS = 8_000  # objects and lists; a thousand tools with schemas have about as many
MOST_VALUES = 30_000
DEEPEST = 100
SESSION = "mcp-session-id"
_JSON = {"content-type": "application/json"}

_BY_STATUS: Mapping[int, Failure] = {
    400: Failure.VALIDATION,
    401: Failure.REFUSED_CREDENTIALS,
    403: Failure.REFUSED_CREDENTIALS,
    408: Failure.TIMEOUT,
    413: Failure.VALIDATION,
    422: Failure.VALIDATION,
    429: Failure.THROTTLED,
    504: Failure.TIMEOUT,
}


class SessionLost(PathError):
    """The server does not know our session any more; it did nothing with the request."""


async def read(
    request: httpx2.Request,
    message: Mapping[str, Any],
    response: httpx2.Response,
) -> httpx2.Response:
    """Return the one message that answers `message`; raises PathError."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        text = "The MCP server compressed its answer, which it was not asked to."
        raise PathError(Failure.PROTOCOL, text)
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code == 200 and kind == "text/event-stream":
        body = await _event(request, message, response)
    else:
        body = b"".join([part async for part in _capped(response)])
    said = _parsed(body)
    if response.status_code != 200:
        _refuse(request, message, response, body)
    elif kind not in {"application/json", "text/event-stream"}:
        raise PathError(
            Failure.PROTOCOL, f"The MCP server answered in {words(kind) or 'no type'}."
        )
    elif not _answers(said, message):
        text = "The MCP server's answer is none to what was asked, or of far too many parts."
        raise PathError(Failure.PROTOCOL, text)
    elif said.get("id") is None:  # the SDK would wait for another one
        body = json.dumps({**said, "id": message["id"]}).encode()
    headers = {**_JSON, **{k: v for k, v in response.headers.items() if k == SESSION}}
    return httpx2.Response(response.status_code, headers=headers, content=body, request=request)


def _refuse(
    request: httpx2.Request,
    message: Mapping[str, Any],
    response: httpx2.Response,
    body: bytes,
) -> None:
    """Raise PathError for a status that is no answer.

    A JSON-RPC error is one at 400 and 404 (MCP 2026-07-28, Streamable HTTP). To its first question
    the SDK reads 400, 404 and 405 as the word of an older server.
    """
    status = response.status_code
    if SESSION in request.headers and _forgotten(status, body):
        raise SessionLost(Failure.UNREACHABLE, "The MCP session is over.", sent=False)
    if status in {400, 404} and "error" in _parsed(body) and _answers(_parsed(body), message):
        return
    if status in {400, 404, 405} and message["method"] == "server/discover":
        return
    raise PathError(
        by_status(status),
        f"The MCP server answered with status {status}.",
        retry_after_s=seconds(response.headers.get("retry-after", "")),
    )


def _forgotten(status: int, body: bytes) -> bool:
    """Tell whether a request with a session met one that is unknown; some servers say 400."""
    return status == 404 or (status == 400 and b"session" in body.lower())


def by_status(status: int) -> Failure:
    """Return how a call failed that an HTTP status ended."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Failure.PROVIDER if status >= 500 else Failure.PROTOCOL


async def _capped(response: httpx2.Response) -> AsyncIterator[bytes]:
    size = 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > MOST_BYTES:
            text = f"The MCP server's answer is over {MOST_BYTES} bytes."
            raise PathError(Failure.PROTOCOL, text)
        yield part


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part


async def _event(
    request: httpx2.Request, message: Mapping[str, Any], response: httpx2.Response
) -> bytes:
    """Return the event that answers `message`; what comes before it is left out."""
    headers = {"content-type": "text/event-stream"}
    capped = httpx2.Response(
        200, headers=headers, stream=_Stream(_capped(response)), request=request
    )
    try:
        async for event in httpx2.EventSource(capped, max_event_size=MOST_BYTES):
            if event.event != "message" or not event.data:
                continue
            said = _parsed(event.data.encode())
            if "method" not in said:
                return event.data.encode()
            if "id" in said and said["method"] != "ping":
                text = f"The MCP server asks for {said['method']}, which is not offered."
                raise PathError(Failure.PROTOCOL, words(text))
    except (httpx2.SSEError, UnicodeError) as error:
        raise PathError(Failure.PROTOCOL, words(error)) from error
    raise httpx2.RemoteProtocolError("The events ended before the answer.")


def _parsed(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object in `body`, empty if there is none that can be handled."""
    brackets = body.count(b"{") + body.count(b"[")  # those within texts among them
    if brackets > MOST_PARTS * 10:
        return {}
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    small = brackets <= DEEPEST and body.count(b",") <= MOST_VALUES
    return said if small or _is_simple(said) else {}


def _is_simple(said: Mapping[str, Any]) -> bool:
    """Tell whether `said` has few enough parts, none of them too deep."""
    level: list[Any] = [said]
    parts = every = 0
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            values = one.values() if isinstance(one, dict) else one
            inner += [value for value in values if isinstance(value, dict | list)]
            every += len(one)
        parts += len(inner)
        if parts > MOST_PARTS or every > MOST_VALUES:
            return False
        if not inner:
            return True
        level = inner
    return False


def _answers(said: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Tell whether `said` is a result or an error, and for this very request.

    An error may lack the number: the server could not read it.
    """
    if ("result" in said) is ("error" in said):
        return False
    number, wanted = said.get("id"), message["id"]
    if number is None:
        return "error" in said
    return type(number) is type(wanted) and bool(number == wanted)
