"""DirectBedrockClient's streams, on both transports: as they come, within limits, ended early."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from routing.core.settings import BedrockTransport
from routing.core.values import Failure
from routing.paths import bedrock_patience
from routing.paths.base import Answer, PathError
from routing.paths.bedrock import DirectBedrockClient
from tests.verified_fakes import asked, hostile
from tests.verified_fakes.asked import LATE_S, call, failed, until
from tests.verified_fakes.hostile import Server, reply
from tests.verified_fakes.standin import StandIn
from tests.verified_fakes.test_bedrock_same_faults import END, START, STOP, WELL, chunked
from tests.verified_fakes.test_direct_bedrock_client import connect

OPEN = chunked(START, WELL, end=b"")  # a head and two events of a stream that goes on


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with hostile.serving(hostile.saying(reply(200, START + WELL + STOP + END))) as one:
        yield one


@pytest.fixture
async def client(
    server: Server, transport: BedrockTransport
) -> AsyncIterator[DirectBedrockClient]:
    async with asked.nothing_left():
        made = connect(lambda: server.url, transport)
        assert (await made.call(call())).text == "well"
        yield made
        await made.close()
        await server.end()


async def test_pieces_come_before_the_answer_is_whole(
    client: DirectBedrockClient, server: Server
) -> None:
    more = asyncio.Event()

    async def slowly(_: hostile.Request, writer: asyncio.StreamWriter) -> None:
        writer.write(OPEN)
        await more.wait()
        rest = WELL + STOP + END
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest))

    server.behave = slowly
    async with aclosing(client.stream(call())) as pieces:
        assert await anext(pieces) == "well"
        more.set()
        assert await anext(pieces) == "well"
        last = await anext(pieces)
    assert isinstance(last, Answer)
    assert last.text == "wellwell"


async def test_who_stops_listening_hangs_up(client: DirectBedrockClient, server: Server) -> None:
    server.behave = hostile.hanging(OPEN)
    pieces = client.stream(call(timeout_s=30))
    assert await anext(pieces) == "well"
    began = time.monotonic()
    await pieces.aclose()
    async with asyncio.timeout(1):
        await server.gone.wait()
    assert time.monotonic() - began < 0.5


async def test_who_is_cancelled_hangs_up(client: DirectBedrockClient, server: Server) -> None:
    server.behave = hostile.hanging(OPEN)
    heard: list[Any] = []

    async def listen() -> None:
        async for piece in client.stream(call(timeout_s=30)):
            heard.append(piece)

    task = asyncio.create_task(listen())
    await until(lambda: heard == ["well"])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(1):
        await server.gone.wait()


@pytest.mark.parametrize(
    "first", [b"", reply(200, b"", length=999)], ids=["no word", "only a head"]
)
async def test_silence_is_not_slow_generation(
    client: DirectBedrockClient, server: Server, first: bytes
) -> None:
    """The first event has a limit of its own, well before the end of the attempt."""
    server.behave = hostile.hanging(first)
    began = time.monotonic()
    problem = await failed(client, timeout_s=30, first_s=0.3)
    assert time.monotonic() - began < 0.3 + LATE_S
    assert problem.failure is Failure.TIMEOUT
    assert "said nothing at all" in problem.detail


async def test_the_first_event_may_take_three_seconds_unless_said(
    client: DirectBedrockClient, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bedrock_patience.FIRST_S == 3.0
    monkeypatch.setattr(bedrock_patience, "FIRST_S", 0.2)
    server.behave = hostile.hanging()
    began = time.monotonic()
    assert (await failed(client, timeout_s=30)).failure is Failure.TIMEOUT
    assert time.monotonic() - began < 0.2 + LATE_S


async def test_a_slow_answer_that_has_begun_keeps_its_time(
    client: DirectBedrockClient, server: Server
) -> None:
    async def slowly(_: hostile.Request, writer: asyncio.StreamWriter) -> None:
        writer.write(OPEN)
        await hostile.pause(0.6)
        rest = STOP + END
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest))

    server.behave = slowly
    assert (await client.call(call(first_s=0.2))).text == "well"


async def test_a_gap_between_events_has_a_limit(
    client: DirectBedrockClient, server: Server
) -> None:
    server.behave = hostile.hanging(OPEN)
    heard: list[Any] = []
    began = time.monotonic()
    with pytest.raises(PathError) as caught:
        async for piece in client.stream(call(timeout_s=30, gap_s=0.3)):
            heard.append(piece)
    assert time.monotonic() - began < 0.3 + LATE_S
    assert (caught.value.failure, heard) == (Failure.TIMEOUT, ["well"])
    assert "between two events" in caught.value.detail


async def test_a_slow_listener_is_no_gap(client: DirectBedrockClient, server: Server) -> None:
    body = START + WELL * 3 + STOP + END
    server.behave = hostile.saying(chunked(body))
    heard: list[Any] = []
    async for piece in client.stream(call(gap_s=0.1)):
        heard.append(piece)
        await hostile.pause(0.15)
    assert heard[:-1] == ["well"] * 3


async def test_events_that_drip_for_ever_end_with_the_call(
    client: DirectBedrockClient, server: Server
) -> None:
    drop = b"%x\r\n%s\r\n" % (len(WELL), WELL)
    server.behave = hostile.dripping(OPEN, drop, every_s=0.05)
    began = time.monotonic()
    assert (await failed(client, timeout_s=0.5, gap_s=0.3)).failure is Failure.TIMEOUT
    assert time.monotonic() - began < 0.5 + LATE_S


async def test_figures_that_never_come_are_not_waited_for(
    client: DirectBedrockClient, server: Server
) -> None:
    server.behave = hostile.hanging(chunked(START, WELL, STOP, end=b""))
    began = time.monotonic()
    answer = await client.call(call(timeout_s=30))
    assert (answer.text, answer.usage) == ("well", None)
    assert time.monotonic() - began < bedrock_patience.TAIL_S + LATE_S


async def test_one_connection_serves_call_after_call(
    client: DirectBedrockClient, server: Server
) -> None:
    for _ in range(5):
        assert (await client.call(call())).text == "well"
    assert (server.connections, len(server.requests)) == (1, 6)


async def test_a_stand_ins_stream_is_cut_where_the_caller_goes(
    bedrock: StandIn, transport: BedrockTransport
) -> None:
    client = connect(bedrock.url, transport)
    bedrock.fault(kind="hang", after=3, seconds=60)
    before = asked.mark(bedrock)
    pieces: AsyncGenerator[str | Answer] = client.stream(call(timeout_s=30))
    assert await anext(pieces)
    [arrived] = before.since("converse_stream")
    await pieces.aclose()
    await until(lambda: arrived["request"] in asked.ended(bedrock), within_s=1)
    await client.close()
