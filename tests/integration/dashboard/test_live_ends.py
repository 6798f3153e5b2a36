"""How a live socket ends: spoken on, over the limit, signed out, too slow, sent elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from dashboard import consumers, fanout, hub, partials
from dashboard.look import Look, Reader
from routing import wiring
from routing.access import people
from routing.access import queries as access
from routing.core.values import EnvironmentName, Role
from tests.integration.dashboard.conftest import SHELL, ClientOf
from tests.integration.dashboard.sockets import IN_MEMORY, Socket, cookie_of, play, running, switch

pytestmark = pytest.mark.django_db(transaction=True)
DEV = EnvironmentName.DEVELOPMENT


@pytest.fixture(autouse=True)
def _layer(settings: Any) -> None:
    settings.CHANNEL_LAYERS = IN_MEMORY


@pytest.mark.parametrize(
    "message",
    [
        {"text": '{"type":"live.changed"}'},
        {"text": '{"action":"toggle"}'},
        {"text": ""},
        {"bytes": b"\xff\x00" * 2000},
    ],
)
def test_a_client_that_speaks_is_sent_away(client_of: ClientOf, message: dict[str, Any]) -> None:
    cookie = cookie_of(client_of("admin"))

    async def scene() -> None:
        socket = Socket(cookie)
        await socket.open()
        await socket.say(**message)
        assert await socket.closed() == fanout.UNWELCOME
        await socket.ended()
        open_one = hub.current()
        assert open_one is not None
        assert open_one.listeners == ()

    play(scene)


def test_a_persons_sixth_page_is_not_live(client_of: ClientOf) -> None:
    cookie = cookie_of(client_of("viewer"))

    async def scene() -> None:
        held = [Socket(cookie) for _ in range(fanout.PER_PERSON)]
        for socket in held:
            assert await socket.open() is None
        sixth = Socket(cookie)
        await sixth.open()
        assert await sixth.closed() == fanout.UNWELCOME
        await held[0].leave()
        again = Socket(cookie)
        await again.open()
        await again.part("flags_grid")
        for socket in (*held[1:], again):
            await socket.leave()

    play(scene)


def viewer() -> int:
    """Return the id of the only viewer."""
    (row,) = access.people(DEV)
    return row.user_id


def sign_out(client: Client) -> None:
    assert client.post("/sign-out/").status_code == 302


def lose_role(client: Client) -> None:
    del client
    people.revoke(by=SHELL, now=wiring.now(), user_id=viewer(), environment=DEV)


@pytest.mark.parametrize(
    ("end", "code"), [(sign_out, fanout.SIGNED_OUT), (lose_role, fanout.NO_ROLE)]
)
def test_a_session_or_a_role_that_ends_takes_the_socket_along(
    client_of: ClientOf, end: Callable[[Client], None], code: int
) -> None:
    client = client_of("viewer")
    cookie = cookie_of(client)

    def work() -> None:
        try:
            end(client)
        finally:
            connection.close()

    async def scene() -> None:
        socket = Socket(cookie)
        await socket.open()
        await socket.part("flags_grid")
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(work)
        began = loop.time()
        assert await socket.closed() == code
        assert loop.time() - began < 5

    play(scene)


async def test_a_socket_that_takes_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "SEND_S", 0.01)
    sent: list[dict[str, Any]] = []

    async def full(message: Any) -> None:
        if message["type"] == "websocket.send":
            await asyncio.Event().wait()
        sent.append(dict(message))

    listener = fanout.Listener(
        environment=DEV,
        reader=Reader.EVERYONE,
        topics=frozenset({"flags_grid"}),
        person="user:1",
        session="s",
    )
    listener.push("{}")
    await consumers._write(full, listener)
    assert [(m["type"], m["code"]) for m in sent] == [("websocket.close", fanout.SLOW)]


def test_the_end_of_the_server_sends_its_pages_elsewhere(client_of: ClientOf) -> None:
    cookie = cookie_of(client_of("viewer"))
    sockets: list[Socket] = []

    async def staged() -> None:
        async with running():
            sockets.append(Socket(cookie))
            await sockets[0].open()
            await sockets[0].part("flags_grid")
        assert await sockets[0].closed() == fanout.RESTART

    asyncio.run(staged())


def test_a_part_that_cannot_be_rendered_does_not_stop_the_others(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    honest = partials.render

    def render(name: str, look: Look) -> str:
        if name == "mcp_lane":
            raise ValueError("a fault of ours")
        return honest(name, look)

    monkeypatch.setattr(partials, "render", render)
    cookie = cookie_of(client_of("viewer"))

    async def scene() -> None:
        socket = Socket(cookie, topics="flags_grid,mcp_lane")
        await socket.open()
        await socket.part("flags_grid")
        await socket.leave()

    play(scene)
    assert "the live part mcp_lane of development cannot be rendered" in caplog.text


def test_a_second_role_elsewhere_is_read_afresh(client_of: ClientOf) -> None:
    """A viewer who becomes a reviewer is shown who and why without a new page."""
    client = client_of("viewer")
    cookie = cookie_of(client)

    def promote() -> None:
        try:
            people.grant(
                by=SHELL,
                now=wiring.now(),
                user_id=viewer(),
                environment=DEV,
                role=Role.REVIEWER,
            )
        finally:
            connection.close()

    async def scene() -> None:
        await switch(False, 1)
        socket = Socket(cookie, topics="change_feed")
        await socket.open()
        assert "seen from afar" not in await socket.part("change_feed")
        await asyncio.to_thread(promote)
        assert "seen from afar" in await socket.part("change_feed")
        await socket.leave()

    play(scene)
