"""Where MCPRouter goes, and where it never does: certificates, commands, names that change."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path as Folder

import httpx2
import pytest

from routing import wiring
from routing.core.values import Failure
from routing.paths import address, mcp_transport
from tests.verified_fakes import asked, hostile, issuers
from tests.verified_fakes.asked import call, failed
from tests.verified_fakes.issuers import Authority
from tests.verified_fakes.test_mcp_router import connect


@pytest.fixture
def authority(tmp_path: Folder, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that the client trusts besides those of the system."""
    made = issuers.authority(tmp_path, wiring.now())

    def trust() -> ssl.SSLContext:
        context = httpx2.create_ssl_context(trust_env=False)
        context.load_verify_locations(made.file)
        return context

    monkeypatch.setattr(mcp_transport, "trust", trust)
    return made


Bad = Callable[[Authority], ssl.SSLContext]
HERE = "127.0.0.1"
BAD: dict[str, Bad] = {
    "M14 expired": lambda a: a.server(HERE, today=wiring.now(), expired=True),
    "M14 wrong name": lambda a: a.server("127.0.0.2", today=wiring.now()),
    "M14 self-signed": lambda a: a.server(HERE, today=wiring.now(), own=True),
    "M14 TLS 1.0": lambda a: issuers.outdated(a.server(HERE, today=wiring.now())),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_server_without_a_good_certificate_is_told_nothing(
    authority: Authority, bad: Bad
) -> None:
    async with asked.nothing_left(), hostile.serving(hostile.modern(), bad(authority)) as server:
        client = connect(lambda: f"https://127.0.0.1:{server.port}")
        problem = await failed(client)
        assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
        assert any(word in problem.detail.lower() for word in ("certificate", "ssl", "tls"))
        assert not server.requests
        await client.close()


async def test_m14_a_good_certificate_is_enough(authority: Authority) -> None:
    """Without it the refusals would show nothing."""
    tls = authority.server(HERE, today=wiring.now())
    async with hostile.serving(hostile.modern(), tls) as server:
        client = connect(lambda: f"https://127.0.0.1:{server.port}")
        assert (await client.call(call())).text == "well"
        await client.close()


COMMANDS = [
    "stdio:server-everything",
    "stdio://npx/-y/server",
    "npx -y @modelcontextprotocol/server-everything",
    "/bin/sh -c id",
    "file:///bin/sh",
    "ws://127.0.0.1:1/mcp",
    "http://",
    "http://user:secret@127.0.0.1:1/mcp",
    "http://127.0.0.1:99999/mcp",
    "http://[::1/mcp",
    "",
]


@pytest.mark.parametrize("target", COMMANDS)
async def test_m22_there_is_no_door_for_commands(target: str) -> None:
    """Servers over stdio are not supported: no setting makes this process run anything."""
    children = _children()
    client = connect(lambda: target)
    problem = await failed(client)
    assert (problem.failure, problem.sent) == (Failure.DISABLED, False)
    assert "http://" in problem.detail and "secret" not in problem.detail
    probe = await client.probe()
    assert [(stage.name, stage.ok) for stage in probe.stages] == [("connect", False)]
    assert _children() == children
    await client.close()


def _children() -> set[str]:
    kept = Folder(f"/proc/{os.getpid()}/task").glob("*/children")
    return {child for file in kept for child in file.read_text().split()}


class Names:
    """A name server that gives its answers one after the other, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._answers = list(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


FORBIDDEN = [
    "127.0.0.1",
    "::1",
    "::ffff:127.0.0.1",
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "fe80::1",
    "fd00:ec2::254",
    "224.0.0.1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("place", FORBIDDEN)
@pytest.mark.parametrize("beside", [(), ("192.0.2.7",)], ids=["alone", "beside a good one"])
async def test_m23_a_name_that_leads_to_this_machine_or_a_clouds_own_leads_nowhere(
    place: str, beside: tuple[str, ...]
) -> None:
    async with hostile.serving(hostile.modern()) as server:
        url = f"http://mcp.example:{server.port}/mcp"
        client = connect(lambda: url, look=Names((*beside, place)))
        problem = await failed(client)
        assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
        assert "mcp.example" in problem.detail
        assert not (await client.probe()).ok
        assert server.connections == 0
        await client.close()


@pytest.mark.parametrize("target", ["http://169.254.169.254/mcp", "http://[fd00:ec2::254]/mcp"])
async def test_m23_no_settings_lead_to_a_clouds_metadata(target: str) -> None:
    client = connect(lambda: target)
    assert (await failed(client)).sent is False
    await client.close()


async def test_m23_the_address_that_was_looked_at_is_the_one_that_is_connected_to() -> None:
    """The second answer of the name server would lead elsewhere; nobody asks for it."""
    async with asked.nothing_left(), hostile.serving(hostile.modern()) as server:
        names = Names([HERE], ["127.0.0.9"])
        client = connect(lambda: f"http://mcp.localhost:{server.port}/mcp", look=names)
        for _ in range(3):
            assert (await client.call(call())).text == "well"
        assert names.asked == ["mcp.localhost"]
        assert server.requests[-1].headers["host"] == f"mcp.localhost:{server.port}"
        await client.close()


class Wire(httpx2.AsyncBaseTransport):
    """Remembers where requests go, and answers each call."""

    def __init__(self) -> None:
        self.sent: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(request)
        said = httpx2.ByteStream(b'{"jsonrpc": "2.0", "id": 1, "result": {}}')
        headers = {"content-type": "application/json"}
        return httpx2.Response(200, headers=headers, stream=said, request=request)


async def test_m23_a_changed_answer_is_judged_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "KEPT_S", 0.0)
    wire = Wire()
    names = Names(["203.0.113.5"], ["203.0.113.6"], ["127.0.0.1"])
    transport = mcp_transport.OneAnswer(wire, address.Addresses(names))
    statuses = []
    async with httpx2.AsyncClient(transport=transport) as http:
        for _ in range(3):
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
            answered = await http.post("https://mcp.example/mcp", json=body)
            statuses.append(answered.status_code)
    assert statuses == [200, 200, 503]
    assert [sent.url.host for sent in wire.sent] == ["203.0.113.5", "203.0.113.6"]
    for sent in wire.sent:
        assert sent.headers["host"] == "mcp.example"
        assert sent.extensions["sni_hostname"] == "mcp.example"  # the certificate's name too


async def test_the_next_address_is_tried_where_one_is_deaf() -> None:
    async with asked.nothing_left(), hostile.serving(hostile.modern()) as server:
        names = Names(["::1", HERE])
        client = connect(lambda: f"http://mcp.localhost:{server.port}/mcp", look=names)
        assert (await client.call(call())).text == "well"
        await client.close()


async def test_localhost_is_meant() -> None:
    async with hostile.serving(hostile.modern()) as server:
        client = connect(lambda: f"http://localhost:{server.port}", look=Names([HERE]))
        assert (await client.call(call())).text == "well"
        assert server.requests[-1].headers["host"] == f"localhost:{server.port}"
        await client.close()


async def test_a_name_that_nobody_knows_is_unreachable() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(-2, "Name or service not known")

    for look in (unknown, Names([])):
        client = connect(lambda: "http://mcp.example/mcp", look=look)
        problem = await failed(client)
        assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
        assert "mcp.example" in problem.detail
        await client.close()
