"""MCPRouter connects to, lists, pins and calls tools of servers that others wrote."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from routing.changes import tools
from routing.changes.tool_watch import ToolWatch
from routing.core import pinning
from routing.core.pinning import Drift
from routing.core.values import EnvironmentName, Failure, Path
from routing.fleet import queries, store
from routing.fleet.store import PathSettings
from routing.paths.base import PathError
from routing.paths.mcp import MCPRouter
from routing.paths.roster import Roster
from tests.integration.changes.ground import NOW, OPERATOR, lay
from tests.integration.paths import foreign
from tests.integration.paths.foreign import DUCKDB, EVERYTHING, Foreign, Running
from tests.verified_fakes.asked import call, failed

# No table of the vendor's matters here, so one database will do.
pytestmark = [pytest.mark.only_on("sqlite"), pytest.mark.django_db(transaction=True)]
DEV = EnvironmentName.DEVELOPMENT
ASKED = {EVERYTHING.name: "a word for you", DUCKDB.name: "select 6 * 7 as answer"}


def rightly(server: Foreign, text: str) -> bool:
    """Tell whether `text` is what the server's documentation promises."""
    if server is EVERYTHING:
        return text == "Echo: a word for you"
    said = json.loads(text)
    return bool(said["columns"] == ["answer"] and said["rows"] == [[42]])


@pytest.fixture(
    scope="module",
    params=[pytest.param(EVERYTHING, marks=pytest.mark.needs("npm")), DUCKDB],
    ids=lambda server: server.name,
)
def server(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with foreign.running(request.param, tmp_path_factory.mktemp("foreign")) as made:
        yield made


def configure(url: str, server: Foreign) -> None:
    """Set the path of development: address, tool, template of arguments, calls at once."""
    lay()
    row = queries.environment(DEV)
    kept = {name: value for name, value in asdict(row).items() if name not in ("name", "version")}
    settings = PathSettings(
        **{
            **kept,
            "mcp_target": url,
            "mcp_tool": server.tool,
            "mcp_arguments": dict(server.arguments),
            "thresholds": {"mcp.at_once": server.at_once},
        }
    )
    store.update(DEV, base_version=row.version, settings=settings)


@pytest.fixture
async def roster(server: Running, _own_snapshot: None, tmp_path: Any) -> AsyncIterator[Roster]:
    await sync_to_async(configure)(server.url, server.server)
    made = Roster(tmp_path)
    made.adopt(await sync_to_async(queries.environments)())
    yield made
    await made.close()


def client_of(roster: Roster) -> MCPRouter:
    client = roster.client(DEV, Path.MCP)
    assert isinstance(client, MCPRouter)
    return client


async def answer(client: MCPRouter, server: Running) -> str:
    return (await client.call(call(ASKED[server.server.name], timeout_s=10))).text


async def test_it_is_found_in_good_health_and_called_by_a_template(
    roster: Roster, server: Running
) -> None:
    client = client_of(roster)
    probe = await client.probe()
    assert [(stage.name, stage.ok) for stage in probe.stages] == [
        ("connect", True),
        ("discover", True),
        ("list_tools", True),
    ], probe
    assert rightly(server.server, await answer(client, server))
    texts = await asyncio.gather(*(answer(client, server) for _ in range(20)))
    assert [text for text in texts if not rightly(server.server, text)] == []


async def test_its_tools_are_pinned_and_stand_after_a_new_connection(
    roster: Roster, server: Running
) -> None:
    client = client_of(roster)
    await answer(client, server)
    watch = ToolWatch(environments=[DEV], client=roster.client, clock=lambda: NOW)
    await sync_to_async(watch.keep)([DEV])
    row = await sync_to_async(tools.current)(DEV)
    assert row.pin.tool in row.pin.tools
    assert row.pin.contract["description"]
    second = Roster(server.log.parent)
    second.adopt(await sync_to_async(queries.environments)())
    client_of(second).adopt(row.pin)
    assert rightly(server.server, await answer(client_of(second), server))
    seen = client_of(second).listing
    assert seen is not None and seen.digest == row.pin.digest
    await second.close()


async def test_it_is_not_called_once_its_tool_differs_until_it_is_accepted(
    roster: Roster, server: Running
) -> None:
    """What is pinned is an older word of the tool: to us, the server has changed."""
    client = client_of(roster)
    await answer(client, server)
    assert client.listing is not None and client.listing.contract is not None
    older = replace(
        client.listing,
        digest="0" * 64,
        contract={**client.listing.contract, "description": "What it said before."},
    )
    see = sync_to_async(tools.see)
    await see(now=NOW, environment=DEV, target=server.url, seen=older)
    watch = ToolWatch(environments=[DEV], client=roster.client, clock=lambda: NOW)
    await sync_to_async(watch.keep)([DEV])
    watch.hand_out()
    problem = await failed(client)
    assert (problem.failure, problem.sent) == (Failure.DISABLED, False)
    row = await sync_to_async(tools.current)(DEV)
    assert (row.pin.drift, row.difference.parts) == (Drift.TOOL, ("description",))
    await sync_to_async(tools.accept)(
        by=OPERATOR, now=NOW, environment=DEV, digest=row.seen.digest, reason="read and found good"
    )
    await sync_to_async(watch.read)()
    watch.hand_out()
    assert rightly(server.server, await answer(client, server))


async def test_it_may_be_killed_and_started_anew_under_its_client(
    roster: Roster, server: Running
) -> None:
    """Its sessions die with it; the client greets it anew, once, and the call is answered."""
    client = client_of(roster)
    assert rightly(server.server, await answer(client, server))
    await asyncio.to_thread(server.stop)
    problem = await failed(client)
    assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
    await asyncio.to_thread(server.start)
    assert rightly(server.server, await answer(client, server))
    assert (await client.probe()).ok


async def test_a_tool_that_it_lacks_is_named(roster: Roster, server: Running) -> None:
    client = MCPRouter(target=server.url, tool="no_such_tool", endpoint=lambda: server.url)
    with pytest.raises(PathError, match="no tool named no_such_tool"):
        await client.call(call())
    assert client.listing is not None and pinning.pin(client.listing) is None
    await client.close()
