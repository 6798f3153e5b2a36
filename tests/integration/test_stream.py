"""Announcements: after the commit, through the server's loop, and never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from channels.layers import get_channel_layer
from django.db import connection, transaction

from routing import stream
from routing.core.values import EnvironmentName

pytestmark = pytest.mark.django_db(transaction=True)
STG = EnvironmentName.STAGING
IN_MEMORY = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
DEAD_REDIS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": ["redis://127.0.0.1:1"]},
    }
}


@pytest.fixture
def in_memory(settings: Any) -> Iterator[None]:
    settings.CHANNEL_LAYERS = IN_MEMORY
    yield
    stream.bind(None)


class LosesOne:
    """A layer in whose client the first cancel gets lost, as `wait_for` of Python 3.11 can."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def new_channel(self) -> str:
        return "one"

    async def group_add(self, *_: str) -> None:
        self.asked.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    async def group_discard(self, *_: str) -> None:
        pass

    async def receive(self, _: str) -> None:
        await asyncio.Event().wait()


async def test_a_cancel_that_the_client_loses_ends_it_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer = LosesOne()
    monkeypatch.setattr(stream, "get_channel_layer", lambda: layer)

    async def hear() -> None:
        async for _ in stream.listen():
            pass

    hearing = asyncio.create_task(hear())
    await layer.asked.wait()
    hearing.cancel()
    await asyncio.wait({hearing}, timeout=10)
    assert hearing.cancelled()


def announce() -> None:
    """Announce as a change does: in a thread of its own, inside its transaction."""

    def work() -> None:
        try:
            with transaction.atomic():
                stream.announce("flags", STG)
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)


@pytest.mark.asyncio
async def test_listeners_on_the_servers_loop_hear_it_at_once(in_memory: None) -> None:
    stream.bind(asyncio.get_running_loop())
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(stream.GROUP, channel)
    await asyncio.to_thread(announce)
    heard = await asyncio.wait_for(layer.receive(channel), 1)
    assert heard == {"type": "live.changed", "topic": "flags", "environment": "staging"}


def test_nothing_is_told_of_a_change_that_was_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(stream, "_send", told.append)
    with transaction.atomic():
        stream.announce("flags", STG)
        assert told == []
        transaction.set_rollback(True)
    assert told == []
    with transaction.atomic():
        stream.announce("flags", STG)
    assert len(told) == 1


def test_a_command_without_a_server_tells_nobody_and_minds_not(in_memory: None) -> None:
    missed = stream.missed()
    with transaction.atomic():
        stream.announce("flags", STG)
    assert stream.missed() == missed


def test_a_dead_redis_is_counted_and_logged_and_stops_nothing(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHANNEL_LAYERS = DEAD_REDIS
    missed = stream.missed()
    with caplog.at_level(logging.ERROR), transaction.atomic():
        stream.announce("flags", STG)
    assert stream.missed() == missed + 1
    assert "listeners see it by polling" in caplog.text


@pytest.mark.asyncio
async def test_a_dead_redis_beside_a_server_is_counted_too(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CHANNEL_LAYERS = DEAD_REDIS
    loop, logged = asyncio.get_running_loop(), asyncio.Event()
    ear = logging.Handler()
    monkeypatch.setattr(ear, "emit", lambda _: loop.call_soon_threadsafe(logged.set))
    stream.log.addHandler(ear)
    stream.bind(loop)
    missed = stream.missed()
    try:
        await asyncio.to_thread(announce)
        await asyncio.wait_for(logged.wait(), 5)
    finally:
        stream.bind(None)
        stream.log.removeHandler(ear)
    assert stream.missed() == missed + 1


@pytest.mark.needs("redis")
@pytest.mark.asyncio
async def test_redis_carries_it_from_a_command_to_a_server(settings: Any) -> None:
    from tests import needs

    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [needs.REDIS_URL], "prefix": "hybridops-stream-test"},
        }
    }
    layer = get_channel_layer()
    assert layer is not None
    channel = await layer.new_channel()
    await layer.group_add(stream.GROUP, channel)
    try:
        await asyncio.to_thread(announce)  # no loop is bound: as a command does it
        heard = await asyncio.wait_for(layer.receive(channel), 5)
        assert heard["topic"] == "flags"
    finally:
        await layer.flush()


async def heard(ear: Any) -> stream.Heard:
    return await asyncio.wait_for(anext(ear), 5)


@pytest.mark.asyncio
async def test_whoever_listens_hears_what_is_announced(in_memory: None) -> None:
    stream.bind(asyncio.get_running_loop())
    ear = stream.listen()
    hearing = asyncio.ensure_future(heard(ear))
    await asyncio.sleep(0)
    await asyncio.to_thread(announce)
    assert await hearing == stream.Heard(topic="flags", environment=STG)
    await ear.aclose()  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_layer_that_forgot_its_listener_is_reminded(
    in_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The in-memory layer drops a member for good after a message lay unread for a minute."""
    monkeypatch.setattr(stream, "RENEW_S", 0.02)
    loop = asyncio.get_running_loop()
    stream.bind(loop)
    layer: Any = get_channel_layer()
    ear = stream.listen()
    hearing = asyncio.ensure_future(heard(ear))
    await asyncio.sleep(0)
    await layer.flush()
    while stream.GROUP not in layer.groups:  # noqa: ASYNC110 - the layer has no event for it
        await asyncio.sleep(0)
    await asyncio.to_thread(announce)
    assert (await hearing).topic == "flags"
    await ear.aclose()  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_dead_layer_is_tried_again_and_raises_nothing(
    settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHANNEL_LAYERS = DEAD_REDIS
    monkeypatch.setattr(stream, "AGAIN_S", 0.01)
    ear = stream.listen()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(ear), 0.5)
    assert caplog.text.count("Announcements cannot be heard") >= 2


@pytest.mark.needs("redis")
@pytest.mark.asyncio
async def test_a_server_hears_a_command_over_redis(settings: Any) -> None:
    from tests import needs

    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [needs.REDIS_URL], "prefix": "hybridops-listen-test"},
        }
    }
    layer: Any = get_channel_layer()
    ear = stream.listen()
    hearing = asyncio.ensure_future(heard(ear))
    while not layer.groups:  # noqa: ASYNC110 - subscribed, which no event tells
        await asyncio.sleep(0)
    await layer.new_channel()  # its answer comes after that of the subscription
    try:
        await asyncio.to_thread(announce)
        assert await hearing == stream.Heard(topic="flags", environment=STG)
    finally:
        await ear.aclose()  # type: ignore[attr-defined]
        await layer.flush()
