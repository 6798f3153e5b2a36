"""What MCPRouter makes of HTTP itself: statuses, hints, redirects, cookies, proxies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from routing.core.values import Failure
from routing.paths.mcp import MCPRouter
from tests.verified_fakes import asked, hostile
from tests.verified_fakes.asked import call, failed
from tests.verified_fakes.hostile import Behave, Server, reply
from tests.verified_fakes.list_m import HTML
from tests.verified_fakes.test_mcp_hostile import answered, writing
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


STATUSES = {
    301: Failure.PROTOCOL,
    302: Failure.PROTOCOL,
    307: Failure.PROTOCOL,
    308: Failure.PROTOCOL,
    400: Failure.VALIDATION,
    401: Failure.REFUSED_CREDENTIALS,
    403: Failure.REFUSED_CREDENTIALS,
    404: Failure.PROTOCOL,
    405: Failure.PROTOCOL,
    408: Failure.TIMEOUT,
    413: Failure.VALIDATION,
    418: Failure.PROTOCOL,
    429: Failure.THROTTLED,
    500: Failure.PROVIDER,
    503: Failure.PROVIDER,
    504: Failure.TIMEOUT,
}


def item(status: int) -> str:
    """Name the item of list M that a status belongs to."""
    numbers = {401: "M10 ", 403: "M10 ", 301: "M11 ", 302: "M11 ", 307: "M11 ", 308: "M11 "}
    return f"{numbers.get(status, '')}{status}"


@pytest.mark.parametrize(
    ("status", "failure"), STATUSES.items(), ids=[item(status) for status in STATUSES]
)
@pytest.mark.parametrize("connected", [True, False])
async def test_each_status_is_judged_and_nothing_it_names_is_fetched(
    client: MCPRouter, server: Server, status: int, failure: Failure, connected: bool
) -> None:
    if connected:
        await client.call(call())
    async with hostile.serving(hostile.modern()) as trap:
        pointer = f'Bearer resource_metadata="{trap.url}/.well-known"'
        refusal = reply(status, HTML, location=trap.url, www_authenticate=pointer)
        said = hostile.saying(refusal)
        server.behave = hostile.modern(said) if connected else said
        problem = await failed(client)
        assert problem.sent is connected
        if not connected and failure is Failure.VALIDATION:
            failure = Failure.PROTOCOL  # nobody's request was wrong yet
        assert problem.failure is failure
        assert not trap.connections


async def test_a_json_rpc_error_at_a_status_is_read(client: MCPRouter, server: Server) -> None:
    server.behave = hostile.modern(writing(lambda r: hostile.error(r, -32602, "bad", 400)))
    problem = await failed(client)
    assert (problem.failure, problem.detail) == (Failure.VALIDATION, "-32602: bad")


@pytest.mark.parametrize("hint", ["", "-5", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 400])
async def test_m12_a_hint_that_says_nothing_is_none(
    client: MCPRouter, server: Server, hint: str
) -> None:
    await client.call(call())
    server.behave = hostile.modern(hostile.saying(reply(429, {}, retry_after=hint)))
    assert (await failed(client)).retry_after_s is None


@pytest.mark.parametrize(
    "behave", [hostile.saying(reply(401)), hostile.saying(reply(429)), hostile.cut, hostile.reset]
)
async def test_an_outage_at_the_greeting_is_no_word_about_the_protocol(
    client: MCPRouter, server: Server, behave: Behave
) -> None:
    server.behave = hostile.modern(server_discover=behave, initialize=hostile.hanging())
    assert (await failed(client, timeout_s=3)).sent is False
    assert not server.of("initialize")
    server.behave = hostile.modern()
    assert (await client.call(call())).text == "well"


@pytest.mark.parametrize("place", ["/elsewhere", "http://127.0.0.1:{own}/", "http://[::1]:{own}/"])
async def test_m11_a_redirect_in_a_circle_or_to_this_machine_is_met_once(
    client: MCPRouter, server: Server, place: str
) -> None:
    await client.call(call())
    said = hostile.saying(reply(307, b"", location=place.format(own=server.port)))
    server.behave = hostile.modern(said)
    assert (await failed(client)).failure is Failure.PROTOCOL
    assert len(server.of("tools/call")) == 2


async def test_m21_cookies_and_sessions_that_nobody_asked_for_are_not_kept(
    client: MCPRouter, server: Server
) -> None:
    server.behave = hostile.modern(
        writing(lambda r: reply(200, answered(r), set_cookie="a=b", mcp_session_id="evil"))
    )
    await client.call(call())
    await client.call(call())
    assert "cookie" not in server.requests[-1].headers
    assert "mcp-session-id" not in server.requests[-1].headers


async def test_proxies_of_the_environment_are_not_asked(
    client: MCPRouter, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with hostile.serving(hostile.modern()) as trap:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, trap.url)
            monkeypatch.setenv(name.lower(), trap.url)
        assert (await client.call(call())).text == "well"
        assert trap.connections == 0


async def test_a_server_that_is_ill_keeps_its_client(
    client: MCPRouter, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Greeting it anew would only meet the same illness, and end every call that waits for it."""
    monkeypatch.setattr("routing.paths.mcp.RENEW_S", 0.0)
    await client.call(call())
    server.behave = hostile.modern(hostile.saying(reply(503)))
    for _ in range(3):
        assert (await failed(client)).sent
    server.behave = hostile.modern()
    assert (await client.call(call())).text == "well"
    assert len(server.of("server/discover")) == 1
