"""HTTP beneath the MCP client, made so that one bad answer fails one call, never the client.

The SDK ends a client, with every call on it, when its HTTP layer raises, and it forgets HTTP
statuses. So nothing is raised here: a lost connection, a refusing status, an answer over the cap
each become a JSON-RPC error that carries what happened, in our words, in its data.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2

from routing.core.values import Failure

MOST_BYTES = 1_048_576
CONNECT_S = 1.0
NOTE = "hybridops"
INTERNAL_ERROR = -32603  # JSON-RPC 2.0

# 400, 404 and 405 pass: the SDK reads them when it finds out which protocol a server speaks.
_BY_STATUS: Mapping[int, Failure] = {
    401: Failure.REFUSED_CREDENTIALS,
    403: Failure.REFUSED_CREDENTIALS,
    408: Failure.TIMEOUT,
    429: Failure.THROTTLED,
    504: Failure.TIMEOUT,
}


class ErrorsAsAnswers(httpx2.AsyncBaseTransport):
    """Wraps the real transport; `idempotent` says whether a lost tool call may be repeated."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, *, idempotent: bool) -> None:
        self._inner = inner
        self._idempotent = idempotent

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        message = _message(request)
        try:
            response = await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            return _refusal(request, *self._lost(error, message))
        failure = _by_status(response.status_code)
        if failure is not None:
            said = response.headers.get("retry-after", "")
            await response.aclose()
            words = f"The MCP server answered with status {response.status_code}."
            return _refusal(request, failure, words, sent=True, retry_after=said)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            words = "The MCP server compressed its answer, which it was not asked to."
            return _refusal(request, Failure.PROTOCOL, words, sent=True)
        if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            stream = _Events(response, message, self)
            return httpx2.Response(
                response.status_code, headers=response.headers, stream=stream, request=request
            )
        return await self._whole(request, response, message)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _whole(
        self, request: httpx2.Request, response: httpx2.Response, message: Mapping[str, Any]
    ) -> httpx2.Response:
        parts: list[bytes] = []
        size = 0
        try:
            async for part in response.aiter_raw():
                size += len(part)
                if size > MOST_BYTES:
                    words = f"The MCP server's answer is over {MOST_BYTES} bytes."
                    return _refusal(request, Failure.PROTOCOL, words, sent=True)
                parts.append(part)
        except httpx2.TransportError as error:
            return _refusal(request, *self._lost(error, message))
        finally:
            await response.aclose()
        headers = [(k, v) for k, v in response.headers.items() if k != "transfer-encoding"]
        return httpx2.Response(
            response.status_code, headers=headers, content=b"".join(parts), request=request
        )

    def _lost(
        self, error: httpx2.TransportError, message: Mapping[str, Any]
    ) -> tuple[Failure, str, bool]:
        """Say what a lost connection means; a tool that may have acted is an unknown outcome."""
        words = f"{type(error).__name__}: {error}"[:200]
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
            return Failure.UNREACHABLE, words, False
        if isinstance(error, httpx2.TimeoutException):
            return Failure.TIMEOUT, words, True
        if message.get("method") == "tools/call" and not self._idempotent:
            return Failure.OUTCOME_UNKNOWN, words, True
        return Failure.UNREACHABLE, words, True

    def note_of(self, error: httpx2.TransportError, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return the JSON-RPC error for a stream that broke off."""
        failure, words, sent = self._lost(error, message)
        return _error(message.get("id"), failure, words, sent=sent)


class _Events(httpx2.AsyncByteStream):
    """The events of one answer, capped; whatever goes wrong becomes its last event."""

    def __init__(
        self, response: httpx2.Response, message: Mapping[str, Any], owner: ErrorsAsAnswers
    ) -> None:
        self._response = response
        self._message = message
        self._owner = owner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for part in self._response.aiter_raw():
                size += len(part)
                if size > MOST_BYTES:
                    words = f"The MCP server's events are over {MOST_BYTES} bytes."
                    number = self._message.get("id")
                    yield _event(_error(number, Failure.PROTOCOL, words, sent=True))
                    return
                yield part
        except httpx2.TransportError as error:
            yield _event(self._owner.note_of(error, self._message))

    async def aclose(self) -> None:
        await self._response.aclose()


def client(*, idempotent: bool, token: str = "") -> httpx2.AsyncClient:
    """Return the HTTP client for one MCP server: no proxy from the environment, no redirects."""
    headers = {"Accept-Encoding": "identity"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return httpx2.AsyncClient(
        transport=ErrorsAsAnswers(httpx2.AsyncHTTPTransport(), idempotent=idempotent),
        headers=headers,
        timeout=httpx2.Timeout(None, connect=CONNECT_S),
        trust_env=False,
        follow_redirects=False,
    )


def _message(request: httpx2.Request) -> Mapping[str, Any]:
    try:
        said = json.loads(request.content)
    except (ValueError, httpx2.RequestNotRead):
        return {}
    return said if isinstance(said, dict) else {}


def _by_status(status: int) -> Failure | None:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 300 <= status < 400:
        return Failure.PROTOCOL
    return Failure.PROVIDER if status >= 500 else None


def _error(
    number: object, failure: Failure, words: str, *, sent: bool, retry_after: str = ""
) -> dict[str, Any]:
    note = {"failure": str(failure), "sent": sent, "retry_after": retry_after}
    error = {"code": INTERNAL_ERROR, "message": words, "data": {NOTE: note}}
    return {"jsonrpc": "2.0", "id": number, "error": error}


def _refusal(
    request: httpx2.Request,
    failure: Failure,
    words: str,
    sent: bool,
    *,
    retry_after: str = "",
) -> httpx2.Response:
    body = _error(None, failure, words, sent=sent, retry_after=retry_after)
    return httpx2.Response(503, json=body, request=request)


def _event(message: dict[str, Any]) -> bytes:
    return b"\n\nevent: message\ndata: " + json.dumps(message).encode() + b"\n\n"
