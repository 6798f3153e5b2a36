"""Residency is judged from the settings that the client was made from, again at every call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from routing.compliance.borders import Borders
from routing.core.values import EnvironmentName, Path, Residency
from routing.fleet.queries import EnvironmentRow

PRODUCTION = EnvironmentName.PRODUCTION
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
ROW = EnvironmentRow(
    name=PRODUCTION,
    version=1,
    residency=Residency.EU,
    bedrock_target="aws",
    bedrock_region="eu-central-1",
    bedrock_model="amazon.nova-lite-v1:0",
    mcp_target="https://mcp.example.org/mcp",
    mcp_tool="route_request",
    mcp_arguments=None,
    mcp_idempotent=False,
    thresholds={"mcp.region": "DE"},
)


class Settings:
    def __init__(self) -> None:
        self.row = ROW

    def borders(self) -> Borders[str]:
        return Borders(row=lambda _: self.row, client=lambda _, path: f"client of {path}")


def test_a_change_of_settings_shuts_a_path_for_what_was_decided_before_it() -> None:
    settings = Settings()
    borders = settings.borders()
    assert borders.client(PRODUCTION, DIRECT) == "client of direct_bedrock"
    settings.row = replace(ROW, bedrock_region="us-east-1")
    assert borders.client(PRODUCTION, DIRECT) is None
    assert "us-east-1" in borders.breach(PRODUCTION, DIRECT)
    assert borders.client(PRODUCTION, MCP) is not None
    settings.row = ROW
    assert borders.breach(PRODUCTION, DIRECT) == ""


def test_each_path_is_judged_by_its_own_declaration() -> None:
    settings = Settings()
    settings.row = replace(ROW, thresholds={"bedrock.endpoint_region": "DE"})
    borders = settings.borders()
    assert borders.residence(PRODUCTION, DIRECT).allowed
    assert "declare it" in borders.breach(PRODUCTION, MCP)


def test_a_path_without_a_client_breaks_nothing_and_one_without_settings_is_shut() -> None:
    nobody = Borders[str](row=lambda _: None, client=lambda _, __: None)
    assert nobody.breach(PRODUCTION, MCP) == ""
    unset = Borders[str](row=lambda _: None, client=lambda _, __: "client")
    assert unset.client(PRODUCTION, MCP) is None


def test_a_breach_is_logged_once_until_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings()
    borders = settings.borders()
    borders.tell([PRODUCTION])
    settings.row = replace(ROW, bedrock_region="us-east-1")
    for _ in range(3):
        borders.tell([PRODUCTION])
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    settings.row = replace(ROW, bedrock_region="us-west-2")
    borders.tell([PRODUCTION])
    assert "us-west-2" in caplog.text
