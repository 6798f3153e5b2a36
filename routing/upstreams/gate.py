"""What stands before a stand-in's answers: the journal, and the faults in force.

Faults act on the connection itself, as a broken server would: `latency` waits first; `error`
answers with a failure; `hang` never answers (until the fault ends, then the line is closed);
`malformed` sends what cannot be read; `cut` closes the connection in the middle of the answer;
`reset` sends a TCP reset in its place.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from routing.core.values import EnvironmentName
from routing.upstreams.faults import Board, Fault, Kind, Strike
from routing.upstreams.journal import Journal
from routing.upstreams.speaker import Answer, Message, Receive, Request, Send, Speaker, deliver

LINE = "hybridops.line"
MOST_BYTES = 4 * 1024 * 1024
TOLD = "The local stand-in was told to fail."


class Line:
    """The connection beneath a request. Both ways to end it wait until it has ended."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    async def close(self, receive: Receive) -> None:
        """End the connection after what was written has left."""
        self._transport.close()
        await _gone(receive)

    async def reset(self, receive: Receive) -> None:
        """Break the connection: the other side's kernel reports a reset."""
        peer = self._transport.get_extra_info("socket")
        # Lingering for zero seconds makes close() send RST in place of FIN (socket(7)).
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        await _gone(receive)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request with everything that an answer to it can touch."""

    request: Request
    line: Line
    scope: Message
    receive: Receive
    send: Send


class _Struck(Exception):
    """The fault has struck: nothing more of the answer is wanted."""


class Gate:
    """The ASGI application of a stand-in. `clock` is the wall clock in UTC.

    `hosts` are the only names it answers to: a page in a browser, led here by a name of its own,
    must not get an answer.
    """

    def __init__(
        self,
        speaker: Speaker,
        board: Board,
        journal: Journal,
        clock: Callable[[], datetime],
        *,
        hosts: frozenset[str],
    ) -> None:
        self._hosts = hosts
        self._speaker = speaker
        self._board = board
        self._journal = journal
        self._clock = clock

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        request, problem = await self._read(scope, receive)
        if request is None:
            if problem is not None:
                await deliver(send, problem)
            return
        began = time.monotonic()
        seen = self._speaker.see(request)
        name = self._journal.arrived(request.environment, seen, self._clock())
        strike = self._board.strike(request.environment, time.monotonic())
        status: list[int] = []

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status.append(message["status"])
            await send(message)

        exchange = Exchange(
            request=request,
            line=scope["extensions"][LINE],
            scope=scope,
            receive=_again(request.body, receive),
            send=counted,
        )
        try:
            await self._serve(exchange, strike)
        finally:
            self._journal.ended(
                name,
                request.environment,
                seen,
                self._clock(),
                status=status[0] if status else None,
                ms=round((time.monotonic() - began) * 1000),
                fault=strike.name,
            )

    async def _read(
        self, scope: Message, receive: Receive
    ) -> tuple[Request | None, Answer | None]:
        named = [value.decode("latin-1") for key, value in scope["headers"] if key == b"host"]
        if len(named) != 1 or named[0] not in self._hosts:
            return None, _plain(421, "This stand-in answers to its loopback address only.")
        raw = bytes(scope["raw_path"]).decode("latin-1")
        place, _, rest = raw.lstrip("/").partition("/")
        if place not in list(EnvironmentName):
            known = ", ".join(EnvironmentName)
            text = f"{unquote(place)[:80]!r} is no environment; the first step is one of {known}."
            return None, _plain(404, text)
        body = await _body(receive)
        if body is None:
            return None, None
        request = Request(
            environment=EnvironmentName(place),
            method=scope["method"],
            path="/" + rest,
            headers={k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]},
            body=body[:MOST_BYTES],
            too_large=len(body) > MOST_BYTES,
            stream=self._speaker.streams("/" + rest),
        )
        return request, None

    async def _serve(self, exchange: Exchange, strike: Strike) -> None:
        if strike.delay_ms:
            await asyncio.sleep(strike.delay_ms / 1000)
        request, fault = exchange.request, strike.fault
        if request.too_large:
            text = f"The body is larger than {MOST_BYTES} bytes."
            await deliver(exchange.send, self._speaker.refuse(request, None, 413, text))
        elif fault is None:
            await self._answer(exchange, exchange.send)
        elif request.stream and (fault.after or fault.kind is Kind.CUT):
            await self._break_stream(exchange, fault, strike.ends_at)
        elif fault.kind is Kind.CUT:
            await self._cut(exchange)
        else:
            await self._instead(exchange, fault, strike.ends_at)

    async def _answer(self, exchange: Exchange, send: Send) -> None:
        await self._speaker.answer(exchange.request, exchange.scope, exchange.receive, send)

    async def _instead(self, exchange: Exchange, fault: Fault, ends_at: float) -> None:
        """Do what the fault does in place of an answer."""
        request = exchange.request
        if fault.kind is Kind.ERROR:
            answer = self._speaker.refuse(request, fault, fault.status or 0, TOLD)
            await deliver(exchange.send, answer)
        elif fault.kind is Kind.MALFORMED:
            await deliver(exchange.send, self._speaker.garble(request))
        elif fault.kind is Kind.RESET:
            await exchange.line.reset(exchange.receive)
        else:
            await _hang(exchange, ends_at)

    async def _cut(self, exchange: Exchange) -> None:
        """Send the head and half the body of a whole answer, then close the connection."""
        said: list[Message] = []

        async def keep(message: Message) -> None:
            said.append(message)

        await self._answer(exchange, keep)
        body = b"".join(m.get("body", b"") for m in said[1:])
        await exchange.send(said[0])
        await exchange.send(_part(body[: len(body) // 2], more=True))
        await exchange.line.close(exchange.receive)

    async def _break_stream(self, exchange: Exchange, fault: Fault, ends_at: float) -> None:
        """Let `after` events of a stream through, then strike."""
        left = fault.after

        async def counting(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.body":
                if left == 0 or not message.get("more_body"):
                    raise _Struck
                left -= 1
            await exchange.send(message)

        try:
            await self._answer(exchange, counting)
        except _Struck:
            await self._end_stream(exchange, fault, ends_at)

    async def _end_stream(self, exchange: Exchange, fault: Fault, ends_at: float) -> None:
        if fault.kind is Kind.RESET:
            await exchange.line.reset(exchange.receive)
        elif fault.kind is Kind.HANG:
            await _hang(exchange, ends_at)
        elif fault.kind is Kind.CUT and not fault.clean:
            await exchange.line.close(exchange.receive)
        else:
            last = b"" if fault.kind is Kind.CUT else self._speaker.end_stream(fault)
            await exchange.send(_part(last, more=False))


def _part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _plain(status: int, text: str) -> Answer:
    body = json.dumps({"message": text}).encode()
    return Answer(status=status, headers={"content-type": "application/json"}, body=body)


async def _body(receive: Receive) -> bytes | None:
    """Return the body, at most a little over the cap of it; None if the caller left."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= MOST_BYTES:
            body += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` once more, then what really comes."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _hang(exchange: Exchange, ends_at: float) -> None:
    """Wait until the caller leaves; a fault ends by itself, and so does this."""
    try:
        async with asyncio.timeout(max(0.0, ends_at - time.monotonic())):
            await _gone(exchange.receive)
    except TimeoutError:
        await exchange.line.close(exchange.receive)
