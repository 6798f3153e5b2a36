"""MCPRouter against servers that break the rules."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from routing.core.values import Failure
from routing.paths import mcp_replies
from routing.paths.base import PathError
from routing.paths.mcp import MCPRouter
from routing.paths.turns import AT_ONCE
from tests.verified_fakes import asked, hostile
from tests.verified_fakes.asked import call, failed, outcomes, until
from tests.verified_fakes.hostile import Behave, Request, Server, events, reply, result
from tests.verified_fakes.list_m import ENDLESS, HTML, PROGRESS, Item
from tests.verified_fakes.test_mcp_router import connect


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with hostile.serving(hostile.modern()) as one:
        yield one


@pytest.fixture
async def client(server: Server) -> AsyncIterator[MCPRouter]:
    async with asked.nothing_left():
        made = connect(lambda: server.url)
        yield made
        await made.close()


def writing(make: Any) -> Behave:
    """Answer with what `make` returns for the request."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(make(request))
        await writer.drain()

    return behave


async def test_the_raw_server_can_be_understood(client: MCPRouter, server: Server) -> None:
    assert (await client.call(call())).text == "well"
    kinds = [request.kind for request in server.requests]
    assert kinds == ["server/discover", "tools/list", "tools/call"]
    assert server.requests[-1].headers["accept-encoding"] == "identity"
    assert server.requests[-1].headers["mcp-protocol-version"] == hostile.MODERN


def answered(request: Request) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request.rpc["id"], "result": hostile.text("well")}


@pytest.mark.parametrize("item", ENDLESS, ids=str)
async def test_the_deadline_ends_what_would_never_end(
    client: MCPRouter, server: Server, item: Item
) -> None:
    await client.call(call())
    server.behave = hostile.modern(item.behave)
    assert (await failed(client, timeout_s=0.6)).failure is Failure.TIMEOUT
    async with asyncio.timeout(1):
        await server.gone.wait()  # the connection was let go of


def wrong_id_in_events(request: Request) -> bytes:
    return events({**answered(request), "id": 10**6})


def padded(size: int) -> str:
    return "x" * size


@pytest.mark.parametrize(
    "make",
    [
        lambda r: reply(200, HTML),
        lambda r: reply(200, b"", content_type=""),
        lambda r: reply(204, b""),
        lambda r: reply(200, b"[" * 100_000),
        lambda r: reply(200, {"jsonrpc": "2.0", "id": r.rpc["id"]}),
        lambda r: reply(200, {"jsonrpc": "2.0", "id": r.rpc["id"], "result": "well"}),
        lambda r: reply(200, {"jsonrpc": "2.0", "id": r.rpc["id"], "error": "no"}),
        wrong_id_in_events,
        lambda r: events(b"{nonsense"),
        lambda r: events(b"\xff\xfe"),
        lambda r: result(r, hostile.text(padded(mcp_replies.MOST_BYTES))),
        lambda r: events({**answered(r), "result": hostile.text(padded(1_100_000))}),
        lambda r: events(*[PROGRESS] * 15_000, answered(r)),
        lambda r: reply(200, answered(r), content_encoding="gzip"),
        lambda r: reply(200, answered(r), content_encoding="br"),
    ],
)
async def test_what_is_no_answer_is_known_at_once_and_harms_no_other_call(
    client: MCPRouter, server: Server, make: Any
) -> None:
    await client.call(call())
    server.behave = hostile.modern(writing(make))
    problem = await failed(client, timeout_s=4)
    assert problem.failure is Failure.PROTOCOL
    server.behave = hostile.modern()
    assert (await client.call(call())).text == "well"
    assert len(server.of("server/discover")) == 1


