"""HTTP/1.1 on the loop: kept connections, checked certificates, one exchange at a time on each.

llhttp reads the answers (httptools). A connection whose exchange did not end whole is closed, not
reused: who leaves an exchange ends it on the wire. No environment variable leads anywhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import httptools

from routing.core.values import Failure
from routing.paths.base import PathError, words
from routing.paths.bedrock_patience import Patience
from routing.paths.bedrock_sign import Origin

CONNECT_S = 1.0
MOST_HEAD = 65_536
MOST_HEADERS = 100
MOST_UNREAD = 1024 * 1024
IDLE_S = 45.0  # longer than that, and the other side may be about to close it
ADDRESSES = 4
RESOLVERS = 2
PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


class Connection(asyncio.Protocol):
    """One connection. `status` and `headers` are those of the answer that is being read."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._problem: PathError | None = None
        self._busy = False
        self._fresh()

    def _fresh(self) -> None:
        """Forget the last exchange."""
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._unread = 0
        self._held = False
        self._fed = 0
        self._sized = False
        self._interim = False
        self._begun = False
        self._surplus = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.headed = False
        self.ended = False
        self._reusable = False

    @property
    def alive(self) -> bool:
        """Whether another exchange may go over it."""
        return self._problem is None and self._transport is not None

    def ask(self, request: bytes) -> None:
        """Send `request` and expect its answer."""
        self._fresh()
        self._busy = True
        assert self._transport is not None
        self._transport.write(request)

    async def head(self, patience: Patience) -> int:
        """Return the status once all headers are there; raises PathError."""
        while not self.headed:
            await self._news(patience)
        return self.status

    async def part(self, patience: Patience) -> bytes:
        """Return what has come of the body, empty at its end; raises PathError."""
        while not self._parts and not self.ended:
            await self._news(patience)
        data = b"".join(self._parts)
        self._parts.clear()
        self._unread = 0
        if self._held and self._transport is not None:
            self._transport.resume_reading()
        self._held = False
        return data

    def done(self) -> bool:
        """End the exchange; return whether the connection can be kept."""
        self._busy = False
        if self.ended and self._reusable and self.alive:
            return True
        self.close()
        return False

    def close(self, why: PathError | None = None) -> None:
        """Close at once; who waits for the answer gets `why`."""
        if why is not None and not self.ended:
            self._fail(why)
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def stale(self) -> bool:
        """Tell whether an idle connection is of no use: the other side spoke or left."""
        return not self.alive or self._readable()

    def _readable(self) -> bool:
        assert self._transport is not None
        peer = self._transport.get_extra_info("socket")
        poll = select.poll()
        poll.register(peer.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    async def _news(self, patience: Patience) -> None:
        """Wait for anything from the other side; raises what ended the exchange."""
        if self._problem is not None:
            raise self._problem
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        left_s = max(0.0, patience.until() - time.monotonic())
        timer = loop.call_later(left_s, _expire, waiter, patience)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, problem: PathError) -> None:
        self._problem = self._problem or problem
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._problem)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        if not self._busy or self.ended:
            self.close()  # nobody asked
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserCallbackError) as error:
            self._unreadable(error)
        if not self.headed and self._fed > MOST_HEAD:
            self._unreadable("its headers never end")
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self.ended or not self._busy:
            self._problem = self._problem or _gone("It is closed.")
        elif self.headed and not self._sized and error is None:
            self.ended = True  # without a length, the end of the connection is the end
        elif self.headed or self._begun:
            text = f"The answer broke off: {words(error or 'the connection was closed')}"
            self._problem = self._problem or PathError(Failure.TRUNCATED, text)
        else:
            self._problem = self._problem or _gone(words(error or "The connection was closed."))
        self._wake()

    def _unreadable(self, error: object) -> None:
        if self.headed:
            self._fail(PathError(Failure.TRUNCATED, f"The answer broke off: {words(error)}"))
        else:
            self._fail(_gone(f"The answer is no HTTP: {words(error)}"))
        self.close()

    # What llhttp calls.

    def on_message_begin(self) -> None:
        self._surplus = self.ended  # a second answer to one request

    def on_status(self, _: bytes) -> None:
        self._begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.headed:
            return  # a trailer
        if len(self.headers) >= MOST_HEADERS:
            raise ValueError("too many headers")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._surplus:
            return
        status = self._parser.get_status_code()
        self._interim = status < 200 and status != 101
        if self._interim:
            self.headers.clear()
            return
        self.status, self.headed = status, True
        coded = self.headers.get("transfer-encoding", "")
        self._sized = "content-length" in self.headers or "chunked" in coded.lower()

    def on_body(self, body: bytes) -> None:
        if self._surplus:
            return
        self._parts.append(body)
        self._unread += len(body)
        if self._unread > MOST_UNREAD and not self._held and self._transport is not None:
            self._transport.pause_reading()
            self._held = True

    def on_message_complete(self) -> None:
        if self._interim:
            return
        self.ended = True
        self._reusable = (
            not self._surplus and self._parser.should_keep_alive() and self.status != 101
        )


