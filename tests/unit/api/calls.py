"""Raw ASGI calls against the door over a staged router: no library, no network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path as Folder
from typing import Any
from urllib.parse import unquote

from routing.access.scope import TokenKind
from routing.access.tokens import TokenFacts
from routing.api import door
from routing.api.booking import Booking, Denial, Fact
from routing.api.idempotency import Keys
from routing.api.report import Sources
from routing.api.wire import App, Message, Scope
from routing.core.allowance import Limits
from routing.core.values import Operation, Role
from tests.unit import stage as stages
from tests.unit.stage import NOW, PRODUCTION, Stage

MOST_S = 10.0
HOST = ("Host", "ops.example.org")
JSON = ("Content-Type", "application/json")
PROMPT = {"prompt": "What is the state?"}


def token(name: str, **more: Any) -> TokenFacts:
    every = frozenset(Operation) - {Operation.EMERGENCY}
    facts: dict[str, Any] = {
        "id": f"tok_{name}",
        "name": name,
        "kind": TokenKind.MACHINE,
        "environment": PRODUCTION,
        "role": Role.VIEWER,
        "tenant": "acme",
        "operations": every,
        "emergency": False,
        "expires_at": NOW + timedelta(hours=1),
        "access_key_id": f"HYO{name.upper()}",
        "generation": 1,
    }
    return TokenFacts(**(facts | more))


TOKENS = {
    "plain": token("plain"),
    "urgent": token("urgent", emergency=True),
    "narrow": token("narrow", operations=frozenset({Operation.STANDARD})),
    "run": token("run", kind=TokenKind.RUN, emergency=True),
    "old": token("old", expires_at=NOW),
}


def find(
    secret: str, now: datetime, tokens: Mapping[str, TokenFacts] = TOKENS
) -> TokenFacts | None:
    found = tokens.get(secret)
    return found if found and now < found.expires_at else None


def find_key(id: str, now: datetime) -> tuple[TokenFacts, str] | None:
    found = next((t for t in TOKENS.values() if t.access_key_id == id), None)
    in_force = found is not None and now < found.expires_at
    return (found, f"secret of {found.name}") if found and in_force else None


@dataclass(slots=True)
class Given:
    """What came back."""

    messages: list[Message] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, holds: Callable[[bytes], bool]) -> None:
        """Return once `holds` is true of what has come."""
        async with asyncio.timeout(MOST_S):
            while not holds(self.raw):
                self.came.clear()
                await self.came.wait()

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {k.decode(): v.decode() for k, v in self.messages[0]["headers"]}

    @property
    def raw(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.messages[1:])

    @property
    def body(self) -> dict[str, Any]:
        found = json.loads(self.raw)
        assert isinstance(found, dict)
        return found

    @property
    def error(self) -> dict[str, Any]:
        found = self.body["error"]
        assert isinstance(found, dict)
        return found


@dataclass(slots=True)
class Caller:
    """A client of the door on `stage`; `leave` is what a dropped connection is."""

    app: App
    stage: Stage
    booked: list[Fact]
    booking: Booking
    leave: asyncio.Event = field(default_factory=asyncio.Event)

    async def post(
        self,
        body: object = PROMPT,
        *more: tuple[str, str],
        path: str = door.ROUTE,
        secret: str | None = "plain",
        chunks: Sequence[bytes] | None = None,
        given: Given | None = None,
    ) -> Given:
        """Send `body` (bytes as they are, else JSON) to `path`; `given` fills as it comes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = [HOST, *([] if any(n.lower() == "content-type" for n, _ in more) else [JSON])]
        if secret is not None:
            own.append(("Authorization", f"Bearer {secret}"))
        request = scope("POST", path, [*own, *more])
        return await self.send(request, chunks if chunks is not None else [data], given)

    async def report(self, *more: tuple[str, str], secret: str = "run") -> Given:
        own = [HOST, ("Authorization", f"Bearer {secret}"), *more]
        return await self.send(scope("GET", door.REPORT, own), [])

    async def send(
        self, request: Scope, chunks: Sequence[bytes], given: Given | None = None
    ) -> Given:
        given = given or Given()
        waiting = [
            {"type": "http.request", "body": part, "more_body": n < len(chunks) - 1}
            for n, part in enumerate(chunks)
        ]

        async def receive() -> Message:
            if waiting:
                return waiting.pop(0)
            await self.leave.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            given.messages.append(message)
            given.came.set()

        await self.app(request, receive, send)
        return given

    def denials(self) -> list[Denial]:
        """Return what was booked, once all of it is."""
        self.booking.close()
        return [fact for fact in self.booked if isinstance(fact, Denial)]


def scope(method: str, path: str, headers: Sequence[tuple[str, str]], query: bytes = b"") -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers],
        "client": ("192.0.2.7", 50000),
    }


def sources(stage: Stage) -> Sources:
    return Sources(
        process="host:b1",
        boot="b1",
        code_version="0.1.0",
        stream=stage.log.stream,
        write=stage.log.record,
        versions=lambda: {"tokens": 7},
        flags=lambda _: stage.flags,
        breakers=stage.board.views,
        health=lambda _: [{"path": "mcp", "status": "healthy"}],
        support=lambda _: None,
        admission=stage.admission.figures,
    )


@contextmanager
def opened(
    folder: Folder,
    *,
    limits: Limits | None = None,
    logged: bool = True,
    running: bool = True,
    keys: Keys | None = None,
) -> Iterator[Caller]:
    """Yield a caller of a door whose parts run for the block."""
    booked: list[Fact] = []
    booking = Booking(write=booked.append)
    known = {name: replace(one, limits=limits or one.limits) for name, one in TOKENS.items()}
    with stages.raised(folder, opened=logged) as stage:
        app = door.build(
            router=lambda: stage.router if running else None,
            find=lambda secret, now: find(secret, now, known),
            find_key=find_key,
            clock=lambda: NOW,
            hosts=["ops.example.org"],
            sources=lambda: sources(stage) if running else None,
            booking=booking,
            keys=keys,
        )
        try:
            yield Caller(app=app, stage=stage, booked=booked, booking=booking)
        finally:
            booking.close()
