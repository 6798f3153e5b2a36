from __future__ import annotations

import time
from pathlib import Path

import pytest

from routing.core.values import EnvironmentName, Failure
from routing.paths import local
from routing.paths.base import PathError
from routing.paths.local import Upstream

STG = EnvironmentName.STAGING


def test_an_address_of_its_own_stays_as_it_is(tmp_path: Path) -> None:
    assert local.resolve("https://mcp.example.org/x", STG, home=tmp_path) == (
        "https://mcp.example.org/x"
    )


def test_a_stand_in_is_found_anew_at_every_look(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for port in (4001, 4002):
        local.keep(tmp_path, Upstream.BEDROCK, port)
        assert local.resolve("local:bedrock", STG, home=tmp_path) == (
            f"http://127.0.0.1:{port}/staging"
        )
    local.keep(tmp_path, Upstream.MCP, 5001)
    assert local.resolve("local:mcp", STG, home=tmp_path) == "http://127.0.0.1:5001/staging/mcp"
    assert local.ports(tmp_path) == {"bedrock": 4002, "mcp": 5001}


def test_an_address_that_another_process_wrote_is_found_soon(tmp_path: Path) -> None:
    local_run = tmp_path / "run"
    local_run.mkdir()
    local.keep(tmp_path, Upstream.BEDROCK, 4001)
    assert local.ports(tmp_path) == {"bedrock": 4001}
    (local_run / "upstreams.json").write_text('{"bedrock": {"port": 40022}}')
    ends = time.monotonic() + 5
    while local.ports(tmp_path) != {"bedrock": 40022}:
        assert time.monotonic() < ends


@pytest.mark.parametrize("target", ["local:bedrock", "local:", "local:redis", "local:../x"])
def test_an_unknown_stand_in_is_unreachable_and_nothing_was_sent(
    tmp_path: Path, target: str
) -> None:
    with pytest.raises(PathError) as caught:
        local.resolve(target, STG, home=tmp_path)
    assert caught.value.failure is Failure.UNREACHABLE
    assert caught.value.sent is False


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"bedrock": 7}', '{"bedrock": {"port": "x"}}', '{"mcp": {"port": 0}}']
)
def test_a_damaged_file_knows_no_address(tmp_path: Path, text: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "upstreams.json").write_text(text)
    assert local.ports(tmp_path) == {}
    local.keep(tmp_path, Upstream.MCP, 5001)
    assert local.ports(tmp_path) == {"mcp": 5001}
