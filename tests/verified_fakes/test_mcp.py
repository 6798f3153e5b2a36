"""The MCP stand-in, spoken to by the SDK's own client in both protocols, and by raw bytes."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.verified_fakes.standin import StandIn

MODERN = "2026-07-28"
ASK: dict[str, Any] = {
    "operation": "standard",
    "messages": [{"role": "user", "text": "how are you today"}],
    "system": "be brief",
    "max_tokens": 50,
}


@asynccontextmanager
async def connected(
    mcp: StandIn, mode: str = "auto", environment: str = "development"
) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(timeout=5) as http:
        transport = streamable_http_client(f"{mcp.url(environment)}/mcp", http_client=http)
        async with Client(transport, mode=mode, cache=None) as client:
            yield client


def text(result: Any) -> str:
    [block] = result.content
    assert block.type == "text"
    return str(block.text)


@pytest.mark.parametrize("mode", ["auto", "legacy", MODERN])
async def test_both_protocols_list_and_call_the_tools(mcp: StandIn, mode: str) -> None:
    async with connected(mcp, mode) as client:
        assert (client.protocol_version == MODERN) == (mode != "legacy")
        listed = await client.list_tools()
        assert {tool.name for tool in listed.tools} == {"route_request", "echo"}
        assert text(await client.call_tool("echo", {"text": "ping"})) == "ping"
        result = await client.call_tool("route_request", ASK)
    assert not result.is_error
    assert "local stand-in for an MCP server, not a model" in text(result)
    assert "read 6 words" in text(result)


async def test_the_tool_takes_what_its_schema_says(mcp: StandIn) -> None:
    async with connected(mcp) as client:
        tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
        schema = tools["route_request"]
        assert set(schema["properties"]) == {"operation", "messages", "system", "max_tokens"}
        assert set(schema["required"]) == {"operation", "messages"}
        wrong: tuple[dict[str, Any], ...] = (
            {"messages": "hello"},
            {"messages": []},
            {"messages": [{"role": "robot", "text": "x"}]},
            {"max_tokens": 0},
        )
        for change in wrong:
            result = await client.call_tool("route_request", ASK | change)
            assert result.is_error, change


async def test_the_same_prompt_gets_the_same_answer_within_the_limit(mcp: StandIn) -> None:
    async with connected(mcp) as client:
        once, again = [text(await client.call_tool("route_request", ASK)) for _ in range(2)]
        short = text(await client.call_tool("route_request", ASK | {"max_tokens": 3}))
    assert once == again
    assert short.split() == once.split()[:3]


async def test_the_journal_carries_the_nonce_and_no_prompt(mcp: StandIn) -> None:
    private = ASK | {"messages": [{"role": "user", "text": "a very private sentence"}]}
    meta: Any = {"hybridops/nonce": "nonce-9", "hybridops/decision": "d-9"}
    async with connected(mcp, environment="staging") as client:
        await client.call_tool("route_request", private, meta=meta)
    [arrived] = [
        line
        for line in mcp.journal("staging")
        if line["nonce"] == "nonce-9" and line["event"] == "arrived"
    ]
    assert (arrived["kind"], arrived["tool"]) == ("tools/call", "route_request")
    assert (arrived["operation"], arrived["decision"]) == ("standard", "d-9")
    assert arrived["prompt_bytes"] == len("be brief\na very private sentence")
    assert "private" not in json.dumps(mcp.journal("staging"))


def post(mcp: StandIn, body: bytes, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", mcp.port, timeout=5)
    named = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        **headers,
    }
    try:
        connection.request("POST", "/development/mcp", body, named)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, answer.read(), told
    finally:
        connection.close()


CALL = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 7,
        "method": "tools/call",
        "params": {"name": "echo", "arguments": {"text": "ping"}},
    }
).encode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example:{port}"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"content-type": "text/plain"}, 400),
    ],
)
def test_another_host_or_origin_is_refused(
    mcp: StandIn, headers: dict[str, str], status: int
) -> None:
    filled = {name: value.format(port=mcp.port) for name, value in headers.items()}
    assert post(mcp, CALL, **filled)[0] == status


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b'{"params":7}', b'{"method":["x"]}'])
def test_nonsense_is_refused_and_booked(mcp: StandIn, body: bytes) -> None:
    assert 400 <= post(mcp, body)[0] < 500
    assert mcp.last()["status"] is not None


def test_only_mcp_is_at_home_here(mcp: StandIn) -> None:
    with pytest.raises(httpx2.HTTPStatusError, match="404"):
        httpx2.post(f"{mcp.url()}/elsewhere", content=CALL).raise_for_status()
    with pytest.raises(httpx2.HTTPStatusError, match="404"):
        httpx2.post(f"http://127.0.0.1:{mcp.port}/mcp", content=CALL).raise_for_status()


@pytest.mark.parametrize(
    ("fault", "status"),
    [({}, 503), ({"status": 429, "retry_after_s": 3}, 429), ({"status": 401}, 401)],
)
async def test_an_error_is_an_http_status(
    mcp: StandIn, fault: dict[str, Any], status: int
) -> None:
    async with connected(mcp) as client:
        mcp.fault(kind="error", **fault)
        got, _, headers = post(mcp, CALL)
        assert got == status
        assert headers.get("retry-after") == ("3" if "retry_after_s" in fault else None)
        with pytest.raises(MCPError):
            await client.call_tool("echo", {"text": "x"})
        mcp.ask(do="clear")
        assert text(await client.call_tool("echo", {"text": "x"})) == "x"


async def test_an_error_may_be_json_rpcs_or_the_tools_own(mcp: StandIn) -> None:
    async with connected(mcp) as client:
        await client.list_tools()
        mcp.fault(kind="error", code="-32602")
        with pytest.raises(MCPError) as caught:
            await client.call_tool("echo", {"text": "x"})
        assert caught.value.code == -32602
        mcp.ask(do="clear")
        mcp.fault(kind="error", code="tool_error")
        result = await client.call_tool("echo", {"text": "x"})
        assert result.is_error


def raw(mcp: StandIn) -> tuple[bytes, bool]:
    """Return all bytes of one answer, and whether they ended by a reset."""
    head = (
        f"POST /development/mcp HTTP/1.1\r\nhost: 127.0.0.1:{mcp.port}\r\n"
        "content-type: application/json\r\naccept: application/json, text/event-stream\r\n"
        f"connection: close\r\ncontent-length: {len(CALL)}\r\n\r\n"
    )
    got = b""
    with socket.create_connection(("127.0.0.1", mcp.port), 5) as peer:
        peer.sendall(head.encode() + CALL)
        try:
            while part := peer.recv(65536):
                got += part
        except ConnectionResetError:
            return got, True
    return got, False


def test_a_healthy_answer_is_whole(mcp: StandIn) -> None:
    got, reset = raw(mcp)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body)["result"]["content"][0]["text"] == "ping"
    assert not reset


def test_malformed_is_no_json(mcp: StandIn) -> None:
    mcp.fault(kind="malformed")
    status, body, _ = post(mcp, CALL)
    assert status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


def test_cut_closes_in_the_middle_of_the_body(mcp: StandIn) -> None:
    mcp.fault(kind="cut")
    with pytest.raises(http.client.IncompleteRead):
        post(mcp, CALL)
    got, reset = raw(mcp)
    assert got.partition(b"\r\n\r\n")[2]
    assert not reset


def test_reset_is_a_reset(mcp: StandIn) -> None:
    mcp.fault(kind="reset")
    assert raw(mcp) == (b"", True)
    assert mcp.last()["fault"] == "reset"


def test_a_hang_answers_nothing_and_ends_with_its_fault(mcp: StandIn) -> None:
    mcp.fault(kind="hang", seconds=0.3)
    began = time.monotonic()
    assert raw(mcp) == (b"", False)
    assert time.monotonic() - began > 0.2


async def test_latency_waits_and_then_answers(mcp: StandIn) -> None:
    async with connected(mcp) as client:
        await client.call_tool("echo", {"text": "x"})
        mcp.fault(kind="latency", ms=250)
        began = time.monotonic()
        assert text(await client.call_tool("echo", {"text": "x"})) == "x"
        assert time.monotonic() - began >= 0.25