class Pool:
    """The connections of one client; `authorities` is the file of trusted certificates."""

    def __init__(self, authorities: str) -> None:
        self._authorities = authorities
        self._tls: ssl.SSLContext | None = None
        self._idle: dict[Origin, list[tuple[float, Connection]]] = {}
        self._all: set[Connection] = set()
        self._closed = False
        self.resolving = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="bedrock-names")

    def prepare(self) -> None:
        """Read the authorities (some 10 ms), so that no call waits for it."""
        if self._tls is None:
            context = ssl.create_default_context(cafile=self._authorities)
            context.set_alpn_protocols(["http/1.1"])
            self._tls = context

    async def take(self, origin: Origin, patience: Patience) -> Connection:
        """Return a connection to `origin`, kept or new; raises PathError, nothing was sent."""
        idle = self._idle.get(origin)
        while idle:
            since, kept = idle.pop()
            if time.monotonic() - since < IDLE_S and not kept.stale():
                return kept
            self.drop(kept)
        return await self._connect(origin, min(CONNECT_S, patience.left_s()))

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """Keep the connection for the next exchange, or drop it where that cannot be."""
        if not self._closed and connection.done():
            self._idle.setdefault(origin, []).append((time.monotonic(), connection))
        else:
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close the connection, also in the middle of an exchange."""
        connection.close()
        self._all.discard(connection)

    def close(self) -> None:
        """End every exchange and all connections."""
        self._closed = True
        why = PathError(Failure.UNREACHABLE, "The client was closed.")
        for connection in self._all:
            connection.close(why)
        self._all.clear()
        self._idle.clear()

    async def _connect(self, origin: Origin, within_s: float) -> Connection:
        ends = time.monotonic() + within_s
        problem: Exception = TimeoutError("no connection in time")
        try:
            async with asyncio.timeout(within_s):
                if origin.tls and self._tls is None:
                    await asyncio.to_thread(self.prepare)
                found = await self._addresses(origin)
            for position, address in enumerate(found):
                share_s = (ends - time.monotonic()) / (len(found) - position)
                try:
                    async with asyncio.timeout(share_s):
                        return await self._open(origin, address)
                except (OSError, ssl.CertificateError) as error:
                    problem = error
        except OSError as error:
            problem = error
        raise self._cannot(origin, problem) from problem

    async def _addresses(self, origin: Origin) -> Sequence[str]:
        """Return the addresses of a name; look-ups have threads of their own, for they hang."""
        for family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                socket.inet_pton(family, origin.host)
                return (origin.host,)
        loop = asyncio.get_running_loop()
        ask = (origin.host, origin.port, 0, socket.SOCK_STREAM)
        found: list[Any] = await loop.run_in_executor(self.resolving, socket.getaddrinfo, *ask)
        return list(dict.fromkeys(str(one[4][0]) for one in found))[:ADDRESSES]

    async def _open(self, origin: Origin, address: str) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(
            Connection,
            address,
            origin.port,
            ssl=self._tls if origin.tls else None,
            server_hostname=origin.host if origin.tls else None,
        )
        if self._closed:
            connection.close()
            raise PathError(Failure.UNREACHABLE, "The client was closed.", sent=False)
        self._all.add(connection)
        return connection

    def _cannot(self, origin: Origin, problem: Exception) -> PathError:
        named = next((name for name in PROXIES if os.environ.get(name)), "")
        hint = f" ({named} is set and not used: no proxy is configured here.)" if named else ""
        said = words(problem) or type(problem).__name__
        detail = f"{origin.host}:{origin.port} cannot be reached: {said}{hint}"
        return PathError(Failure.UNREACHABLE, detail, sent=False)


def _gone(text: str) -> PathError:
    return PathError(Failure.UNREACHABLE, text)


def _expire(waiter: asyncio.Future[None], patience: Patience) -> None:
    if not waiter.done():
        waiter.set_exception(patience.over())
