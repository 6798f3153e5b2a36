"""HTTP beneath the MCP client: each request gets one JSON message, whatever the server does.

The SDK ends a client, with every call on it, when its HTTP layer raises; it forgets statuses,
reads without end, and sends notifications one after the other, so that one that hangs holds up
every call. Here each request is one exchange within one deadline and one size. What goes wrong is
noted on the exchange in our words, and the SDK gets a plain error for that one request.

A name is connected to at the address that was judged (see `address`), under its own name.

An answer that broke off is not resumed: whether to ask again is for the router to say. The stream
of a server's own messages is not opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2

from routing.core.values import Failure
from routing.paths import address, mcp_replies
from routing.paths.address import Addresses
from routing.paths.base import PathError, words

CONNECT_S = 1.0
ASIDE_S = 1.0  # notifications, replies to the server, the end of a session
MOST_ASIDE = 16
IDLE_S = 4.0  # below the 5 s after which common servers close an idle connection
INTERNAL_ERROR = -32603  # JSON-RPC 2.0
PORTS = {"http": 80, "https": 443}


@dataclass(slots=True)
class Exchange:
    """One call under way. `acts`: lost after sending, nobody knows what it did.

    `ends` is on the monotonic clock. `problem` is what the transport met, `answered` says that
    the server's own words were handed on.
    """

    ends: float
    acts: bool = False
    problem: PathError | None = None
    answered: bool = False
    timer: asyncio.Timeout | None = None

    def give_up(self) -> None:
        """End the request on the wire: nobody waits for it any more.

        The SDK does so only under the newest protocol; else the request would outlive its caller.
        """
        if self.timer is not None and not self.timer.expired():
            self.timer.reschedule(asyncio.get_running_loop().time())

    def left_s(self) -> float:
        """Return the seconds left, at least 0."""
        return max(0.0, self.ends - time.monotonic())


# The SDK sends each message in the context of who asked for it.
_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


@contextlib.contextmanager
def under(exchange: Exchange) -> Iterator[None]:
    """Let the requests that begin in the block belong to `exchange`."""
    token = _current.set(exchange)
    try:
        yield
    finally:
        _current.reset(token)


class OneAnswer(httpx2.AsyncBaseTransport):
    """Wraps the real transport; see the module."""

    def __init__(
        self, inner: httpx2.AsyncBaseTransport, addresses: Addresses | None = None
    ) -> None:
        self._inner = inner
        self._addresses = addresses or Addresses()
        self._aside: set[asyncio.Task[None]] = set()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            return httpx2.Response(405, request=request)
        message = _message(request)
        if request.method != "POST" or "method" not in message or "id" not in message:
            return await self._on_the_side(request, message)
        exchange = _current.get()
        if exchange is None:  # nobody waits for this one
            exchange = Exchange(ends=time.monotonic() + ASIDE_S)
        try:
            return await self._exchange(request, message, exchange)
        except PathError as problem:
            exchange.problem = problem
            return _refusal(request, problem)

    async def aclose(self) -> None:
        for task in self._aside:
            task.cancel()
        await asyncio.gather(*self._aside, return_exceptions=True)
        await self._inner.aclose()

    async def _exchange(
        self, request: httpx2.Request, message: Mapping[str, Any], exchange: Exchange
    ) -> httpx2.Response:
        _check_outage(message, exchange)
        begun = False
        try:
            async with asyncio.timeout(exchange.left_s()) as exchange.timer:
                response = await self._send(request)
                begun = True
                try:
                    answer = await mcp_replies.read(request, message, response)
                    exchange.answered = True
                    return answer
                finally:
                    await response.aclose()
        except TimeoutError:
            raise PathError(Failure.TIMEOUT, "No answer in the time of the call.") from None
        except httpx2.TransportError as error:
            raise _lost(error, request, exchange, begun=begun) from error
        finally:
            exchange.timer = None

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        """Send `request` to where its host may be reached, to the next address if one is deaf."""
        host, port = request.url.host, request.url.port or PORTS[request.url.scheme]
        *others, last = await self._addresses.of(host, port)
        for place in others:
            with contextlib.suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return await self._inner.handle_async_request(_at(place, request))
        try:
            return await self._inner.handle_async_request(_at(last, request))
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            self._addresses.forget(host, port)
            raise

    async def _on_the_side(
        self, request: httpx2.Request, message: Mapping[str, Any]
    ) -> httpx2.Response:
        """Send what has no answer; only the end of a session and of a handshake is waited for."""
        if request.method == "DELETE" or message.get("method") == "notifications/initialized":
            await self._drop(request)
        elif len(self._aside) < MOST_ASIDE:
            task = asyncio.create_task(self._drop(request))
            self._aside.add(task)
            task.add_done_callback(self._aside.discard)
        return httpx2.Response(200 if request.method == "DELETE" else 202, request=request)

    async def _drop(self, request: httpx2.Request) -> None:
        """Send `request`; what comes back, or does not, changes nothing."""
        with contextlib.suppress(TimeoutError, httpx2.TransportError, PathError):
            async with asyncio.timeout(ASIDE_S):
                response = await self._send(request)
                await response.aclose()


def client(look: address.Lookup = address.lookup) -> httpx2.AsyncClient:
    """Return the HTTP client for one MCP server: no proxy from the environment, no redirects.

    `look` finds the addresses of a name.
    """
    headers = {"Accept-Encoding": "identity"}
    inner = httpx2.AsyncHTTPTransport(
        verify=trust(),
        trust_env=False,
        limits=httpx2.Limits(
            max_connections=256, max_keepalive_connections=64, keepalive_expiry=IDLE_S
        ),
    )
    return httpx2.AsyncClient(
        transport=OneAnswer(inner, Addresses(look)),
        headers=headers,
        timeout=httpx2.Timeout(None, connect=CONNECT_S),
        trust_env=False,
        follow_redirects=False,
    )


@cache
def trust() -> ssl.SSLContext:
    """Return the certificates trusted by this process; reading them takes 50 ms, so once."""
    return httpx2.create_ssl_context(trust_env=False)


def _at(place: str, request: httpx2.Request) -> httpx2.Request:
    """Return `request` for the address `place`; host and certificate stay those of its name."""
    host = request.url.host
    if place == host:
        return request
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=place),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )


def _message(request: httpx2.Request) -> Mapping[str, Any]:
    try:
        said = json.loads(request.content)
    except (ValueError, httpx2.RequestNotRead):
        return {}
    return said if isinstance(said, dict) else {}


def _check_outage(message: Mapping[str, Any], exchange: Exchange) -> None:
    """Raise the problem that discovery met: an outage is no verdict about the protocol.

    The SDK would try the older handshake after any error. It may after one of the server's own.
    """
    met = exchange.problem
    if message["method"] == "initialize" and met and met.failure is not Failure.PROVIDER:
        raise met


def _lost(
    error: httpx2.TransportError, request: httpx2.Request, exchange: Exchange, *, begun: bool
) -> PathError:
    """Return what a lost connection means; a tool that may have acted is an unknown outcome."""
    said = str(error)
    if not said and request.url.scheme == "https" and isinstance(error, httpx2.ConnectError):
        said = "the server broke off the TLS handshake; it must speak TLS 1.2 or later"
    text = words(f"{type(error).__name__}: {said}")
    never = httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout
    if isinstance(error, never | httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return PathError(Failure.UNREACHABLE, text, sent=False)
    if exchange.acts:
        return PathError(Failure.OUTCOME_UNKNOWN, text)
    if isinstance(error, httpx2.TimeoutException):
        return PathError(Failure.TIMEOUT, text)
    return PathError(Failure.TRUNCATED if begun else Failure.UNREACHABLE, text)


def _refusal(request: httpx2.Request, problem: PathError) -> httpx2.Response:
    """Return an error that the SDK hands to the one who asked, who then reads the exchange."""
    error = {"code": INTERNAL_ERROR, "message": str(problem.failure)}
    body = {"jsonrpc": "2.0", "id": None, "error": error}
    return httpx2.Response(503, json=body, request=request)
