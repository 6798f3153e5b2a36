"""The socket of a page: server to client only, for a person with a role in the environment.

A plain ASGI application. Who may not come in is refused before the handshake, so nothing is ever
told to a stranger; 4401 and 4403 are the codes behind that 403, and those with which an open
socket ends when its session or its role does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings
from django.db import DatabaseError
from django.http.cookie import parse_cookie

from dashboard import fanout, hub
from dashboard.fanout import Fanout, Listener
from dashboard.partials import PARTIALS
from routing.core.errors import NotSignedIn, TooMany
from routing.core.values import EnvironmentName

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SEND_S = 5.0  # a socket whose buffers stay full for that long is slow
CLOSE_S = 2.0


class Turned(Exception):
    """Ends a socket before its handshake; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def live(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one socket: `topics` in its query names the live parts that the page shows."""
    await receive()
    try:
        open_one, listener = await _admit(scope)
    except Turned as turned:
        await send({"type": "websocket.close", "code": turned.code})
        return
    await send({"type": "websocket.accept"})
    try:
        open_one.join(listener)
    except TooMany as error:
        await _close(send, fanout.UNWELCOME, error.message)
        return
    reading = asyncio.create_task(_read(receive, listener))
    try:
        await _write(send, listener)
    finally:
        open_one.leave(listener)
        reading.cancel()


async def _admit(scope: Scope) -> tuple[Fanout, Listener]:
    open_one, session = hub.current(), _session(scope)
    environment: EnvironmentName = scope["url_route"]["kwargs"]["environment"]
    if open_one is None:
        raise Turned(fanout.SLOW)
    if not session:
        raise Turned(fanout.SIGNED_OUT)
    try:
        actor = await hub.identify(session)
    except NotSignedIn:
        raise Turned(fanout.SIGNED_OUT) from None
    except DatabaseError:
        raise Turned(fanout.SLOW) from None
    if actor.role(environment) is None:
        raise Turned(fanout.NO_ROLE)
    listener = Listener(
        environment=environment,
        reader=hub.reader_of(actor, environment),
        topics=_topics(scope),
        person=actor.id,
        session=session,
    )
    return open_one, listener


def _session(scope: Scope) -> str:
    """Return the key of the session cookie, empty without one."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            return parse_cookie(value.decode("latin-1")).get(settings.SESSION_COOKIE_NAME, "")
    return ""


def _topics(scope: Scope) -> frozenset[str]:
    """Return the live parts that the query names; a name of none is the client's fault."""
    try:
        said = parse_qs(scope["query_string"].decode("ascii"), max_num_fields=1)
    except ValueError:
        raise Turned(fanout.UNWELCOME) from None
    wanted = frozenset(filter(None, ",".join(said.get("topics", [])).split(",")))
    if not wanted or not wanted.issubset(PARTIALS):
        raise Turned(fanout.UNWELCOME)
    return wanted


async def _read(receive: Receive, listener: Listener) -> None:
    """Wait for the client to go; one that speaks is sent away, whatever it says."""
    message = await receive()
    spoke = message["type"] == "websocket.receive"
    listener.end(fanout.UNWELCOME if spoke else 0)


async def _write(send: Send, listener: Listener) -> None:
    try:
        while (frame := await listener.next()) is not None:
            async with asyncio.timeout(SEND_S):
                await send({"type": "websocket.send", "text": frame})
    except TimeoutError:
        listener.end(fanout.SLOW)
    except OSError:
        return  # the client is gone
    if listener.code:
        await _close(send, listener.code)


async def _close(send: Send, code: int, reason: str = "") -> None:
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await send({"type": "websocket.close", "code": code, "reason": reason})
