"""Every item of list M that meets a call: on the client, then behind the router."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path as Folder

import pytest

from routing.breakers.board import Board
from routing.core import failures
from routing.core.circuit import CircuitSettings, Result
from routing.core.values import Breaker, Failure, Operation, Path, Reason
from routing.paths.base import PathClient
from routing.paths.mcp import MCPRouter
from routing.paths.turns import Turns
from routing.router import IntelligentRouter
from tests.unit import stage as stages
from tests.unit.stage import NOW, Stage
from tests.verified_fakes import asked, hostile, list_m, memory
from tests.verified_fakes.asked import call, failed
from tests.verified_fakes.hostile import Request, Server, reply
from tests.verified_fakes.list_m import CALLED, LARGE, Item
from tests.verified_fakes.test_mcp_router import connect

BUDGET_MS = 1000


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


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path) as made:
        made.budget(BUDGET_MS)
        yield made


def route(stage: Stage, client: MCPRouter, board: Board) -> IntelligentRouter:
    """Put the real client behind a real router, with a scripted fallback beside it."""
    clients: dict[Path, PathClient] = {Path.MCP: client, Path.DIRECT_BEDROCK: stage.direct}
    stage.board = board
    return IntelligentRouter(
        situation=stage.situation,
        client=lambda _, path: clients[path],
        board=board,
        log=stage.log,
        clock=lambda: NOW,
        policy=stage.policy,
    )


@pytest.mark.parametrize("item", CALLED, ids=str)
async def test_each_item_ends_in_time_with_its_class_and_harms_no_later_call(
    client: MCPRouter, server: Server, item: Item
) -> None:
    await client.call(call())
    server.behave = hostile.modern(item.behave)
    if item.failure is None:
        assert (await client.call(call())).text == item.answered
    else:
        limit = 0.5 if item.failure is Failure.TIMEOUT else 4.0
        assert (await failed(client, timeout_s=limit)).failure is item.failure
    assert len(server.of("tools/call")) == 2
    server.behave = hostile.modern()
    assert (await client.call(call())).text == "well"


@pytest.mark.parametrize("item", LARGE, ids=str)
async def test_no_item_takes_much_memory(client: MCPRouter, server: Server, item: Item) -> None:
    await client.call(call())
    server.behave = hostile.modern(item.behave)
    with memory.flat_for_the_kernel():
        await failed(client, timeout_s=4)
    with memory.flat_for_python():
        await failed(client, timeout_s=8)


async def test_without_the_limits_one_answer_takes_more(
    client: MCPRouter, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The measure can fail: each limit that is taken away is seen."""
    await client.call(call())
    [texts] = [item for item in LARGE if item.what == "as many texts as fit"]
    server.behave = hostile.modern(texts.behave)
    monkeypatch.setattr("routing.paths.mcp_replies.MOST_PARTS", 10**9)
    monkeypatch.setattr("routing.paths.mcp_replies.MOST_VALUES", 10**9)
    with pytest.raises(AssertionError, match="MiB were taken"), memory.flat_for_python():
        await client.call(call())


@pytest.mark.parametrize("item", CALLED, ids=str)
async def test_each_item_is_answered_elsewhere_or_told_in_time_counted_and_booked(
    client: MCPRouter, server: Server, stage: Stage, item: Item
) -> None:
    await client.call(call())
    server.behave = hostile.modern(item.behave)
    board = Board(CircuitSettings(consecutive_failures=1), jitter=lambda: 0.0)
    router = route(stage, client, board)
    began = time.monotonic()
    routed = await router.route(stages.ask(Operation.STANDARD))
    assert time.monotonic() - began < BUDGET_MS / 1000 + 0.5
    first = routed.attempts[0]
    assert (first.path, first.failure) == (Path.MCP, item.failure)
    if item.failure is None or failures.may_fall_back(item.failure):
        assert routed.status == 200
    else:
        assert routed.status == failures.consequence(item.failure).status
        assert [attempt.path for attempt in routed.attempts] == [Path.MCP]
    counts = item.failure is not None and failures.counts_for_breaker(item.failure)
    key = replace(stage.key(Path.MCP), target=client.target)
    assert (board.state(key) is Breaker.OPEN) == (counts is Result.FAILURE)
    [record] = stage.records()
    assert record["id"] == routed.decision_id
    assert len(server.of("tools/call")) == 2


