from __future__ import annotations

import asyncio
import math

import pytest

from routing.paths.mcp_transport import Exchange


async def held(exchange: Exchange, until: float | None) -> None:
    async with asyncio.timeout_at(until) as exchange.timer:
        await asyncio.Event().wait()


async def test_giving_up_ends_the_request_now() -> None:
    exchange = Exchange(ends=math.inf)
    task = asyncio.create_task(held(exchange, None))
    await asyncio.sleep(0)
    exchange.give_up()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await task
    exchange.give_up()  # it is over


async def test_giving_up_at_the_very_moment_that_the_time_ends_is_no_error() -> None:
    """The router's deadline and the request's are the same."""
    loop = asyncio.get_running_loop()
    exchange, met = Exchange(ends=math.inf), asyncio.Event()

    def give_up() -> None:
        assert exchange.timer is not None
        assert exchange.timer.expired()
        exchange.give_up()
        met.set()

    soon = loop.time() + 0.01
    task = asyncio.create_task(held(exchange, soon))
    await asyncio.sleep(0)
    loop.call_at(soon, give_up)
    async with asyncio.timeout(5):
        await met.wait()
    with pytest.raises(TimeoutError):
        await task


def test_no_time_is_left_of_what_is_over() -> None:
    assert Exchange(ends=0.0).left_s() == 0.0
    assert Exchange(ends=math.inf).left_s() == math.inf
