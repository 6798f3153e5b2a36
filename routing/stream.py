"""Tell whoever listens that something changed, after the commit. Losing one is harmless:
listeners poll the versions as well.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import Future

from asgiref.sync import async_to_sync
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

from routing.core.values import EnvironmentName

log = logging.getLogger(__name__)

GROUP = "hybridops.live"
EVENT = "live.changed"  # a consumer's method is live_changed(event)
TIMEOUT_S = 2.0

_loop: asyncio.AbstractEventLoop | None = None
_missed = 0
_counting = threading.Lock()


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
    except (RedisError, OSError) as error:
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
