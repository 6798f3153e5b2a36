"""A place for each call under way; who waits may be told that it is not to go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from routing.core.values import Failure
from routing.paths.base import PathError
from routing.paths.bedrock_patience import Patience
from routing.paths.bedrock_slots import MOST_WAITING, Slots


def patience(timeout_s: float = 9.0, may_go: Callable[[], bool] | None = None) -> Patience:
    return Patience(timeout_s, None, None, may_go=may_go)


async def refused(slots: Slots, waits: Patience) -> Failure:
    with pytest.raises(PathError) as caught:
        await slots.take(waits)
    assert not caught.value.sent
    return caught.value.failure


async def test_a_place_that_is_free_is_taken_unasked() -> None:
    await Slots(1).take(patience(may_go=lambda: False))


async def test_who_waited_while_the_breaker_opened_leaves_the_place_to_the_next() -> None:
    slots, stands = Slots(1), [True]
    await slots.take(patience())
    held_back = asyncio.create_task(refused(slots, patience(may_go=lambda: stands[0])))
    allowed = asyncio.create_task(slots.take(patience(may_go=lambda: True)))
    await asyncio.sleep(0)
    stands[0] = False
    slots.free()
    assert await held_back is Failure.BREAKER_OPEN
    await allowed


async def test_who_finds_no_place_in_time_or_no_room_is_told_so() -> None:
    slots = Slots(1)
    await slots.take(patience())
    assert await refused(slots, patience(0.01)) is Failure.QUEUE_FULL
    waiting = [asyncio.create_task(slots.take(patience())) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    assert await refused(slots, patience()) is Failure.QUEUE_FULL
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
