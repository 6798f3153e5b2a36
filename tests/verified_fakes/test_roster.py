"""The clients that a server makes at its start, ready before anybody asks."""

from __future__ import annotations

import asyncio
from pathlib import Path as Folder

import pytest

from routing.core.values import EnvironmentName, Path
from routing.fleet.queries import EnvironmentRow
from routing.paths import local
from routing.paths.base import PathClient
from routing.paths.local import Upstream
from routing.paths.mcp import MCPRouter
from routing.paths.roster import Roster
from routing.paths.turns import AT_ONCE, LONGEST
from tests.unit.paths.test_roster import row
from tests.verified_fakes import asked
from tests.verified_fakes.asked import MODEL, call
from tests.verified_fakes.standin import StandIn

REAL = {"bedrock_region": "eu-central-1", "bedrock_model": MODEL, "mcp_tool": "route_request"}


@pytest.fixture
def home(tmp_path: Folder, bedrock: StandIn, mcp: StandIn) -> Folder:
    (tmp_path / "run").mkdir()
    local.keep(tmp_path, Upstream.BEDROCK, bedrock.port)
    local.keep(tmp_path, Upstream.MCP, mcp.port)
    return tmp_path


def rows() -> list[EnvironmentRow]:
    return [row(name, **REAL) for name in EnvironmentName]


async def test_the_first_probe_of_every_client_is_good_at_once(home: Folder) -> None:
    async with asked.nothing_left():
        roster = Roster(home)
        roster.adopt(rows())
        clients = [found(roster, name, path) for name in EnvironmentName for path in Path]
        for probe in await asyncio.gather(*(client.probe() for client in clients)):
            assert probe.ok, probe
        await roster.close()


async def test_each_environment_reaches_its_own_part_of_a_stand_in(
    home: Folder, bedrock: StandIn, mcp: StandIn
) -> None:
    roster = Roster(home)
    roster.adopt(rows())
    for stand_in, path in ((bedrock, Path.DIRECT_BEDROCK), (mcp, Path.MCP)):
        client = found(roster, EnvironmentName.STAGING, path)
        await client.call(call(nonce=f"only {path}"))
        assert f"only {path}" in {entry["nonce"] for entry in stand_in.journal("staging")}
        assert f"only {path}" not in {entry["nonce"] for entry in asked.read(stand_in)}
    await roster.close()


async def test_a_roster_without_stand_ins_makes_clients_that_say_so(tmp_path: Folder) -> None:
    async with asked.nothing_left():
        roster = Roster(tmp_path)
        roster.adopt(rows())
        for path in Path:
            client = found(roster, EnvironmentName.PRODUCTION, path)
            problem = await asked.failed(client)
            assert "No address is known" in problem.detail
            assert not (await client.probe()).ok
        await roster.close()


@pytest.mark.parametrize(
    ("limits", "bounds"),
    [
        ({}, (AT_ONCE, LONGEST)),
        ({"mcp.at_once": 2, "mcp.line": 3}, (2, 3)),
        ({"mcp.at_once": 0, "mcp.line": "many"}, (AT_ONCE, LONGEST)),
    ],
)
async def test_an_environment_says_how_many_calls_its_server_gets(
    tmp_path: Folder, limits: dict[str, object], bounds: tuple[int, int]
) -> None:
    roster = Roster(tmp_path)
    roster.adopt([row(mcp_target="http://127.0.0.1:9/mcp", thresholds=limits)])
    client = found(roster, EnvironmentName.DEVELOPMENT, Path.MCP)
    assert isinstance(client, MCPRouter)
    line = client.line()
    assert (line.at_once, line.longest) == bounds
    roster.adopt([row(mcp_target="http://127.0.0.1:9/mcp", thresholds={"mcp.at_once": 7})])
    again = found(roster, EnvironmentName.DEVELOPMENT, Path.MCP)
    assert isinstance(again, MCPRouter)
    assert again.line().at_once == 7
    await roster.close()


def found(roster: Roster, name: EnvironmentName, path: Path) -> PathClient:
    client = roster.client(name, path)
    assert client is not None
    return client
