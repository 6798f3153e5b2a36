from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.core.values import EnvironmentName, Path, Residency
from routing.fleet.queries import EnvironmentRow
from routing.paths import roster
from routing.paths.base import PathClient
from routing.paths.roster import Roster
from routing.paths.scripted import ScriptedClient

DEV, STG = EnvironmentName.DEVELOPMENT, EnvironmentName.STAGING
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP


class Scripted(Roster):
    """Makes scripted clients, where a real one would be made."""

    def _make(self, row: EnvironmentRow, path: Path) -> PathClient | None:
        return ScriptedClient(path=path) if row.target(path) else None


def row(name: EnvironmentName = DEV, **more: Any) -> EnvironmentRow:
    usual: Mapping[str, Any] = {
        "name": name,
        "version": 1,
        "residency": Residency.LOCAL,
        "bedrock_target": "local:bedrock",
        "bedrock_region": "local",
        "bedrock_model": "m",
        "mcp_target": "local:mcp",
        "mcp_tool": "t",
        "mcp_arguments": None,
        "mcp_idempotent": False,
        "thresholds": {},
    }
    return EnvironmentRow(**{**usual, **more})


@pytest.fixture
def made(tmp_path: Folder) -> Scripted:
    return Scripted(tmp_path)


def client(made: Roster, name: EnvironmentName, path: Path) -> ScriptedClient:
    found = made.client(name, path)
    assert isinstance(found, ScriptedClient)
    return found


async def test_what_is_not_configured_has_no_client(made: Scripted) -> None:
    made.adopt([row(mcp_target=""), row(STG)])
    assert made.client(DEV, MCP) is None
    assert made.client(DEV, DIRECT) is not None
    assert made.client(EnvironmentName.PRODUCTION, DIRECT) is None
    assert made.row(STG) is not None
    await made.close()


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({"version": 2}, set()),
        ({"version": 2, "thresholds": {"x": 1}}, set()),
        ({"version": 2, "thresholds": {"bedrock.operations": {}}}, {DIRECT}),
        ({"version": 2, "thresholds": {"probe.paid_usd_per_day": 1}}, {DIRECT}),
        ({"version": 2, "bedrock_model": "other"}, {DIRECT}),
        ({"version": 2, "bedrock_region": "eu-west-1"}, {DIRECT}),
        ({"version": 2, "mcp_tool": "other"}, {MCP}),
        ({"version": 2, "mcp_arguments": {"a": "{prompt}"}}, {MCP}),
        ({"version": 2, "mcp_idempotent": True}, {MCP}),
        ({"version": 2, "mcp_target": "https://mcp.example.org/"}, {MCP}),
    ],
)
async def test_only_what_changed_is_made_anew(
    made: Scripted, change: dict[str, Any], anew: set[Path]
) -> None:
    made.adopt([row(), row(STG)])
    before = {path: client(made, DEV, path) for path in Path}
    other = client(made, STG, DIRECT)
    made.adopt([replace(row(), **change), row(STG)])
    assert {path for path in Path if client(made, DEV, path) is not before[path]} == anew
    assert client(made, STG, DIRECT) is other
    await made.close()


async def test_an_old_client_is_closed_once_its_calls_had_time(
    made: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "GRACE_S", 0.0)
    made.adopt([row(), row(STG)])
    gone = [client(made, DEV, MCP), client(made, STG, MCP), client(made, STG, DIRECT)]
    kept = client(made, DEV, DIRECT)
    made.adopt([row(version=2, mcp_tool="other")])
    assert not any(one.closed for one in gone)
    closing = asyncio.all_tasks() - {asyncio.current_task()}
    async with asyncio.timeout(1):
        await asyncio.gather(*closing)
    assert all(one.closed for one in gone)
    assert not kept.closed
    await made.close()


async def test_closing_waits_for_no_old_client(made: Scripted) -> None:
    made.adopt([row()])
    old, direct = client(made, DEV, MCP), client(made, DEV, DIRECT)
    made.adopt([row(version=2, mcp_tool="other")])
    fresh = client(made, DEV, MCP)
    await made.close()
    assert (old.closed, fresh.closed, direct.closed) == (True, True, True)
    assert made.client(DEV, MCP) is None
    assert asyncio.all_tasks() == {asyncio.current_task()}
