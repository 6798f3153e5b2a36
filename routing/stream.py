"""Tell whoever listens that something changed, after the commit. Losing one is harmless:
listeners poll the versions as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.db import transaction

from routing.core.values import EnvironmentName

log = logging.getLogger(__name__)

GROUP = "hybridops.live"
EVENT = "live.changed"  # a consumer's method is live_changed(event)
TIMEOUT_S = 2.0
# Layers forget a group's members: the in-memory one after a message lay unread for a minute.
RENEW_S = 30.0
AGAIN_S = 2.0

_loop: asyncio.AbstractEventLoop | None = None
_missed = 0
_counting = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One announcement; `environment` is None where all are concerned."""

    topic: str
    environment: EnvironmentName | None


def bind(loop: asyncio.AbstractEventLoop | None) -> None:
    """Name the loop that the server's listeners live on; None when it ends.

    A send from another thread goes through that loop: over a loop of its own, the in-memory layer
    wakes its receivers only seconds later.
    """
    global _loop  # noqa: PLW0603 - set once by the server's start
    _loop = loop


def announce(topic: str, environment: EnvironmentName | None) -> None:
    """Tell the group `hybridops.live` of `topic` once the caller's transaction is committed.

    Never raises for a dead channel layer: that is logged and counted (`missed`).
    """
    event = {"type": EVENT, "topic": topic, "environment": environment and str(environment)}
    # Not a partial: reporting its failure, Django's robust mode asks for a __qualname__.
    transaction.on_commit(lambda: _send(event), robust=True)


async def listen() -> AsyncIterator[Heard]:
    """Yield what is announced, over one subscription of this process, for ever.

    While the layer is away nothing is heard and nothing raised: whoever listens polls as well.
    """
    while True:
        _heed()
        try:
            async with contextlib.aclosing(_subscription()) as heard:
                async for one in heard:
                    yield one
        except _away() as error:
            log.warning("Announcements cannot be heard (%s); pages poll meanwhile.", repr(error))
        await asyncio.sleep(AGAIN_S)


async def _subscription() -> AsyncGenerator[Heard, None]:
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("CHANNEL_LAYERS has no usable default layer.")
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    receiving = asyncio.ensure_future(layer.receive(channel))
    try:
        while True:
            _heed()
            # Not cancelled by a timeout: the Redis layer would take that for the end.
            done, _ = await asyncio.wait({receiving}, timeout=RENEW_S)
            if not done:
                await layer.group_add(GROUP, channel)
                continue
            event = receiving.result()
            receiving = asyncio.ensure_future(layer.receive(channel))
            place = event["environment"]
            yield Heard(topic=event["topic"], environment=place and EnvironmentName(place))
    finally:
        receiving.cancel()
        with contextlib.suppress(*_away(), asyncio.CancelledError):
            await receiving
        with contextlib.suppress(*_away()):
            await layer.group_discard(GROUP, channel)


def _away() -> tuple[type[Exception], ...]:
    """Return what a layer raises that is away; who has no Redis needs 6 MiB less without it."""
    redis = sys.modules.get("redis.exceptions")
    return (OSError,) if redis is None else (redis.RedisError, OSError)


def _heed() -> None:
    """Raise a cancel that got lost: on Python 3.11 `wait_for`, which Redis's client sends every
    command through, drops one that comes in the moment in which it ends.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def missed() -> int:
    """Return how many announcements of this process did not get out."""
    return _missed


def _send(event: dict[str, str | None]) -> None:
    loop = _loop
    if loop is not None and not loop.is_closed():
        asyncio.run_coroutine_threadsafe(_deliver(event), loop).add_done_callback(_note)
        return
    if isinstance(get_channel_layer(), InMemoryChannelLayer):
        return  # no server in this process, so nobody could be listening to its memory
    try:
        async_to_sync(_deliver)(event)
    except _away() as error:
        _miss(error)


async def _deliver(event: dict[str, str | None]) -> None:
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("CHANNEL_LAYERS has no usable default layer.")
    await asyncio.wait_for(layer.group_send(GROUP, event), TIMEOUT_S)


def _note(sent: Future[None]) -> None:
    if not sent.cancelled() and (error := sent.exception()) is not None:
        _miss(error)


def _miss(error: BaseException) -> None:
    global _missed  # noqa: PLW0603 - a counter
    with _counting:
        _missed += 1
    log.error("An announcement did not get out (%s); listeners see it by polling.", repr(error))
