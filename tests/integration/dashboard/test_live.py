"""The sockets: who is let in, what is pushed to whom, when they end, and what outlives a layer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dashboard import fanout, hub
from dashboard.partials import without_ages
from routing import stream
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName
from tests.integration.dashboard.conftest import SHELL, ClientOf
from tests.integration.dashboard.sockets import ALL, IN_MEMORY, Socket, cookie_of, play, switch

pytestmark = pytest.mark.django_db(transaction=True)
DEV, STG, PROD = EnvironmentName
DEAD_REDIS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": ["redis://127.0.0.1:1"]},
    }
}


@pytest.fixture(autouse=True)
def _layer(settings: Any) -> None:
    settings.CHANNEL_LAYERS = IN_MEMORY


def is_off(html: str) -> bool:
    _, _, rest = html.partition(f'data-flag="{FlagName.CACHING}"')
    row, _, _ = rest.partition("</div>\n</div>")
    return 'class="pill off"' in row


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"cookie": ""}, fanout.SIGNED_OUT),
        ({"cookie": "p8000-session=made-up-by-somebody-else"}, fanout.SIGNED_OUT),
        ({"environment": "production"}, fanout.NO_ROLE),
        ({"environment": "nowhere"}, 4404),
        ({"topics": ""}, fanout.UNWELCOME),
        ({"topics": "flags_grid,secrets"}, fanout.UNWELCOME),
        ({"topics": "flags_grid&topics=mcp_lane"}, fanout.UNWELCOME),
        ({"origin": "http://127.0.0.1:8001"}, 1000),
        ({"origin": "https://127.0.0.1:8000"}, 1000),
        ({"origin": "http://evil.example"}, 1000),
        ({"origin": ""}, 1000),
    ],
)
def test_who_may_not_come_in_is_refused_before_the_handshake(
    client_of: ClientOf, more: dict[str, str], code: int
) -> None:
    cookie = cookie_of(client_of("viewer", only=DEV))

    async def scene() -> None:
        assert await Socket(**{"cookie": cookie, **more}).open() == code
        open_one = hub.current()
        assert open_one is not None
        assert open_one.listeners == ()

    play(scene)


def test_the_same_page_with_its_own_origin_and_role_comes_in(client_of: ClientOf) -> None:
    """The control of the refusals: the same ask, right in every point."""
    cookie = cookie_of(client_of("viewer", only=DEV))

    async def scene() -> None:
        socket = Socket(cookie)
        assert await socket.open() is None
        assert 'id="flags-grid"' in await socket.part("flags_grid")
        await socket.leave()

    play(scene)


def test_nobody_is_let_in_while_the_hub_is_down(client_of: ClientOf) -> None:
    cookie = cookie_of(client_of("viewer"))
    assert asyncio.run(Socket(cookie).open()) == fanout.SLOW


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_each_part_is_the_same_included_fetched_and_pushed(client_of: ClientOf, role: str) -> None:
    client = client_of(role)
    cookie = cookie_of(client)
    asyncio.run(switch(False, 1))
    pages = {
        "flags_grid": client.get("/e/development/flags/").content.decode(),
        **dict.fromkeys(ALL.split(",")[:-1], client.get("/e/development/").content.decode()),
    }
    fetched = {
        name: client.get(f"/e/development/partials/{name}/").content.decode() for name in pages
    }

    async def scene() -> None:
        for name, html in fetched.items():
            socket = Socket(cookie, topics=name)
            assert await socket.open() is None
            pushed = await socket.part(name)
            assert without_ages(pushed).strip() == without_ages(html).strip()
            await socket.leave()

    play(scene)
    for name, page in pages.items():
        assert without_ages(fetched[name]).strip() in without_ages(page)


def test_only_who_may_read_the_audit_trail_learns_who_and_why(client_of: ClientOf) -> None:
    cookies = {role: cookie_of(client_of(role)) for role in ("viewer", "reviewer")}

    async def scene() -> None:
        sockets = {role: Socket(cookie, topics="change_feed") for role, cookie in cookies.items()}
        for socket in sockets.values():
            assert await socket.open() is None
            await socket.part("change_feed")
        await switch(False, 1)
        viewer = await sockets["viewer"].part("change_feed")
        reviewer = await sockets["reviewer"].part("change_feed")
        assert str(FlagName.CACHING) in viewer
        assert SHELL.name not in viewer
        assert "seen from afar" not in viewer
        assert "seen from afar" in reviewer
        for socket in sockets.values():
            await socket.leave()

    play(scene)


def test_a_change_made_elsewhere_is_pushed_at_once(client_of: ClientOf) -> None:
    cookie = cookie_of(client_of("viewer"))

    async def scene() -> None:
        socket = Socket(cookie)
        await socket.open()
        assert not is_off(await socket.part("flags_grid"))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await switch(False, 1)
        assert is_off(await socket.part("flags_grid"))
        assert loop.time() - began < 1.5
        await socket.leave()

    play(scene)


def test_a_changed_flag_is_a_frame_of_4_kb_at_most_and_the_page_is_whole(
    client_of: ClientOf,
) -> None:
    client = client_of("viewer")
    cookie = cookie_of(client)

    async def scene() -> None:
        socket = Socket(cookie)
        await socket.open()
        await socket.part("flags_grid")
        for turn, on in enumerate((False, True, False), start=1):
            await switch(on, turn)
            pushed = await socket.part("flags_grid")
            assert is_off(pushed) is not on
            assert socket.size <= 4096
        fetched = await asyncio.to_thread(client.get, "/e/development/partials/flags_grid/")
        assert without_ages(pushed) == without_ages(fetched.content.decode())
        await socket.leave()

    play(scene)


@pytest.mark.parametrize("layer", ["deaf", "dead redis"])
def test_a_change_whose_announcement_is_lost_is_pushed_all_the_same(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, settings: Any, layer: str
) -> None:
    if layer == "deaf":
        monkeypatch.setattr(stream, "_send", lambda event: None)
    else:
        settings.CHANNEL_LAYERS = DEAD_REDIS
    cookie = cookie_of(client_of("viewer"))

    async def scene() -> None:
        socket = Socket(cookie)
        await socket.open()
        assert not is_off(await socket.part("flags_grid"))
        await switch(False, 1)
        assert is_off(await socket.part("flags_grid"))
        await socket.leave()

    play(scene)


def test_nothing_comes_without_announcement_and_without_poll(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the two above: with both taken away, the change is not seen."""
    monkeypatch.setattr(stream, "_send", lambda event: None)
    monkeypatch.setattr(hub, "POLL_S", 3600.0)
    monkeypatch.setattr(hub, "VERSIONS_S", 3600.0)
    monkeypatch.setattr(hub, "BEAT_S", 0.2)
    cookie = cookie_of(client_of("viewer"))

    async def scene() -> None:
        socket = Socket(cookie)
        await socket.open()
        await socket.part("flags_grid")
        await switch(False, 1)
        for _ in range(6):
            frame = await socket.until(lambda f: True)
            assert (frame["topic"], frame["seqs"]) == (fanout.HEARTBEAT, {"flags_grid": 1})
        await socket.leave()

    play(scene)
