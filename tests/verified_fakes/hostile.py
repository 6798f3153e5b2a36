"""Servers that break the rules: raw bytes over TCP, and a memory of what they were asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MODERN = "2026-07-28"
LEGACY = "2025-06-18"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def rpc(self) -> dict[str, Any]:
        """The JSON-RPC message in the body, empty if there is none."""
        try:
            said = json.loads(self.body)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}

    @property
    def kind(self) -> str:
        return str(self.rpc.get("method", self.method))


Behave = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Server:
    """One listening server; `behave` says what each request meets and may be changed."""

    behave: Behave
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, kind: str) -> list[Request]:
        """What was asked of that kind: an RPC method, or an HTTP method without one."""
        return [request for request in self.requests if request.kind == kind]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                await self._answer(request, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Behave until the caller has left: whoever hangs must notice."""
        behaving = asyncio.ensure_future(self.behave(request, writer))
        leaving = asyncio.ensure_future(reader.read(1) if writer_hangs(self.behave) else never())
        done, rest = await asyncio.wait({behaving, leaving}, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        if leaving in done:
            self.gone.set()
        for task in done:
            task.result()

    async def end(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def writer_hangs(behave: Behave) -> bool:
    return bool(getattr(behave, "hangs", False))


async def never() -> None:
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def serving(behave: Behave, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(behave)
    # Who hangs up without a TLS farewell would keep asyncio waiting for half a minute.
    more: Any = {"ssl": tls, "ssl_shutdown_timeout": 0.2} if tls else {}
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**24, **more)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await server.end()
        await listening.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    pairs = (line.split(": ", 1) for line in lines if line)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method=method, path=path, headers=headers, body=body)


async def pause(seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await never()


def reply(
    status: int, body: bytes | Mapping[str, Any] = b"", length: int | None = None, **more: str
) -> bytes:
    """Return a whole HTTP answer; `length` lies about its size."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "content-length": str(length or len(data))}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + data


def saying(*parts: bytes) -> Behave:
    """Answer with these bytes, whatever was asked."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        await writer.drain()

    return behave


def hanging(first: bytes = b"") -> Behave:
    """Say `first`, then nothing, until the caller leaves."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await never()

    behave.hangs = True  # type: ignore[attr-defined]
    return behave


def dripping(first: bytes = b"", drop: bytes = b" ", every_s: float = 0.1) -> Behave:
    """Say `first`, then one drop after the other for ever."""

    async def behave(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            await pause(every_s)
            writer.write(drop)
            await writer.drain()

    behave.hangs = True  # type: ignore[attr-defined]
    return behave


async def cut(_: Request, writer: asyncio.StreamWriter) -> None:
    """Close without a word."""
    writer.close()


async def reset(_: Request, writer: asyncio.StreamWriter) -> None:
    """Break the connection: lingering for zero seconds makes close() send RST (socket(7))."""
    peer = writer.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def result(request: Request, value: Mapping[str, Any]) -> bytes:
    return reply(200, {"jsonrpc": "2.0", "id": request.rpc.get("id"), "result": value})


def error(request: Request, code: int, message: str = "no", status: int = 200) -> bytes:
    body = {"code": code, "message": message}
    return reply(status, {"jsonrpc": "2.0", "id": request.rpc.get("id"), "error": body})


def text(words: str) -> dict[str, Any]:
    """Return the result of a tool that says `words`."""
    return {"resultType": "complete", "content": [{"type": "text", "text": words}]}


def events(*messages: Mapping[str, Any] | bytes, closed: bool = True) -> bytes:
    """Return an event stream; an unclosed one promises more."""
    raw = (m if isinstance(m, bytes) else json.dumps(m).encode() for m in messages)
    body = b"".join(b"event: message\ndata: " + part + b"\n\n" for part in raw)
    size = len(body) if closed else len(body) + 1_000_000
    return reply(200, body, length=size, content_type="text/event-stream")


TOOL = {"name": "route_request", "inputSchema": {"type": "object"}}
HINTS = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}


def modern(tools_call: Behave | None = None, **others: Behave) -> Behave:
    """Be an MCP server of 2026-07-28 that says "well", but for what is given per method."""
    special = {name.replace("_", "/", 1): behave for name, behave in others.items()}
    if tools_call is not None:
        special["tools/call"] = tools_call

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.kind in special:
            await special[request.kind](request, writer)
            return
        results: dict[str, dict[str, Any]] = {
            "server/discover": {**HINTS, "supportedVersions": [MODERN], "capabilities": {}},
            "tools/list": {**HINTS, "tools": [TOOL]},
            "tools/call": text("well"),
        }
        said = results.get(request.kind)
        writer.write(error(request, -32601) if said is None else result(request, said))
        await writer.drain()

    behave.hangs = any(writer_hangs(one) for one in special.values())  # type: ignore[attr-defined]
    return behave


@dataclass(slots=True)
class Legacy:
    """An MCP server of 2025 with sessions; `known` are those that it has not forgotten."""

    stranger: bytes = b""  # what a forgotten session is told; 404 unless given
    known: set[str] = field(default_factory=set)
    made: int = 0

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(self._said(request))
        await writer.drain()

    def _said(self, request: Request) -> bytes:
        session = request.headers.get("mcp-session-id", "")
        if request.kind == "initialize":
            return self._greet(request)
        if not session:
            return error(request, -32000, "Bad Request: Missing session ID", 400)
        if session not in self.known:
            return self.stranger or reply(404, b"gone")
        if "id" not in request.rpc:
            return reply(202 if request.method == "POST" else 200)
        results: dict[str, dict[str, Any]] = {
            "ping": {},
            "tools/list": {"tools": [TOOL]},
            "tools/call": {"content": [{"type": "text", "text": f"well, {session}"}]},
        }
        return result(request, results[request.kind])

    def _greet(self, request: Request) -> bytes:
        self.made += 1
        self.known.add(f"s{self.made}")
        info = {"name": "old", "version": "1"}
        hello = {"protocolVersion": LEGACY, "capabilities": {}, "serverInfo": info}
        body = {"jsonrpc": "2.0", "id": request.rpc["id"], "result": hello}
        return reply(200, body, mcp_session_id=f"s{self.made}")
