"""MCPRouter against servers of the protocol's older days: handshake, session, its loss."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from routing.core.values import Failure
from routing.paths.mcp import MCPRouter
from tests.verified_fakes import asked, hostile
from tests.verified_fakes.asked import call, failed, until
from tests.verified_fakes.hostile import Legacy, Request, Server, reply
from tests.verified_fakes.test_mcp_router import connect


@pytest.fixture
def old() -> Legacy:
    return Legacy()


@pytest.fixture
async def server(old: Legacy) -> AsyncIterator[Server]:
    async with hostile.serving(old) as one:
        yield one


@pytest.fixture
async def client(server: Server) -> AsyncIterator[MCPRouter]:
    async with asked.nothing_left():
        made = connect(lambda: server.url)
        yield made
        await made.close()


async def test_it_is_greeted_and_called_in_its_session(client: MCPRouter, server: Server) -> None:
    assert (await client.call(call())).text == "well, s1"
    kinds = [request.kind for request in server.requests]
    assert kinds == [
        "server/discover",
        "initialize",
        "notifications/initialized",
        "tools/list",
        "tools/call",
    ]
    assert server.requests[-1].headers["mcp-session-id"] == "s1"
    assert server.requests[-1].headers["mcp-protocol-version"] == hostile.LEGACY
    await client.close()
    assert [request.kind for request in server.requests][-1] == "DELETE"
    assert not server.of("GET")  # the stream of its own messages is not opened


async def test_a_probe_pings(client: MCPRouter, server: Server) -> None:
    probe = await client.probe()
    assert [(stage.name, stage.ok) for stage in probe.stages] == [
        ("connect", True),
        ("discover", True),
        ("list_tools", True),
    ]
    assert len(server.of("ping")) == 1


STRANGERS = {
    "404": b"",
    "400": reply(
        400,
        {
            "jsonrpc": "2.0",
            "id": None,
            "error": {"code": -32000, "message": "Bad Request: No valid session ID provided"},
        },
    ),
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
async def test_a_lost_session_is_made_anew_and_the_call_answered(
    client: MCPRouter, old: Legacy, stranger: bytes
) -> None:
    old.stranger = stranger
    assert (await client.call(call())).text == "well, s1"
    old.known.clear()
    assert (await client.call(call())).text == "well, s2"
    assert (await client.call(call())).text == "well, s2"
    assert old.made == 2


async def test_many_calls_that_lose_one_session_make_one_new(
    client: MCPRouter, old: Legacy
) -> None:
    await client.call(call())
    old.known.clear()
    answers = await asyncio.gather(*(client.call(call()) for _ in range(20)))
    assert {answer.text for answer in answers} == {"well, s2"}
    assert old.made == 2


class Forgetful(Legacy):
    """Forgets every session as soon as it is used."""

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.kind == "tools/call":
            self.known.clear()
        await super().__call__(request, writer)


async def test_a_session_that_is_lost_again_is_not_chased() -> None:
    forgetful = Forgetful()
    async with asked.nothing_left(), hostile.serving(forgetful) as server:
        client = connect(lambda: server.url)
        problem = await failed(client)
        assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
        assert forgetful.made == 2
        assert len(server.of("tools/call")) == 2
        await client.close()


class Silent(Legacy):
    """Says nothing to requests of the kinds in `silent`."""

    silent: tuple[str, ...] = ()
    hangs: bool = True

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.kind in self.silent:
            await hostile.never()
        await super().__call__(request, writer)


async def test_a_cancellation_that_hangs_holds_up_no_other_call() -> None:
    """The SDK sends notifications one by one, and the next request waits behind them."""
    silent = Silent()
    async with asked.nothing_left(), hostile.serving(silent) as server:
        client = connect(lambda: server.url)
        await client.call(call())
        silent.silent = ("tools/call", "notifications/cancelled")
        task = asyncio.create_task(client.call(call(timeout_s=30)))
        await until(lambda: len(server.of("tools/call")) == 2)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 0.3
        await until(lambda: len(server.of("notifications/cancelled")) == 1)
        assert (await failed(client, timeout_s=0.5)).failure is Failure.TIMEOUT
        silent.silent = ()
        began = time.monotonic()
        assert (await client.call(call())).text == "well, s1"
        assert time.monotonic() - began < 0.3
        await client.close()


async def test_nothing_is_left_of_a_call_that_nobody_waits_for() -> None:
    """Under the older protocol the SDK lets a request go on that was given up."""
    silent = Silent()
    async with asked.nothing_left(), hostile.serving(silent) as server:
        client = connect(lambda: server.url)
        await client.call(call())
        silent.silent = ("tools/call",)
        assert (await failed(client, timeout_s=0.3)).failure is Failure.TIMEOUT
        await until(server.gone.is_set, within_s=1)
        server.gone.clear()
        task = asyncio.create_task(client.call(call(timeout_s=30)))
        await until(lambda: len(server.of("tools/call")) == 3)
        task.cancel()
        await until(server.gone.is_set, within_s=1)
        await client.close()


@pytest.mark.parametrize("version", ["1999-01-01", "", 7, None])
async def test_m20_a_protocol_that_nobody_knows_is_refused(version: object) -> None:
    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        hello = {"protocolVersion": version, "capabilities": {}, "serverInfo": {}}
        known = request.kind == "initialize"
        writer.write(hostile.result(request, hello) if known else hostile.error(request, -32601))
        await writer.drain()

    async with asked.nothing_left(), hostile.serving(behave) as server:
        client = connect(lambda: server.url)
        problem = await failed(client)
        assert (problem.failure, problem.sent) == (Failure.PROTOCOL, False)
        assert not server.of("tools/call")
        await client.close()


async def test_m20_a_server_that_learnt_the_newer_protocol_is_greeted_anew(
    client: MCPRouter, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("routing.paths.mcp.RENEW_S", 0.0)
    assert (await client.call(call())).text == "well, s1"
    server.behave = hostile.modern(
        hostile_to_sessions,
    )
    assert (await failed(client)).failure is Failure.PROTOCOL
    assert (await client.call(call())).text == "well, new"


async def test_m20_a_server_that_changes_its_version_with_every_answer_is_not_followed() -> None:
    """What was agreed at the greeting stands: later claims are no part of an answer."""
    old = Legacy()

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.kind in {"tools/call", "tools/list"}:
            found = {"tools": [hostile.TOOL]} if request.kind == "tools/list" else {}
            value = {"protocolVersion": "1999-01-01", **hostile.text("well"), **found}
            body = {"jsonrpc": "2.0", "id": request.rpc["id"], "result": value}
            writer.write(reply(200, body, mcp_protocol_version="1999-01-01"))
            await writer.drain()
            return
        await old(request, writer)

    async with asked.nothing_left(), hostile.serving(behave) as server:
        client = connect(lambda: server.url)
        for _ in range(3):
            assert (await client.call(call())).text == "well"
        versions = {r.headers["mcp-protocol-version"] for r in server.of("tools/call")}
        assert versions == {hostile.LEGACY}
        await client.close()


async def hostile_to_sessions(request: Request, writer: asyncio.StreamWriter) -> None:
    """Refuse what still carries a session; answer what does not."""
    carries = "mcp-session-id" in request.headers
    answer = hostile.result(request, hostile.text("well, new"))
    writer.write(hostile.error(request, -32600, "headers") if carries else answer)
    await writer.drain()
