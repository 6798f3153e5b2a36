"""A socket of a page without a browser or a network, against the sockets' app itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.db import connection
from django.test import Client

from dashboard import hub
from hybridops import asgi
from routing import stream, wiring
from routing.changes import change
from routing.core.flags import FlagName, SetFlag
from routing.core.values import EnvironmentName
from tests.integration.dashboard.conftest import SHELL

_communicator: Any = ApplicationCommunicator
DEV = EnvironmentName.DEVELOPMENT
IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
ORIGIN = "http://127.0.0.1:8000"
ALL = "state_header,direct_bedrock_lane,mcp_lane,request_table,change_feed,open_items,flags_grid"
WITHIN_S = 10.0


@asynccontextmanager
async def running() -> AsyncIterator[None]:
    """Keep the hub on this loop for the block, as the server does."""
    stream.bind(asyncio.get_running_loop())
    keeping = asyncio.create_task(hub.keep())
    try:
        async with asyncio.timeout(WITHIN_S):
            while hub.current() is None:  # noqa: ASYNC110 - a few turns of the loop
                await asyncio.sleep(0)
        yield
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
        stream.bind(None)


def play(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `scene` while the hub runs."""

    async def staged() -> None:
        async with running():
            await scene()

    asyncio.run(staged())


async def switch(on: bool, version: int) -> None:
    """Change a flag as somebody else does: in a thread of its own."""

    def work() -> None:
        try:
            change.apply(
                by=SHELL,
                now=wiring.now(),
                environment=DEV,
                sets=[SetFlag(flag=FlagName.CACHING, on=on, base_version=version)],
                reason="seen from afar",
                health=wiring.path_health(DEV),
            )
        finally:
            connection.close()

    await asyncio.to_thread(work)


def cookie_of(client: Client) -> str:
    """Return the session cookie of a test client as a header's value."""
    kept = client.cookies.get(settings.SESSION_COOKIE_NAME)
    return f"{settings.SESSION_COOKIE_NAME}={kept.value}" if kept else ""


class Socket:
    """One connection; everything that waits does so for an event, with a deadline.

    `size` is how many bytes the last frame had.
    """

    size: int = 0

    def __init__(
        self,
        cookie: str,
        *,
        environment: str = "development",
        topics: str = "flags_grid",
        origin: str = ORIGIN,
    ) -> None:
        headers = [(b"host", b"127.0.0.1:8000")]
        headers += [(b"origin", origin.encode())] if origin else []
        headers += [(b"cookie", cookie.encode())] if cookie else []
        scope: dict[str, Any] = {
            "type": "websocket",
            "path": f"/ws/e/{environment}/",
            "query_string": f"topics={topics}".encode(),
            "headers": headers,
            "subprotocols": [],
        }
        self._parts: dict[str, list[str]] = {}
        self._app: Any = _communicator(asgi.sockets([ORIGIN]), scope)

    async def open(self) -> int | None:
        """Connect; return the code with which the socket was refused, None when it is open."""
        await self._app.send_input({"type": "websocket.connect"})
        answer = await self._app.receive_output(WITHIN_S)
        if answer["type"] == "websocket.accept":
            return None
        return int(answer.get("code", 1000))

    async def say(self, **message: Any) -> None:
        """Send what a client must not."""
        await self._app.send_input({"type": "websocket.receive", **message})

    async def leave(self) -> None:
        """Go, as a closed page does."""
        await self._app.send_input({"type": "websocket.disconnect", "code": 1001})
        await self._app.wait(WITHIN_S)

    async def until(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first frame that is it."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                message = await self._app.receive_output(WITHIN_S)
                assert message["type"] == "websocket.send", message
                self.size = len(message["text"].encode())
                frame: dict[str, Any] = json.loads(message["text"])
                self._take(frame)
                if is_it(frame):
                    return frame

    async def part(self, name: str) -> str:
        """Return the html that the next frame of that part tells."""
        await self.until(lambda f: f["topic"] == name)
        return "\n".join(self._parts[name])

    def _take(self, frame: dict[str, Any]) -> None:
        """Keep the whole of a part, as a page does."""
        if "html" in frame:
            self._parts[frame["topic"]] = frame["html"].split("\n")
        for number, line in frame.get("lines", ()):
            self._parts[frame["topic"]][number] = line

    async def ended(self) -> None:
        """Wait until the server's side has put everything away."""
        await self._app.wait(WITHIN_S)

    async def closed(self) -> int:
        """Return the code with which the server closes the socket; frames before are passed by."""
        async with asyncio.timeout(WITHIN_S):
            while True:
                message = await self._app.receive_output(WITHIN_S)
                if message["type"] == "websocket.close":
                    return int(message["code"])