async def test_m12_no_hint_of_a_server_holds_the_caller_up(
    client: MCPRouter, server: Server, stage: Stage
) -> None:
    """Without a fallback the hint reaches the caller: cut to a minute."""
    await client.call(call())
    server.behave = hostile.modern(hostile.saying(reply(429, {}, retry_after="999999999")))
    stage.facts[Path.DIRECT_BEDROCK] = {"configured": False}
    began = time.monotonic()
    routed = await route(stage, client, Board()).route(stages.ask(Operation.STANDARD))
    assert time.monotonic() - began < BUDGET_MS / 1000 + 0.5
    assert routed.status == 503
    assert routed.retry_after_s == failures.LONGEST_RETRY_AFTER_S


async def test_m13_a_burst_opens_the_breaker_and_the_rest_goes_elsewhere(
    client: MCPRouter, server: Server, stage: Stage
) -> None:
    await client.call(call())
    statuses = itertools.cycle([500, 502, 503, 504])
    server.behave = hostile.modern(list_m.said(lambda _: reply(next(statuses), b"")))
    router = route(stage, client, Board())
    before = len(server.requests)
    seen = [await router.route(stages.ask(Operation.STANDARD)) for _ in range(40)]
    assert {routed.status for routed in seen} == {200}
    assert seen[-1].conclusion.reason is Reason.FALLBACK_BREAKER_OPEN
    assert len(server.requests) - before == CircuitSettings().consecutive_failures


async def test_m13_who_waits_in_line_while_the_breaker_opens_goes_elsewhere_unsent(
    server: Server, stage: Stage
) -> None:
    statuses = itertools.cycle([500, 502, 503, 504])
    async with asked.nothing_left():
        client = connect(lambda: server.url, turns=Turns(at_once=2))
        await client.call(call())
        server.behave = hostile.modern(list_m.said(lambda _: reply(next(statuses), b"")))
        router = route(stage, client, Board())
        seen = await asyncio.gather(
            *(router.route(stages.ask(Operation.STANDARD)) for _ in range(40))
        )
        line = client.line()
        await client.close()
    assert {routed.status for routed in seen} == {200}
    reasons = Counter(routed.conclusion.reason for routed in seen)
    sent = reasons[Reason.FALLBACK_ERROR]
    trips = CircuitSettings().consecutive_failures
    assert trips <= sent <= trips + 1, "one more was under way"
    assert len(server.of("tools/call")) == 1 + sent
    assert reasons[Reason.FALLBACK_BREAKER_OPEN] == 40 - sent
    assert (line.under_way, line.waiting, line.refused) == (0, 0, 0)


async def test_m13_a_server_that_fails_every_other_time_does_not_make_the_breaker_flap(
    client: MCPRouter, server: Server, stage: Stage
) -> None:
    await client.call(call())
    turns = itertools.count()

    def alternate(request: Request) -> bytes:
        return reply(503) if next(turns) % 2 else reply(200, list_m.good(request))

    server.behave = hostile.modern(list_m.said(alternate))
    board = Board()
    router = route(stage, client, board)
    seen = [await router.route(stages.ask(Operation.STANDARD)) for _ in range(60)]
    assert {routed.status for routed in seen} == {200}
    [view] = [view for view in board.views() if view.key.path is Path.MCP]
    assert [step.target for step in view.history] == [Breaker.OPEN]


async def test_m24_no_secret_of_ours_is_there_to_come_back(
    client: MCPRouter, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.setenv(name, list_m.CANARY)
    await client.call(call(decision_id="d-24"))
    await client.probe()
    for request in server.requests:
        sent = request.body.decode() + str(request.headers)
        assert list_m.CANARY not in sent and list_m.CANARY[::-1] not in sent
        assert not {"authorization", "cookie", "x-api-key"} & request.headers.keys()
    echoed = f"Authorization: Bearer {list_m.CANARY}-{list_m.CANARY}"
    server.behave = hostile.modern(
        list_m.said(lambda r: hostile.result(r, {**hostile.text(echoed), "isError": True}))
    )
    problem = await failed(client)
    assert problem.failure is Failure.TOOL_ERROR
    assert list_m.CANARY not in problem.detail


def test_every_item_of_the_list_has_a_test() -> None:
    named = {item.number for item in CALLED}
    for file in Folder(__file__).parent.glob("test_mcp*.py"):
        named |= set(map(int, re.findall(r'(?:def test_m|"M)(\d+)[_ ]', file.read_text())))
    assert named == set(range(1, 25))


async def test_the_largest_answer_that_is_allowed_comes_whole(
    client: MCPRouter, server: Server
) -> None:
    words = "[{,}]" * 10_000 + "x" * 900_000
    server.behave = hostile.modern(list_m.said(lambda r: reply(200, list_m.good(r, words))))
    assert (await client.call(call())).text == words
