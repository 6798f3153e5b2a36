"""What a wire format is to the gate: how to read a request, answer it, and word a failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from routing.core.values import EnvironmentName, Path
from routing.upstreams.faults import Fault
from routing.upstreams.journal import Seen

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, read whole. `path` is what follows the environment, still percent-encoded."""

    environment: EnvironmentName
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    stream: bool = False
    too_large: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; `headers` come beside its length."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Speaker(Protocol):
    """One wire format. Nothing here knows of faults but how the format words them."""

    path: Path

    def running(self) -> AbstractAsyncContextManager[None]:
        """Hold what must stay open while requests are served."""
        ...

    def streams(self, path: str) -> bool:
        """Tell whether an answer under `path` comes in events."""
        ...

    def see(self, request: Request) -> Seen:
        """Return what the journal may know of `request`, however wrong it is; never raises."""
        ...

    def refuse(self, request: Request, fault: Fault | None, status: int, message: str) -> Answer:
        """Return a failure as this format words it."""
        ...

    def garble(self, request: Request) -> Answer:
        """Return an answer that claims to be right and cannot be read."""
        ...

    def end_stream(self, fault: Fault) -> bytes:
        """Return the bytes that break a stream that has begun, for `error` or `malformed`."""
        ...

    async def answer(self, request: Request, scope: Message, receive: Receive, send: Send) -> None:
        """Answer `request` as an ASGI application."""
        ...


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return `headers` as ASGI takes them."""
    return [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]


async def deliver(send: Send, answer: Answer) -> None:
    """Send `answer` whole."""
    headers = encoded({**answer.headers, "content-length": str(len(answer.body))})
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
