"""MCPRouter against the stand-in, in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.core.values import Failure, Path
from routing.paths import address
from routing.paths.address import Lookup
from routing.paths.base import Answer, PathError
from routing.paths.mcp import MCPRouter
from routing.paths.turns import Turns
from tests.verified_fakes import asked, standin
from tests.verified_fakes.asked import call, failed, outcomes, until
from tests.verified_fakes.standin import ROOT, StandIn


def connect(
    endpoint: Callable[[], str],
    *,
    arguments: Mapping[str, Any] | None = None,
    idempotent: bool = False,
    probe_tool: str = "",
    tool: str = "route_request",
    turns: Turns | None = None,
    look: Lookup = address.lookup,
) -> MCPRouter:
    return MCPRouter(
        target="test",
        tool=tool,
        endpoint=endpoint,
        arguments=arguments,
        idempotent=idempotent,
        probe_tool=probe_tool,
        turns=turns,
        look=look,
    )


def at(stand_in: StandIn) -> str:
    return f"{stand_in.url()}/mcp"


@pytest.fixture
async def client(mcp: StandIn) -> AsyncIterator[MCPRouter]:
    async with asked.nothing_left():
        made = connect(lambda: at(mcp), probe_tool="echo")
        yield made
        await made.close()


async def test_a_whole_answer_comes_without_usage(client: MCPRouter) -> None:
    answer = await client.call(call(system="be brief"))
    assert "not a model" in answer.text
    assert "read 6 words" in answer.text
    assert answer.usage is None
    assert (answer.stop_reason, answer.model) == ("end_turn", "route_request")
    assert (client.path, client.target) == (Path.MCP, "test")


async def test_the_other_side_sees_nonce_and_decision_in_one_request(
    client: MCPRouter, mcp: StandIn
) -> None:
    await client.call(call())
    before = asked.mark(mcp)
    await client.call(call(nonce="n-18", decision_id="d-18"))
    [seen] = before.since()
    assert (seen["nonce"], seen["decision"], seen["kind"]) == ("n-18", "d-18", "tools/call")
    assert (seen["tool"], seen["operation"]) == ("route_request", "standard")


async def test_a_template_shapes_the_arguments(mcp: StandIn) -> None:
    template = {"text": "<{operation}> {prompt}"}
    client = connect(lambda: at(mcp), arguments=template, tool="echo")
    answer = await client.call(call("is {system} a slot?", system="no"))
    assert answer.text == "<standard> is {system} a slot?"
    await client.close()


FAULTS: list[tuple[dict[str, Any], Failure]] = [
    ({"kind": "latency", "ms": 5000}, Failure.TIMEOUT),
    ({"kind": "hang"}, Failure.TIMEOUT),
    ({"kind": "malformed"}, Failure.PROTOCOL),
    ({"kind": "cut"}, Failure.OUTCOME_UNKNOWN),
    ({"kind": "reset"}, Failure.OUTCOME_UNKNOWN),
    ({"kind": "error", "status": 401}, Failure.REFUSED_CREDENTIALS),
    ({"kind": "error", "status": 403}, Failure.REFUSED_CREDENTIALS),
    ({"kind": "error", "status": 429}, Failure.THROTTLED),
    ({"kind": "error", "status": 405}, Failure.PROTOCOL),
    ({"kind": "error", "status": 500}, Failure.PROVIDER),
    ({"kind": "error", "status": 503}, Failure.PROVIDER),
    ({"kind": "error", "status": 504}, Failure.TIMEOUT),
    ({"kind": "error", "code": "-32601"}, Failure.PROTOCOL),
    ({"kind": "error", "code": "-32602"}, Failure.VALIDATION),
    ({"kind": "error", "code": "-32603"}, Failure.PROVIDER),
    ({"kind": "error", "code": "-32000"}, Failure.PROVIDER),
    ({"kind": "error", "code": "tool_error"}, Failure.TOOL_ERROR),
]


@pytest.mark.parametrize(("fault", "failure"), FAULTS)
async def test_each_fault_ends_in_time_after_one_request(
    client: MCPRouter, mcp: StandIn, fault: dict[str, Any], failure: Failure
) -> None:
    await client.call(call())
    mcp.fault(**fault)
    before = asked.mark(mcp)
    problem = await failed(client, timeout_s=0.8)
    assert (problem.failure, problem.sent) == (failure, True)
    assert len(before.since("tools/call")) == 1
    mcp.ask(do="clear")
    assert (await client.call(call())).text


@pytest.mark.parametrize(
    ("kind", "failure"), [("cut", Failure.TRUNCATED), ("reset", Failure.UNREACHABLE)]
)
async def test_an_idempotent_tool_has_no_unknown_outcome(
    mcp: StandIn, kind: str, failure: Failure
) -> None:
    client = connect(lambda: at(mcp), idempotent=True)
    await client.call(call())
    mcp.fault(kind=kind)
    assert (await failed(client)).failure is failure
    await client.close()


async def test_the_wait_that_a_server_asks_for_is_passed_on(
    client: MCPRouter, mcp: StandIn
) -> None:
    await client.call(call())
    mcp.fault(kind="error", status=429, retry_after_s=7)
    assert (await failed(client)).retry_after_s == 7


async def test_twenty_calls_get_their_own_answers(client: MCPRouter) -> None:
    alone = [(await client.call(call(f"number {n}"))).text for n in range(20)]
    answers = await asyncio.gather(*(client.call(call(f"number {n}")) for n in range(20)))
    assert [answer.text for answer in answers] == alone
    assert len(set(alone)) == 20


@pytest.mark.parametrize("kind", ["reset", "cut", "malformed", "error"])
async def test_failing_calls_leave_the_others_alone(
    client: MCPRouter, mcp: StandIn, kind: str
) -> None:
    await client.call(call())
    mcp.fault(kind=kind, share=0.4)
    before = asked.mark(mcp)
    found = await outcomes(*(client.call(call(f"number {n}")) for n in range(40)))
    arrived = {e["request"] for e in before.since()}
    await until(lambda: arrived <= asked.ended(mcp))  # booked after the caller has its answer
    struck = arrived & {e["request"] for e in asked.read(mcp) if e.get("fault")}
    assert sum(isinstance(one, PathError) for one in found) == len(struck) > 0
    assert sum(isinstance(one, Answer) for one in found) == 40 - len(struck) > 0


async def test_the_same_client_outlives_its_server(tmp_path: Folder) -> None:
    async with asked.nothing_left(), contextlib.AsyncExitStack() as stack:
        first = await start(tmp_path, 0)
        client = connect(
            lambda: f"http://127.0.0.1:{first.port}/development/mcp", probe_tool="echo"
        )
        stack.push_async_callback(client.close)
        await client.call(call())
        await first.stop()
        for _ in range(5):
            problem = await failed(client)
            assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
        began = time.monotonic()
        probe = await client.probe()
        assert time.monotonic() - began < 4
        assert [(stage.name, stage.ok) for stage in probe.stages] == [("connect", False)]
        again = await start(tmp_path, first.port)
        began = time.monotonic()
        found = await outcomes(*(client.call(call(f"number {n}")) for n in range(20)))
        assert all(isinstance(one, Answer) for one in found)
        assert time.monotonic() - began < 3
        assert (await client.probe()).ok
        await again.stop()


async def test_a_server_that_is_killed_leaves_its_calls_unknown(tmp_path: Folder) -> None:
    async with asked.nothing_left():
        server = await start(tmp_path, 0)
        client = connect(lambda: f"http://127.0.0.1:{server.port}/development/mcp")
        await client.call(call())
        server.stand_in.fault(kind="hang")
        before = asked.mark(server.stand_in)
        calls = [asyncio.create_task(client.call(call(timeout_s=10))) for _ in range(5)]
        await until(lambda: len(before.since()) == 5)
        server.stand_in.process.kill()
        for one in await outcomes(*calls):
            assert isinstance(one, PathError)
            assert one.failure is Failure.OUTCOME_UNKNOWN
        await server.stop()
        await client.close()


class Started:
    """A stand-in that is started and stopped without holding up the loop."""

    def __init__(self, stack: contextlib.ExitStack, stand_in: StandIn) -> None:
        self._stack = stack
        self.stand_in = stand_in
        self.port = stand_in.port

    async def stop(self) -> None:
        await asyncio.to_thread(self._stack.close)


async def start(home: Folder, port: int) -> Started:
    stack = contextlib.ExitStack()
    running = standin.running("mcp", home, port=port)
    return Started(stack, await asyncio.to_thread(stack.enter_context, running))


async def test_a_moved_server_is_found_and_calls_under_way_end_on_the_old_one(
    mcp: StandIn, tmp_path: Folder
) -> None:
    other = await start(tmp_path, 0)
    url = [at(mcp)]
    client = connect(lambda: url[0])
    mcp.fault(kind="latency", ms=800)
    before = asked.mark(mcp)
    slow = asyncio.create_task(client.call(call("a slow one")))
    await until(lambda: len(before.since("tools/call")) == 1)
    mcp.ask(do="clear")
    mcp.fault(kind="error", status=500)
    url[0] = at(other.stand_in)
    assert (await failed(client)).failure is Failure.PROVIDER  # it acted, so it is not repeated
    moved = asked.mark(other.stand_in)
    assert (await client.call(call())).text
    assert len(moved.since("tools/call")) == 1
    assert (await slow).text
    await client.close()
    await other.stop()


async def test_a_client_that_met_nobody_connects_when_somebody_is_there(tmp_path: Folder) -> None:
    server = await start(tmp_path, 0)
    await server.stop()
    client = connect(lambda: f"http://127.0.0.1:{server.port}/development/mcp")
    client.warm()
    assert (await failed(client)).failure is Failure.UNREACHABLE
    again = await start(tmp_path, server.port)
    assert (await client.call(call())).text
    await again.stop()
    await client.close()


async def test_a_caller_that_goes_ends_its_request_and_nobody_elses(
    client: MCPRouter, mcp: StandIn
) -> None:
    await client.call(call())
    mcp.fault(kind="hang", seconds=60)
    before = asked.mark(mcp)
    task = asyncio.create_task(client.call(call(timeout_s=30)))
    await until(lambda: len(before.since()) == 1)
    mcp.ask(do="clear")
    mcp.fault(kind="latency", ms=400)
    other = asyncio.create_task(client.call(call()))
    await until(lambda: len(before.since()) == 2)
    task.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 0.2
    [gone, _] = before.since()
    await until(lambda: gone["request"] in asked.ended(mcp))
    assert (await other).text


async def test_closing_ends_the_calls_under_way(mcp: StandIn) -> None:
    async with asked.nothing_left():
        client = connect(lambda: at(mcp))
        await client.call(call())
        mcp.fault(kind="hang", seconds=60)
        before = asked.mark(mcp)
        calls = [asyncio.create_task(client.call(call(timeout_s=30))) for _ in range(10)]
        await until(lambda: len(before.since()) == 10)
        began = time.monotonic()
        await client.close()
        assert time.monotonic() - began < 1
        for one in await outcomes(*calls):
            assert isinstance(one, PathError)
            assert one.failure is Failure.OUTCOME_UNKNOWN


async def test_a_probe_names_its_stages(client: MCPRouter) -> None:
    for most_ms in (1000, 100):
        probe = await client.probe()
        names = [stage.name for stage in probe.stages]
        assert names == ["connect", "discover", "list_tools", "echo"]
        assert probe.ok
        assert sum(stage.ms for stage in probe.stages) < most_ms
    assert len(client.tools_digest) == 64


async def test_a_probe_asks_the_server_each_time(client: MCPRouter, mcp: StandIn) -> None:
    await client.probe()
    before = asked.mark(mcp)
    await client.probe()
    kinds = [entry["kind"] for entry in before.since()]
    assert kinds == ["server/discover", "tools/list", "tools/call"]


async def test_a_probe_of_a_hanging_server_ends_and_names_the_stage(
    client: MCPRouter, mcp: StandIn
) -> None:
    await client.probe()
    mcp.fault(kind="hang", seconds=30)
    began = time.monotonic()
    probe = await client.probe()
    assert time.monotonic() - began < 4
    assert [(stage.name, stage.ok) for stage in probe.stages][-1] == ("discover", False)
    assert probe.stages[-1].detail


async def test_a_probe_misses_a_tool_that_is_not_there(mcp: StandIn) -> None:
    client = connect(lambda: at(mcp), tool="no_such_tool")
    probe = await client.probe()
    assert [(stage.name, stage.ok) for stage in probe.stages][-1] == ("list_tools", False)
    assert "no_such_tool" in probe.stages[-1].detail
    await client.close()


def test_the_loop_imports_nothing_once_the_sdks_are_loaded(mcp: StandIn, tmp_path: Folder) -> None:
    """In a process of its own: here, other tests have imported all of it."""
    program = f"""
import asyncio, sys
from django.conf import settings
settings.configure(HYBRIDOPS_HOME={str(tmp_path)!r})
from routing.paths import bedrock, mcp
from tests.verified_fakes.asked import call
from tests.verified_fakes.test_mcp_router import connect
bedrock.load_sdk()
mcp.load_sdk()
async def ask():
    client = connect(lambda: {at(mcp)!r}, probe_tool="echo")
    assert (await client.probe()).ok
    await client.call(call())
    await client.close()
before = set(sys.modules)
asyncio.run(ask())
print(sorted(set(sys.modules) - before))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == "[]", ran.stdout + ran.stderr
