"""HTTP beneath boto3: one exchange within one deadline, which its caller can end at any moment.

botocore's own session counts its read timeout anew with every byte, takes a broken answer for a
whole one, and nobody can reach a call that hangs. boto3 still builds, signs and reads; only the
bytes go this way (botocore's event `before-send`).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import urllib3
from urllib3 import exceptions as http
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse

from routing.core.values import Failure
from routing.paths import bedrock_patience, bedrock_words
from routing.paths.base import Billed, PathError, words

CONNECT_S = 1.0
MOST_BYTES = 4 * 1024 * 1024
CHUNK = 65_536
_owning = threading.Lock()
_current: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class Exchange:
    """One call under way: until when, and how to end it from another thread.

    `leaving` is told, on the thread of the call, when its request leaves.
    """

    def __init__(self, timeout_s: float, leaving: Callable[[], None] | None = None) -> None:
        self._leaving = leaving
        self._deadline = time.monotonic() + timeout_s
        self._connection: _Owned | None = None
        self._given_up = False
        self.asked = False
        self.body: Body | None = None

    @property
    def given_up(self) -> bool:
        """Whether somebody ended it."""
        return self._given_up

    def left_s(self) -> float:
        """Return the seconds left; raises PathError when there are none."""
        left = self._deadline - time.monotonic()
        if left <= 0 or self._given_up:
            raise PathError(Failure.TIMEOUT, "The time of the call is over.")
        return left

    def give_up(self) -> None:
        """End the call: its thread meets the end of the connection, wherever it waits."""
        with _owning:
            self._given_up = True
            connection = self._connection
            if connection is None or connection.owner is not self or connection.sock is None:
                return
            with contextlib.suppress(OSError):
                # Not SSLSocket's own, which would let the reader go on in plain text.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def leave(self) -> None:
        """Note that the request leaves now."""
        self.asked = True
        if self._leaving is not None:
            self._leaving()

    def take(self, connection: _Owned) -> None:
        """Note the connection that the call goes over; raises PathError once given up."""
        with _owning:
            connection.owner = self
            self._connection = connection
        self.left_s()

    def let_go(self) -> None:
        """Leave the connection alone from now on: it may serve another call already."""
        with _owning:
            self._connection = None

    def wait_at_most(self, left_s: float) -> None:
        """Bound the next read from the connection."""
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.settimeout(left_s)


class _Owned:
    """A connection that knows its call: it goes back to the pool before the call is over."""

    owner: Exchange | None = None
    sock: socket.socket | None

    def connect(self) -> None:
        self._belong()
        super().connect()  # type: ignore[misc]

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._belong().leave()
        super().request(*args, **kwargs)  # type: ignore[misc]

    def _belong(self) -> Exchange:
        exchange = _current.get()
        assert exchange is not None
        exchange.take(self)
        return exchange


class _Connection(_Owned, HTTPConnection):
    pass


class _SecureConnection(_Owned, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer whose body is still to be read; it was not decompressed."""

    status: int
    headers: Mapping[str, str]
    body: Body


class Body:
    """A body as botocore reads one; `since` counts its bytes, and may be set back to 0."""

    def __init__(self, response: BaseHTTPResponse, exchange: Exchange, most: int) -> None:
        self._response = response
        self._exchange = exchange
        self._most = most
        self.since = 0

    def stream(self) -> Iterator[bytes]:
        """Yield the body as it comes; raises PathError."""
        exchange, size = self._exchange, 0
        with contextlib.closing(self._response):
            while True:
                try:
                    exchange.wait_at_most(exchange.left_s())
                    part = self._response.read1(CHUNK, decode_content=False)
                except (http.HTTPError, OSError) as error:
                    raise _lost(error, exchange, begun=True) from error
                if not part:
                    return
                size += len(part)
                self.since += len(part)
                if max(size - self._most, self.since - MOST_BYTES) > 0:
                    text = f"The answer is over {MOST_BYTES} bytes."
                    billed = Billed() if self._response.status < 300 else None
                    raise PathError(Failure.PROTOCOL, text, billed=billed)
                yield part

    def close(self) -> None:
        """Leave the rest unread."""
        self._response.close()


