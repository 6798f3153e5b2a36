"""A caller's connection that sends what is written together in one go.

uvicorn writes head and body of an answer one after the other, and uvloop sends each at once: two
system calls, two packets, and a caller who is woken twice.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_KEPT = 65_536  # bytes; beyond it whoever writes should hear when the other side is slow


class Together(asyncio.Transport):
    """Keeps what is written until the task that writes gives way, then hands it on."""

    def __init__(self, beneath: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.beneath = beneath
        self._loop = loop
        self._parts: list[Any] = []
        self._size = 0

    def write(self, data: Any) -> None:
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > MOST_KEPT:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        parts, self._parts, self._size = self._parts, [], 0
        if parts:
            self.beneath.write(parts[0] if len(parts) == 1 else b"".join(parts))

    def close(self) -> None:
        self.flush()
        self.beneath.close()

    def abort(self) -> None:
        self._parts.clear()
        self.beneath.abort()

    def is_closing(self) -> bool:
        return self.beneath.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.beneath.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self.beneath.pause_reading()

    def resume_reading(self) -> None:
        self.beneath.resume_reading()


class Http(HttpToolsProtocol):
    """uvicorn's own, over such a connection; a socket that it hands over gets the bare one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        bare = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        super().connection_made(Together(bare, self.loop))

    def handle_websocket_upgrade(self) -> None:
        if isinstance(self.transport, Together):
            self.transport.flush()
            self.transport = self.transport.beneath
        super().handle_websocket_upgrade()
