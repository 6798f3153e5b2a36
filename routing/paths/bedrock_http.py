"""One HTTP/1.1 connection on the loop, one exchange at a time; llhttp reads the answers.

A connection whose exchange did not end whole is closed, not reused: who leaves an exchange ends
it on the wire.
"""

from __future__ import annotations

import asyncio
import select
import time
from typing import cast

import httptools

from routing.core.values import Failure
from routing.paths.base import PathError, words
from routing.paths.bedrock_patience import Patience

MOST_HEAD = 65_536
MOST_HEADERS = 100
MOST_UNREAD = 1024 * 1024


class Connection(asyncio.Protocol):
    """One connection. `status` and `headers` are those of the answer that is being read."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._problem: PathError | None = None
        self._busy = False
        self._poll: select.poll | None = None
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
        self._named: dict[bytes, bytes] = {}
        self.headed = False
        self.ended = False
        self._reusable = False

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer by their names in small letters."""
        return {n.decode("latin-1"): v.decode("latin-1") for n, v in self._named.items()}

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
        if self._poll is None:
            assert self._transport is not None
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

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
        if len(self._named) >= MOST_HEADERS:
            raise ValueError("too many headers")
        self._named[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._surplus:
            return
        status = self._parser.get_status_code()
        self._interim = status < 200 and status != 101
        if self._interim:
            self._named.clear()
            return
        self.status, self.headed = status, True
        coded = self._named.get(b"transfer-encoding", b"")
        self._sized = b"content-length" in self._named or b"chunked" in coded.lower()

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


def _gone(text: str) -> PathError:
    return PathError(Failure.UNREACHABLE, text)


def _expire(waiter: asyncio.Future[None], patience: Patience) -> None:
    if not waiter.done():
        waiter.set_exception(patience.over())
