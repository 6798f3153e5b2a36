"""The connections of one client: kept, made within a second, certificates checked.

No environment variable leads anywhere else: a proxy that is set there is named when the other
side cannot be reached, and not used. One that the environment's settings name carries TLS through
(CONNECT), so it sees where calls go and nothing of what they say.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from routing.core.values import Failure
from routing.paths import bedrock_patience, bedrock_words
from routing.paths.base import PathError, words
from routing.paths.bedrock_http import MOST_HEAD, Connection
from routing.paths.bedrock_patience import Patience
from routing.paths.bedrock_sign import Origin

CONNECT_S = 1.0
IDLE_S = 45.0  # longer than that, and the other side may be about to close it
ADDRESSES = 4
RESOLVERS = 2


class Pool:
    """The connections of one client; `authorities` is the file of trusted certificates."""

    def __init__(self, authorities: str, proxy: Origin | None = None) -> None:
        self._authorities = authorities
        self._proxy = proxy
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
        left_s = patience.left_s()
        try:
            return await self._connect(origin, min(CONNECT_S, left_s))
        except PathError as error:
            if left_s < CONNECT_S and isinstance(error.__cause__, TimeoutError):
                raise bedrock_patience.unconnected() from error
            raise

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
        if self._closed:
            raise PathError(Failure.UNREACHABLE, "The client is closed.", sent=False)
        ends = time.monotonic() + within_s
        problem: Exception = TimeoutError("no connection in time")
        first = self._proxy if self._proxy is not None and origin.tls else origin
        try:
            async with asyncio.timeout(within_s):
                if origin.tls and self._tls is None:
                    await asyncio.to_thread(self.prepare)
                found = await self._addresses(first)
            for position, address in enumerate(found):
                share_s = (ends - time.monotonic()) / (len(found) - position)
                try:
                    async with asyncio.timeout(share_s):
                        return await self._open(origin, first, address)
                except (OSError, ssl.CertificateError) as error:
                    problem = error
        except (OSError, UnicodeError) as error:
            problem = error
        raise _nobody(origin, problem) from problem

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

    async def _open(self, origin: Origin, first: Origin, address: str) -> Connection:
        loop = asyncio.get_running_loop()
        tls = self._tls if origin.tls else None
        if first is origin:
            name = origin.host if tls else None
            _, connection = await loop.create_connection(
                Connection, address, origin.port, ssl=tls, server_hostname=name
            )
        else:
            assert tls is not None
            connection = await _through(first, address, origin, tls)
        if self._closed:
            connection.close()
            raise PathError(Failure.UNREACHABLE, "The client was closed.", sent=False)
        self._all.add(connection)
        return connection


class _Passage(asyncio.Protocol):
    """What a proxy says before it lets through; `said` is the head of its answer."""

    def __init__(self) -> None:
        self.said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, _ = self._got.partition(b"\r\n\r\n")
        if end and not self.said.done():
            self.said.set_result(head)
        elif len(self._got) > MOST_HEAD:
            self.connection_lost(OSError("the proxy never comes to an end"))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.said.done():
            self.said.set_exception(error or OSError("the proxy hung up"))


async def _through(proxy: Origin, address: str, origin: Origin, tls: ssl.SSLContext) -> Connection:
    """Return a connection to `origin` by the proxy at `address`; raises OSError."""
    loop = asyncio.get_running_loop()
    plain, passage = await loop.create_connection(_Passage, address, proxy.port)
    try:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        plain.write(f"CONNECT {host}:{origin.port} HTTP/1.0\r\n\r\n".encode())
        status = (await passage.said).partition(b"\r\n")[0].decode("latin-1")
        if not re.match(r"HTTP/1\.[01] 2\d\d\b", status):
            raise OSError(f"the proxy {proxy.host} answered {status[:60]}")
        connection = Connection()
        secure = await loop.start_tls(plain, connection, tls, server_hostname=origin.host)
        if secure is None:
            raise OSError("the connection was closed")
    except BaseException:
        plain.abort()
        raise
    connection.connection_made(secure)
    return connection


def _nobody(origin: Origin, problem: Exception) -> PathError:
    said = words(problem) or type(problem).__name__
    return bedrock_words.unreachable(f"{origin.host}:{origin.port} cannot be reached: {said}")
