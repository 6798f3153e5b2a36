"""Each check against a real server with real stand-ins: it proves, and its fault makes it fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routing.core.verdict import Suite
from routing.deployments.checks.runner import SUITES
from routing.deployments.faults import FAULTS
from tests.e2e import serving
from tests.e2e.serving import Server

# The server has tables of its own, whatever database the tests run on.
pytestmark = [pytest.mark.only_on("sqlite"), pytest.mark.timeout(240)]

CHECKS = [
    (suite, str(name)) for suite in (Suite.SMOKE, Suite.INTEGRATION) for name in SUITES[suite]
]
BREAKERS = "circuit_breaker_system"
BESIDE = [(suite, name) for suite, name in CHECKS if name != BREAKERS]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = serving.start(tmp_path_factory.mktemp("served"), HYBRIDOPS_SYNTHETIC="0")
    yield running
    serving.kill(running)


def deploy(server: Server, *more: str) -> tuple[int, dict[str, Any]]:
    """Run the command beside the server; return its status and what it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", "deploy", "--environment", "development", *more, "--json"],
        cwd=serving.ROOT,
        env=server.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def result(told: dict[str, Any], name: str) -> dict[str, Any]:
    return next(test for test in told["tests"] if test["name"] == name)


def failed(told: dict[str, Any]) -> set[str]:
    return {test["name"] for test in told["tests"] if test["status"] == "fail"}


@pytest.fixture(scope="module")
def succeeded(server: Server) -> dict[str, Any]:
    status, told = deploy(server, "--reason", "a first one")
    assert status == 0, told
    return told


class Bench:
    """The process beside the server."""

    def __init__(self, server: Server) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.deployments.bench"],
            cwd=serving.ROOT,
            env=server.env | {"PYTHONPATH": str(serving.ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **order: str) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the bench died over {order}"
        found: dict[str, Any] = json.loads(answer)
        return found


@pytest.fixture(scope="module")
def bench(server: Server, succeeded: dict[str, Any]) -> Iterator[Bench]:
    made = Bench(server)
    yield made
    assert made.process.stdin is not None
    made.process.stdin.close()
    assert made.process.wait(10) == 0
    assert made.process.stdout is not None
    made.process.stdout.close()


def test_every_check_has_its_fault() -> None:
    assert set(FAULTS) == {name for _, name in CHECKS}


def test_a_sound_installation_succeeds_with_proof_of_everything(
    succeeded: dict[str, Any],
) -> None:
    assert succeeded["verdict"] == "succeeded" and succeeded["stage"] == "closed"
    assert {(t["status"], t["evidence"]) for t in succeeded["tests"]} == {("pass", "proven")}
    assert {t["name"] for t in succeeded["tests"]} >= {name for _, name in CHECKS}
    assert not succeeded["findings"] and not succeeded["errors"]
    written = Path(succeeded["document"]).read_text()
    assert "- **Status**: SUCCESS" in written and succeeded["deployment_id"] in written


@pytest.mark.parametrize(("suite", "name"), BESIDE, ids=[name for _, name in BESIDE])
def test_its_fault_turns_the_check_to_fail(suite: Suite, name: str, bench: Bench) -> None:
    bench.ask(do="plant", name=name)
    try:
        found = bench.ask(do="check", suite=str(suite), name=name)
    finally:
        bench.ask(do="heal")
    assert found["status"] == "fail", found
    assert found["error"] or found["expected"] != found["actual"]


def test_another_route_fails_with_expected_and_actual(server: Server, bench: Bench) -> None:
    server.manage(
        "set_route", "emergency", "--environment", "development", "--primary", "mcp",
        "--reason", "a wrong one", "--confirm",
    )  # fmt: skip
    status, told = deploy(server, "--reason", "with another route")
    server.manage(
        "set_route", "emergency", "--environment", "development", "--primary", "direct_bedrock",
        "--reason", "the right one", "--confirm",
    )  # fmt: skip
    assert status == 1 and told["verdict"] == "failed"
    for name in ("IntelligentRouter.routing_decision_basic", "routing_matrix.emergency"):
        test = result(told, name)
        assert test["expected"] == "emergency to direct_bedrock"
        assert test["actual"] == "emergency to mcp"
        assert test["kind"] == "rule" and test["evidence"] == "proven"
    assert failed(told) == {"IntelligentRouter.routing_decision_basic", "routing_matrix.emergency"}
    assert "- **Status**: FAILED" in Path(told["document"]).read_text()


def test_a_flag_that_somebody_changed_fails_with_its_entry_and_is_left(
    server: Server, bench: Bench
) -> None:
    (changed,) = server.manage(
        "set_flag", "--flag", "ENABLE_BEDROCK_SUPPORT_MODE", "--on",
        "--environment", "development", "--reason", "somebody's",
    )  # fmt: skip
    status, told = deploy(server, "--reason", "over a changed flag")
    assert status == 1 and told["verdict"] == "failed"
    test = result(told, "flag_configuration")
    assert failed(told) == {"flag_configuration"}
    assert f"entry {changed['entry']}" in test["actual"] and test["kind"] == "flag"
    assert test["expected"] == "ENABLE_BEDROCK_SUPPORT_MODE off"
    assert result(told, "BedrockSupportManager.support_mode_basic")["status"] == "pass"

    status, told = deploy(server, "--reason", "back to the release", "--restore-flags")
    assert status == 0 and [f["code"] for f in told["findings"]] == ["flag_restored"]


def test_a_dead_path_fails_and_opens_its_breaker(server: Server, bench: Bench) -> None:
    server.manage("upstream", "mcp", "stop", "--reason", "a dead path")
    status, told = deploy(server, "--reason", "with a dead path")
    server.manage("upstream", "mcp", "start", "--reason", "alive again")
    assert status == 1 and told["verdict"] == "failed"
    assert {"MCPRouter.mcp_connection", BREAKERS, "routing_matrix.standard"} <= failed(told)
    assert result(told, "DirectBedrockClient.direct_connection")["status"] == "pass"
    assert "the breaker of mcp is open" in result(told, BREAKERS)["actual"]
    assert result(told, "routing_matrix.standard")["kind"] == "health_fallback"


def test_without_a_server_it_is_inconclusive_and_nothing_is_written(
    server: Server, bench: Bench
) -> None:
    """The last one: it ends the server."""
    before = server.manage("flags", "--environment", "development")
    serving.stop(server)
    status, told = deploy(server, "--reason", "without a server")
    assert status == 1 and told["verdict"] == "inconclusive"
    assert {(t["status"], t["evidence"]) for t in told["tests"]} == {("skip", "unproven")}
    assert server.manage("flags", "--environment", "development") == before
    (verified,) = server.manage("verify_audit")
    assert verified["ok"] is True
    assert os.path.exists(told["document"])  # noqa: PTH110