CONTENTS: list[Any] = [
    [],
    None,
    "well",
    [{"type": "image", "data": "aGk=", "mimeType": "image/png"}],
    [{"type": "text", "text": "well"}, {"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}],
    [{"type": "text", "text": ""}],
    [{"type": "text", "text": 7}],
    [{"type": "unheard", "text": "well"}],
]


@pytest.mark.parametrize("content", CONTENTS)
async def test_content_that_is_not_text_is_no_answer(
    client: MCPRouter, server: Server, content: Any
) -> None:
    value = {"resultType": "complete", "content": content}
    server.behave = hostile.modern(writing(lambda r: result(r, value)))
    assert (await failed(client)).failure is Failure.PROTOCOL


async def test_several_texts_are_one_answer(client: MCPRouter, server: Server) -> None:
    value = {**hostile.text("we"), "content": [{"type": "text", "text": t} for t in ("we", "ll")]}
    server.behave = hostile.modern(writing(lambda r: result(r, value)))
    assert (await client.call(call())).text == "well"


async def test_events_are_read_up_to_the_answer(client: MCPRouter, server: Server) -> None:
    server.behave = hostile.modern(writing(lambda r: events(PROGRESS, answered(r), closed=False)))
    assert (await client.call(call())).text == "well"


@pytest.mark.parametrize("method", ["sampling/createMessage", "elicitation/create", "roots/list"])
async def test_m19_what_the_server_asks_of_us_ends_the_call(
    client: MCPRouter, server: Server, method: str
) -> None:
    asks = {"jsonrpc": "2.0", "id": "q1", "method": method, "params": {}}
    server.behave = hostile.modern(writing(lambda r: events(asks, closed=False)))
    problem = await failed(client, timeout_s=4)
    assert problem.failure is Failure.PROTOCOL
    assert method in problem.detail


async def test_a_tool_error_is_the_tools_and_keeps_its_words(
    client: MCPRouter, server: Server
) -> None:
    value = {**hostile.text("no such\r\n\x1b[31mcase"), "isError": True}
    server.behave = hostile.modern(writing(lambda r: result(r, value)))
    problem = await failed(client)
    assert problem.failure is Failure.TOOL_ERROR
    assert problem.detail == "no such [31mcase"


async def test_no_detail_repeats_the_prompt(client: MCPRouter, server: Server) -> None:
    value = {**hostile.text("Cannot do: a very private sentence"), "isError": True}
    server.behave = hostile.modern(writing(lambda r: result(r, value)))
    problem = await failed(client, text="do a very private sentence now")
    assert problem.failure is Failure.TOOL_ERROR
    assert "private" not in problem.detail + repr(problem.facts)


async def test_an_error_without_a_number_ends_its_call(client: MCPRouter, server: Server) -> None:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32603, "message": "what?"}}
    server.behave = hostile.modern(writing(lambda r: reply(200, body)))
    assert (await failed(client, timeout_s=4)).failure is Failure.PROVIDER


@pytest.mark.parametrize(
    "data",
    [{"hybridops": {}}, {"hybridops": {"failure": "healthy"}}, {"hybridops": "x"}, "x", [1], None],
)
async def test_a_server_cannot_speak_in_our_name(
    client: MCPRouter, server: Server, data: Any
) -> None:
    error = {"code": -32603, "message": "no", "data": data}
    server.behave = hostile.modern(
        writing(lambda r: reply(200, {"jsonrpc": "2.0", "id": r.rpc["id"], "error": error}))
    )
    assert (await failed(client)).failure is Failure.PROVIDER


@pytest.mark.parametrize(
    "behave",
    [hostile.saying(b"SSH-2.0-x\r\n\r\n"), writing(lambda r: events())],
    ids=["another protocol", "events without an answer"],
)
async def test_a_tool_call_that_got_lost_is_neither_answered_nor_repeated(
    client: MCPRouter, server: Server, behave: Behave
) -> None:
    await client.call(call())
    server.behave = hostile.modern(behave)
    assert (await failed(client)).failure is Failure.OUTCOME_UNKNOWN
    assert len(server.of("tools/call")) == 2


async def test_answers_that_are_lost_one_by_one_never_end_the_client(
    client: MCPRouter, server: Server
) -> None:
    await client.call(call())
    count = 0

    async def every_other(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        await (hostile.reset if count % 2 else writing(lambda r: reply(200, answered(r))))(
            request, writer
        )

    server.behave = hostile.modern(every_other)
    found = await outcomes(*(client.call(call()) for _ in range(30)))
    assert sum(isinstance(one, Exception) for one in found) == 15
    assert len(server.of("server/discover")) == 1


async def test_nothing_that_json_cannot_say_is_sent(client: MCPRouter, server: Server) -> None:
    await client.call(call())
    other = asyncio.create_task(client.call(call()))
    for words in ({"text": "\ud800"}, {"system": "\udfff"}):
        problem = await failed(client, **words)
        assert (problem.failure, problem.sent) == (Failure.VALIDATION, False)
    assert (await other).text == "well"
    shaped = connect(lambda: server.url, arguments={"x": float("nan")})
    problem = await failed(shaped)
    assert (problem.failure, problem.sent) == (Failure.DISABLED, False)
    await shaped.close()
    assert len(server.of("tools/call")) == 2


async def test_a_server_that_greets_no_one_is_unreachable_in_time(
    client: MCPRouter, server: Server
) -> None:
    server.behave = hostile.hanging()
    problem = await failed(client, timeout_s=0.6)
    assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
    assert not server.of("tools/call")


async def test_more_hanging_calls_than_connections_end_in_time(
    client: MCPRouter, server: Server
) -> None:
    await client.call(call())
    server.behave = hostile.modern(hostile.hanging())
    found = await outcomes(*(client.call(call(timeout_s=0.7)) for _ in range(300)))
    failed_so = Counter(one.failure for one in found if isinstance(one, PathError))
    assert failed_so == {Failure.TIMEOUT: AT_ONCE, Failure.QUEUE_FULL: 300 - AT_ONCE}
    assert client.line().waiting == client.line().under_way == 0
    server.behave = hostile.modern()
    assert (await client.call(call())).text == "well"
    await until(lambda: len(asyncio.all_tasks()) < 60)