class Lines:
    """The connections of one client; `authorities` is the file of trusted certificates.

    `proxy` is the URL of one that https goes through, empty for none.
    """

    def __init__(self, *, most: int, authorities: str, proxy: str = "") -> None:
        usual: dict[str, Any] = {
            "num_pools": 4,
            "maxsize": most,
            "block": False,
            "cert_reqs": "CERT_REQUIRED",
            "ca_certs": authorities,
        }
        direct = urllib3.PoolManager(**usual)
        secure = urllib3.ProxyManager(proxy, **usual) if proxy else direct
        self._managers = {"http": direct, "https": secure}
        for manager in (direct, secure):
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    @contextlib.contextmanager
    def under(self, exchange: Exchange) -> Iterator[None]:
        """Let the requests of this thread in the block belong to `exchange`."""
        token = _current.set(exchange)
        try:
            yield
        finally:
            _current.reset(token)
            exchange.let_go()

    def send(
        self, method: str, url: str, headers: Mapping[str, Any], body: Any, most: int = MOST_BYTES
    ) -> Reply:
        """Return the answer to one request of the exchange in force; raises PathError.

        `most` bytes may come as its body, and `MOST_BYTES` of them unread.
        """
        exchange = _current.get()
        assert exchange is not None
        left = exchange.left_s()
        timeout = urllib3.Timeout(connect=min(CONNECT_S, left), read=left)
        try:
            # The target is sent as it was signed: every slash of a model id is encoded.
            response = (
                self._managers[url.partition(":")[0]]
                .connection_from_url(url)
                .urlopen(
                    method,
                    "/" + url.split("://", 1)[1].partition("/")[2],
                    body=body,
                    headers=dict(headers),
                    timeout=timeout,
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                )
            )
        except (http.HTTPError, OSError) as error:
            if left < CONNECT_S and _never_connected(error, exchange):
                raise bedrock_patience.unconnected() from error
            raise _lost(error, exchange, begun=False) from error
        exchange.body = Body(response, exchange, most)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Reply(status=response.status, headers=headers, body=exchange.body)

    def heard(self) -> None:
        """Note that what came so far of the body in this thread has been understood."""
        exchange = _current.get()
        if exchange is not None and exchange.body is not None:
            exchange.body.since = 0

    def close(self) -> None:
        """Close the connections that no call uses."""
        for manager in self._managers.values():
            manager.clear()


def _never_connected(error: Exception, exchange: Exchange) -> bool:
    """Tell whether connecting, TLS and all, took too long; nobody there is something else."""
    if exchange.asked or exchange.given_up:
        return False
    late = isinstance(error, http.TimeoutError | TimeoutError)
    return late and not isinstance(error, http.NewConnectionError)


def _lost(error: Exception, exchange: Exchange, *, begun: bool) -> PathError:
    if exchange.given_up:
        return PathError(Failure.TIMEOUT, "The call was given up.")
    if not exchange.asked:  # TLS was never agreed on
        return bedrock_words.unreachable(_said(error))
    if isinstance(error, http.ReadTimeoutError | TimeoutError):
        return PathError(Failure.TIMEOUT, "The answer did not come in time.")
    if begun:
        return PathError(Failure.TRUNCATED, f"The answer broke off: {_said(error)}")
    # urllib3 counts failed look-ups, refusals and slow connects as ConnectTimeoutError.
    unsent = http.ConnectTimeoutError | http.SSLError | http.LocationValueError
    if isinstance(error, unsent):
        return bedrock_words.unreachable(_said(error))
    return PathError(Failure.UNREACHABLE, _said(error))


def _said(error: Exception) -> str:
    """Return the words of the error beneath: urllib3 wraps it with a title of its own."""
    cause = error.args[-1] if error.args else error
    return words(cause if isinstance(cause, Exception) else error)
