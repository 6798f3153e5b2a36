"""Bedrock by boto3: the reference that the transport on the loop is measured against.

boto3 is synchronous: calls run on threads of this client's own. A thread ends with its call: who
stops waiting also ends the exchange beneath (`bedrock_transport`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from botocore.awsrequest import AWSResponse

from routing.core.values import Failure
from routing.paths import bedrock_account, bedrock_sign, bedrock_words
from routing.paths.base import PathError
from routing.paths.bedrock_account import Account
from routing.paths.bedrock_patience import Patience
from routing.paths.bedrock_sign import Origin
from routing.paths.bedrock_slots import Slots
from routing.paths.bedrock_stream import Event
from routing.paths.bedrock_transport import MOST_BYTES, Exchange, Lines

THREADS = 64
PROBE_THREADS = 2
LATE_S = 0.15  # how much later than the thread the waiting side ends a call
END_S = 2.0
MOST_STREAM = 64 * 1024 * 1024
STREAMING = "/converse-stream"
_LEAVING: Event = ("", {})  # told by a thread when its request leaves


class OnThreads:
    """Carries calls on threads of its own, one each."""

    def __init__(
        self,
        *,
        name: str,
        region: str,
        local: bool,
        endpoint: Callable[[], str | None],
        authorities: str,
        proxy: Origin | None = None,
    ) -> None:
        self._account = Account(region=region, local=local, endpoint=endpoint, send=self._send)
        self._lines = Lines(
            most=THREADS, authorities=authorities, proxy=bedrock_sign.url(proxy) if proxy else ""
        )
        self._threads = ThreadPoolExecutor(
            THREADS + PROBE_THREADS, thread_name_prefix=f"bedrock-{name}"
        )
        self._slots = Slots(THREADS)
        self._under_way: dict[Future[Any], Exchange] = {}
        self._closed = False

    def warm(self) -> None:
        """Begin to find credentials and make the boto3 client, so that no call waits for it."""
        self._threads.submit(self._account.client)

    async def credentials(self, patience: Patience) -> None:
        """Raise PathError where there are no credentials."""
        await self._run(self._account.check, patience)

    async def reply(
        self, verb: str, document: Mapping[str, Any], patience: Patience
    ) -> Mapping[str, Any]:
        """Return the whole JSON answer to `verb`, such as `converse`; raises PathError."""
        free = None
        if verb == "converse":  # the others are a probe's, which has threads of its own
            await self._slots.take(patience)
            free = self._slots.free
        answer: Mapping[str, Any] = await self._run(
            lambda: bedrock_account.ask(self._account.client(), verb, document), patience, free
        )
        return answer

    async def events(
        self, document: Mapping[str, Any], patience: Patience
    ) -> AsyncGenerator[Sequence[Event]]:
        """Yield the events of ConverseStream as they come, each alone; raises PathError."""
        await self._slots.take(patience)
        heard: asyncio.Queue[Event | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        tell = partial(_tell, loop, heard.put_nowait)
        future, exchange = self._start(
            lambda: self._listen(document, tell),
            patience.left_s(),
            self._slots.free,
            lambda: tell(_LEAVING),
        )
        future.add_done_callback(lambda _: tell(None))
        try:
            while (event := await self._next(heard, patience)) is not None:
                patience.heard()
                yield (event,)
            await self._outcome(future, patience)
        finally:
            exchange.give_up()

    async def close(self) -> None:
        """End the calls under way, their threads and all connections."""
        self._closed = True
        for exchange in self._under_way.values():
            exchange.give_up()
        ended = await asyncio.to_thread(futures.wait, list(self._under_way), END_S)
        # A thread that waits for the name service cannot be ended; it ends by itself.
        await asyncio.to_thread(self._threads.shutdown, wait=not ended.not_done)
        self._lines.close()
        self._account.close()

    async def _next(self, heard: asyncio.Queue[Event | None], patience: Patience) -> Event | None:
        while True:
            # At the end of all its time the thread knows better what was missing.
            late_s = LATE_S if patience.until() >= patience.ends else 0.0
            try:
                async with asyncio.timeout(patience.until() - time.monotonic() + late_s):
                    event = await heard.get()
            except TimeoutError:
                raise patience.over() from None
            if event is not _LEAVING:
                return event
            patience.asked()

    def _listen(self, document: Mapping[str, Any], tell: Callable[[Event], None]) -> None:
        reply = bedrock_account.ask(self._account.client(), "converse_stream", document)
        with contextlib.closing(reply["stream"]) as events:  # also one that cannot be read on
            for event in events:
                self._lines.heard()
                for name, payload in event.items():
                    tell((name, payload))

    async def _run(
        self, work: Callable[[], Any], patience: Patience, done: Callable[[], None] | None = None
    ) -> Any:
        """Return what `work` does on a thread; `done` is told when the thread is free again."""
        future, exchange = self._start(work, patience.left_s(), done)
        try:
            return await self._outcome(future, patience)
        finally:
            exchange.give_up()

    def _start(
        self,
        work: Callable[[], Any],
        left_s: float,
        done: Callable[[], None] | None,
        leaving: Callable[[], None] | None = None,
    ) -> tuple[Future[Any], Exchange]:
        loop = asyncio.get_running_loop()
        exchange = Exchange(left_s, leaving)
        if self._closed:
            if done is not None:
                done()
            raise PathError(Failure.UNREACHABLE, "The client is closed.", sent=False)
        future = self._threads.submit(self._under, exchange, work)
        self._under_way[future] = exchange
        future.add_done_callback(lambda _: _tell(loop, self._ended, future, done))
        return future, exchange

    async def _outcome(self, future: Future[Any], patience: Patience) -> Any:
        try:
            async with asyncio.timeout(patience.left_s() + LATE_S):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise PathError(Failure.TIMEOUT, "No answer in the time of the call.") from None
        except Exception as error:
            if self._closed:
                text = "The client was closed."
                raise PathError(Failure.UNREACHABLE, text) from error
            if bedrock_words.stale(error):
                self._account.renew()
            raise bedrock_words.translate(error) from error

    def _under(self, exchange: Exchange, work: Callable[[], Any]) -> Any:
        with self._lines.under(exchange):
            return work()

    def _ended(self, future: Future[Any], done: Callable[[], None] | None) -> None:
        self._under_way.pop(future, None)
        if done is not None:
            done()

    def _send(self, request: Any) -> AWSResponse:
        most = MOST_STREAM if request.url.endswith(STREAMING) else MOST_BYTES
        reply = self._lines.send(request.method, request.url, request.headers, request.body, most)
        headers: Any = reply.headers
        raw: Any = reply.body
        return AWSResponse(request.url, reply.status, headers, raw)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *about: Any) -> None:
    try:
        loop.call_soon_threadsafe(what, *about)
    except RuntimeError:
        return  # the loop has ended, and with it everybody who would have listened
