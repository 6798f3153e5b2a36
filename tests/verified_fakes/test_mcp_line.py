"""MCPRouter's line: so many calls at a time, the urgent first, nobody for longer than his time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from routing.core.values import Failure, Priority
from routing.paths.base import PathError
from routing.paths.mcp import MCPRouter
from routing.paths.turns import Turns
from tests.verified_fakes import asked, hostile
from tests.verified_fakes.asked import call, failed, outcomes, until
from tests.verified_fakes.hostile import Request, Server
from tests.verified_fakes.list_m import good
from tests.verified_fakes.test_mcp_router import connect

CRITICAL, HIGH, MEDIUM, LOW = Priority


class Door:
    """Answers a call once it is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await self.open.wait()
        writer.write(hostile.reply(200, good(request)))
        await writer.drain()


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
async def server(door: Door) -> AsyncIterator[Server]:
    async with hostile.serving(hostile.modern(door)) as one:
        yield one


@pytest.fixture
async def client(server: Server) -> AsyncIterator[MCPRouter]:
    async with asked.nothing_left():
        made = connect(lambda: server.url, turns=Turns(at_once=1, longest=4))
        yield made
        await made.close()


def prompts(server: Server) -> list[str]:
    calls = server.of("tools/call")
    return [r.rpc["params"]["arguments"]["messages"][0]["text"] for r in calls]


async def test_the_most_urgent_call_goes_out_next(
    client: MCPRouter, server: Server, door: Door
) -> None:
    wishes = [(LOW, "first"), (LOW, "low"), (MEDIUM, "one"), (MEDIUM, "two"), (CRITICAL, "now")]
    tasks = []
    for number, (priority, text) in enumerate(wishes):
        tasks.append(asyncio.create_task(client.call(call(text, priority=priority))))
        await until(lambda number=number: client.line().waiting == number)  # type: ignore[misc]
    await until(lambda: len(server.of("tools/call")) == 1)
    line = client.line()
    assert (line.under_way, line.waiting) == (1, 4)
    door.open.set()
    await asyncio.gather(*tasks)
    assert prompts(server) == ["first", "now", "one", "two", "low"]


async def test_who_finds_the_line_full_or_waits_in_vain_is_told_and_never_sent(
    client: MCPRouter, server: Server, door: Door
) -> None:
    held = asyncio.create_task(client.call(call("held")))
    await until(lambda: len(server.of("tools/call")) == 1)
    waiting = [asyncio.create_task(client.call(call("w", timeout_s=0.4))) for _ in range(4)]
    await until(lambda: client.line().waiting == 4)
    began = time.monotonic()
    problem = await failed(client, text="over")
    assert time.monotonic() - began < 0.1
    assert (problem.failure, problem.sent) == (Failure.QUEUE_FULL, False)
    assert client.line().oldest_ms < 400
    for one in await outcomes(*waiting):
        assert isinstance(one, PathError)
        assert (one.failure, one.sent) == (Failure.QUEUE_FULL, False)
    assert time.monotonic() - began < 0.7
    assert (client.line().waiting, client.line().refused) == (0, 5)
    door.open.set()
    assert (await held).text == "well"
    assert prompts(server) == ["held"]


async def test_a_waiter_that_goes_leaves_the_line(
    client: MCPRouter, server: Server, door: Door
) -> None:
    held = asyncio.create_task(client.call(call("held")))
    gone = asyncio.create_task(client.call(call("gone")))
    await until(lambda: client.line().waiting == 1)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert client.line().waiting == 0
    door.open.set()
    await held
    assert (await client.call(call("next"))).text == "well"
    assert prompts(server) == ["held", "next"]
    assert client.line().under_way == 0


async def test_a_probe_does_not_wait_in_line(
    client: MCPRouter, server: Server, door: Door
) -> None:
    """What is measured is the server, not how busy we are."""
    held = asyncio.create_task(client.call(call("held")))
    await until(lambda: len(server.of("tools/call")) == 1)
    assert (await client.probe()).ok
    door.open.set()
    await held
