"""A rollback against a real server: refused on a red target, verified on a proven one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import serving
from tests.e2e.serving import Server

REASON = "a rollback, for the test of it"
HEALTHY_WITHIN_S = 40.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("home")
    started = serving.start(home, HYBRIDOPS_ENVIRONMENTS="development", DATABASE_URL="")
    yield started
    serving.stop(started)


def roll_back(server: Server, target: str, *more: str) -> tuple[int, dict[str, Any], str]:
    command = [sys.executable, "manage.py", "roll_back", "--environment", "development"]
    command += ["--target", target, "--reason", REASON, "--json", *(more or ("--yes",))]
    done = subprocess.run(
        command, cwd=serving.ROOT, env=server.env, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert lines, f"exit {done.returncode}, nothing said: {done.stderr}"
    return done.returncode, json.loads(lines[-1]), done.stderr


def upstream(server: Server, which: str, verb: str) -> None:
    server.manage("upstream", which, verb)


def wait_until_planned(server: Server, target: str) -> dict[str, Any]:
    deadline = time.monotonic() + HEALTHY_WITHIN_S
    while True:
        status, told, _ = roll_back(server, target, "--plan-only")
        if status == 0:
            return told
        assert time.monotonic() < deadline, told


def flags(server: Server) -> dict[str, Any]:
    said = server.manage("flags", "--environment", "development")
    return {row["flag"]: (row["on"], row["version"]) for row in said}


def test_refused_while_red_verified_when_proven_and_back_the_other_way(server: Server) -> None:
    wait_until_planned(server, "mcp_only")
    upstream(server, "mcp", "stop")
    before = flags(server)

    status, told, said = roll_back(server, "mcp_only")
    assert status == 1 and told.get("end") is None
    refused = told.get("refused") or told["message"]
    assert "mcp" in refused and "Nothing was written" in refused
    assert any("direct-only" in one for one in told["alternatives"]), told
    assert flags(server) == before

    upstream(server, "mcp", "start")
    plan = wait_until_planned(server, "mcp_only")["plan"]
    status, told, said = roll_back(server, "mcp_only", "--confirm", plan["digest"])
    assert status == 0, (told, said)
    assert told["end"] == "verified"
    assert told["timings"]["decide_to_verified_ms"] > 0
    assert told["timings"]["written_to_processes_ms"] < 5_000
    went = {step["name"]: step["result"] for step in told["steps"]}
    assert went["effective_path"]["as_planned"] == went["effective_path"]["of"] >= 20
    assert len(went["preflight"]["proof"]) == 4

    upstream(server, "mcp", "stop")
    status, told, said = roll_back(server, "direct_only")
    assert status == 0, (told, said)
    assert told["end"] == "verified"
    proof = " ".join(told["steps"][0]["result"]["proof"])
    assert "past the router" in proof and "found in its request log" in proof

    assert server.manage("verify_audit")[-1]["ok"]
