"""Raw ASGI calls: a client without any library between the test and the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hybridops.edge import App, Message, Receive, Scope, Send

HOST = (b"host", b"ops.example.org")


@dataclass(slots=True)
class Answer:
    """What the application sent, and how many body bytes it asked for."""

    messages: list[Message] = field(default_factory=list)
    bytes_read: int = 0

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages[1:])

    @property
    def headers(self) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in self.messages[0]["headers"]}

    @property
    def header_names(self) -> list[str]:
        return [k.decode() for k, _ in self.messages[0]["headers"]]


def scope(
    path: str = "/", method: str = "GET", headers: Sequence[tuple[bytes, bytes]] = (HOST,)
) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": list(headers),
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
    }


async def call(app: App, request: Scope, body: Iterable[bytes] = ()) -> Answer:
    """Send `request` with `body` chunk by chunk, as a client would that names no length."""
    answer = Answer()
    chunks = iter(body)
    all_sent = False

    async def receive() -> Message:
        nonlocal all_sent
        if all_sent:
            await asyncio.Event().wait()  # the client stays until it is answered
        chunk = next(chunks, None)
        if chunk is None:
            all_sent = True
            return {"type": "http.request", "body": b"", "more_body": False}
        answer.bytes_read += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": True}

    async def send(message: Message) -> None:
        answer.messages.append(message)

    await app(request, receive, send)
    return answer


async def connect(app: App, path: str, origin: bytes | None) -> list[Message]:
    """Open a socket and return what the application sent back."""
    sent: list[Message] = []
    request: Scope = {
        **scope(path),
        "type": "websocket",
        "scheme": "ws",
        "subprotocols": [],
        "headers": [HOST] if origin is None else [HOST, (b"origin", origin)],
    }

    said = iter(["websocket.connect"])

    async def receive() -> Message:
        return {"type": next(said, "websocket.disconnect"), "code": 1006}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(request, receive, send)
    return sent


async def read_all(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the chunks of a request's body."""
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def swallow(request: Scope, receive: Receive, send: Send) -> None:
    """Answer 200 with the number of bytes that came, after reading them all."""
    total = 0
    async for chunk in read_all(receive):
        total += len(chunk)
    await reply(send, 200, str(total).encode())


async def reply(send: Send, status: int, body: bytes, **headers: Any) -> None:
    pairs = [(k.replace("_", "-").encode(), str(v).encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
