"""MCPRouter beside the bare client of the SDK, against one server of the SDK, in one run.

    .venv/bin/python bench/mcp_path.py [--runs 5] [--calls 600] [--json]

Prints calls per second and latency of both at 1 and at 16 calls at once, run by run in turn, then
medians, spread and ratios. A client's share of the processor goes into its figures: the server is
a process of its own. It exits 1 where a call fails, never for a slow one: a shared machine says
nothing about absolute figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = "route_request"
PROMPT = "x" * 200
AT_ONCE = (1, 16)
WARM_UP = 50
Ask = Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one client; times in ms, `cpu_ms` of this process for each call."""

    client: str
    at_once: int
    calls_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


def serve(port: int) -> None:
    """Serve one tool over streamable HTTP with the SDK's own server, until killed."""
    import uvicorn
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("bench", log_level="ERROR")

    @server.tool(name=TOOL)
    async def route_request(
        operation: str, messages: list[dict[str, str]], system: str, max_tokens: int
    ) -> str:
        return messages[-1]["text"]

    app = server.streamable_http_app(stateless_http=True, json_response=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


async def measure(client: str, ask: Ask, at_once: int, calls: int) -> Measured:
    """Make `calls` calls, so many at a time; raises what a call raises."""
    for _ in range(WARM_UP):
        await ask()
    took: list[float] = []
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            began = time.perf_counter()
            said = await ask()
            took.append((time.perf_counter() - began) * 1000)
            if said != PROMPT:
                raise SystemExit(f"{client} answered something else: {said[:80]!r}")

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return Measured(
        client=client,
        at_once=at_once,
        calls_s=calls / wall,
        p50_ms=statistics.median(took),
        p99_ms=sorted(took)[int(len(took) * 0.99)],
        cpu_ms=cpu * 1000 / calls,
    )


async def run(url: str, runs: int, calls: int) -> list[Measured]:
    """Measure both clients in turn, each over a connection that it keeps."""
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    from routing.core.values import EnvironmentName, Operation
    from routing.paths import mcp as ours
    from routing.paths.base import Call, Message

    await asyncio.to_thread(ours.load_sdk)
    arguments = {
        "operation": "standard",
        "messages": [{"role": "user", "text": PROMPT}],
        "system": "",
        "max_tokens": 64,
    }
    call = Call(
        environment=EnvironmentName.DEVELOPMENT,
        operation=Operation.STANDARD,
        messages=(Message(role="user", text=PROMPT),),
        max_tokens=64,
        timeout_s=30.0,
        decision_id="bench",
    )
    router = ours.MCPRouter(target="bench", tool=TOOL, endpoint=lambda: url)
    found: list[Measured] = []
    async with (
        httpx2.AsyncClient(trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as bare,
    ):

        async def by_sdk() -> str:
            result = await bare.call_tool(TOOL, arguments)
            return str(result.content[0].text)  # type: ignore[union-attr]

        async def by_router() -> str:
            return (await router.call(call)).text

        pair: list[tuple[str, Ask]] = [("sdk", by_sdk), ("router", by_router)]
        for number in range(runs):
            for at_once in AT_ONCE:
                for name, ask in pair if number % 2 else reversed(pair):
                    found.append(await measure(name, ask, at_once, calls))
                    print(_line(found[-1]), file=sys.stderr, flush=True)
    await router.close()
    return found


def summary(found: list[Measured]) -> list[str]:
    """Return medians with their spread, and the ratios that the goals are about."""
    lines = []
    for at_once in AT_ONCE:
        for name in ("sdk", "router"):
            own = [one for one in found if (one.client, one.at_once) == (name, at_once)]
            rates = [one.calls_s for one in own]
            p50s = [one.p50_ms for one in own]
            lines.append(
                f"{name:<6} c={at_once:<2} {statistics.median(rates):7.0f} calls/s "
                f"({min(rates):.0f}-{max(rates):.0f}), p50 {statistics.median(p50s):.2f} ms "
                f"({min(p50s):.2f}-{max(p50s):.2f}), "
                f"cpu {statistics.median(one.cpu_ms for one in own):.2f} ms a call"
            )
        lines.append(f"router / sdk at c={at_once}: {_ratio(found, at_once):.0%} of the calls/s")
    return lines


def _ratio(found: list[Measured], at_once: int) -> float:
    """Return the median over the runs of what the router reached of the SDK's rate."""
    rates = {
        name: [one.calls_s for one in found if (one.client, one.at_once) == (name, at_once)]
        for name in ("sdk", "router")
    }
    return statistics.median(r / s for s, r in zip(rates["sdk"], rates["router"], strict=True))


def _line(one: Measured) -> str:
    return f"{one.client:<6} c={one.at_once:<2} {one.calls_s:7.0f} calls/s p50 {one.p50_ms:.2f} ms"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _started(port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--serve", str(port)]
    server = subprocess.Popen(command)
    ends = time.monotonic() + 60
    while time.monotonic() < ends and server.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.1)
    raise SystemExit("The server did not start; see what it said above.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--json", action="store_true", help="print every run as JSON")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    sys.path.insert(0, str(ROOT))
    from django.conf import settings

    settings.configure(HYBRIDOPS_HOME=tempfile.gettempdir())
    port = _free_port()
    server = _started(port)
    try:
        found = asyncio.run(run(f"http://127.0.0.1:{port}/mcp", given.runs, given.calls))
    finally:
        server.kill()
        server.wait()
    machine = f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}"
    if given.json:
        for one in found:
            print(json.dumps({"machine": machine, **asdict(one)}))
        return
    print(f"{machine}; {given.runs} runs of {given.calls} calls, {len(PROMPT)}-byte prompts")
    print("\n".join(summary(found)))


if __name__ == "__main__":
    main()
