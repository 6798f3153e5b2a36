"""Each check against a real server with real stand-ins: it proves, and its fault makes it fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
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
ROUTING = "IntelligentRouter.routing_decision_basic"
SUPPORT = "ENABLE_BEDROCK_SUPPORT_MODE"
BESIDE = [(suite, name) for suite, name in CHECKS if name != BREAKERS]


@dataclass(slots=True)
class Host:
    """One home and the server that runs on it now."""

    running: Server

    @property
    def env(self) -> dict[str, str]:
        return self.running.env

    def manage(self, *arguments: str) -> list[dict[str, Any]]:
        return self.running.manage(*arguments)

    def kill(self) -> None:
        serving.kill(self.running)

    def stop(self) -> None:
        self.running.process.terminate()
        assert self.running.process.wait(30) == 0, self.running.log()

    def start_again(self) -> None:
        self.running = serving.start(self.running.home)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    host = Host(serving.start(tmp_path_factory.mktemp("served")))
    yield host
    host.kill()


def deploy(server: Host, *more: str) -> tuple[int, dict[str, Any]]:
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
def succeeded(server: Host) -> dict[str, Any]:
    status, told = deploy(server, "--reason", "a first one")
    assert status == 0, told
    return told


class Bench:
    """The process beside the server."""

    def __init__(self, server: Host) -> None:
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
def bench(server: Host, succeeded: dict[str, Any]) -> Iterator[Bench]:
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


def obeyed(server: Host, version: int) -> dict[str, Any]:
    """Return what the running server says of its policy once it obeys that version."""
    deadline = time.monotonic() + 15
    while True:
        (told,) = server.manage("status", "--environment", "development")
        found: dict[str, Any] = told["environments"]["development"]["compliance"]
        if found["version"] >= version or time.monotonic() > deadline:
            return found


def test_a_running_server_obeys_a_new_policy_and_the_check_proves_it(
    server: Host, bench: Bench
) -> None:
    change = ("compliance", "set", "--environment", "development", "--confirm", "--pii")
    order = {"do": "check", "suite": str(Suite.INTEGRATION), "name": "compliance_system"}
    refused = []
    for pii in ("block", "allow", "mask"):
        (put,) = server.manage(*change, pii)
        found = obeyed(server, put["version"])
        assert (found["version"], found["pii"]) == (put["version"], pii)
        refused.append(found["refused"].get("pii_blocked", 0))
        looked = bench.ask(**order)
        assert (looked["status"], looked["evidence"]) == ("pass", "proven"), looked
    assert refused[1] > refused[0], "the server counts what it refused under block"


def test_what_somebody_changed_fails_with_expected_and_actual(server: Host, bench: Bench) -> None:
    """Two changes, three checks that see them, and nothing is overwritten."""
    route = ("set_route", "emergency", "--environment", "development", "--reason", "a test")
    server.manage(*route, "--primary", "mcp", "--confirm")
    (changed,) = server.manage(
        "set_flag", "--flag", SUPPORT, "--on", "--environment", "development", "--reason", "a test"
    )
    status, told = deploy(server, "--reason", "over changes")
    server.manage(*route, "--primary", "direct_bedrock", "--confirm")

    assert status == 1 and told["verdict"] == "failed"
    assert failed(told) == {ROUTING, "routing_matrix.emergency", "flag_configuration"}
    for name in (ROUTING, "routing_matrix.emergency"):
        test = result(told, name)
        assert test["expected"] == "emergency to direct_bedrock"
        assert test["actual"] == "emergency to mcp"
        assert test["kind"] == "rule" and test["evidence"] == "proven"
    test = result(told, "flag_configuration")
    assert test["expected"] == f"{SUPPORT} off" and test["kind"] == "flag"
    assert f"{SUPPORT} on (entry {changed['entry']} " in test["actual"]
    assert result(told, "BedrockSupportManager.support_mode_basic")["status"] == "pass"
    assert "- **Status**: FAILED" in Path(told["document"]).read_text()


def test_a_server_that_is_killed_resumes_what_it_began(server: Host, bench: Bench) -> None:
    """The command says where to look and waits; only a server goes on with a server's run."""
    asked = ("--reason", "through a kill", "--restore-flags")
    with subprocess.Popen(
        [sys.executable, "manage.py", "deploy", "--environment", "development", *asked],
        cwd=serving.ROOT,
        env=server.env,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as watching:
        assert watching.stderr is not None
        for line in watching.stderr:
            if line.strip().endswith(": smoke"):
                break
        server.kill()
        watching.kill()
    status, told = deploy(server, *asked, "--timeout", "1")
    assert status == 1 and told["error"] == "unavailable" and told["stage"] == "smoke"

    server.start_again()
    status, done = deploy(server, *asked)
    assert status == 0 and done["deployment_id"] == told["deployment_id"]
    assert [found["code"] for found in done["findings"]] == ["flag_restored"]
    names = [test["name"] for test in done["tests"]]
    assert len(names) == len(set(names)) == 18
    flags = server.manage("flags", "--environment", "development")
    assert [f["version"] for f in flags if f["flag"] == SUPPORT] == [3]  # laid, on, off: once


def test_a_dead_path_fails_and_opens_its_breaker(server: Host, bench: Bench) -> None:
    server.manage("upstream", "mcp", "stop", "--reason", "a dead path")
    status, told = deploy(server, "--reason", "with a dead path")
    server.manage("upstream", "mcp", "start", "--reason", "alive again")
    assert status == 1 and told["verdict"] == "failed"
    assert {"MCPRouter.mcp_connection", BREAKERS, "routing_matrix.standard"} <= failed(told)
    assert result(told, "DirectBedrockClient.direct_connection")["status"] == "pass"
    said = result(told, BREAKERS)["actual"]
    assert "the breaker of mcp is open" in said or "the breaker of mcp is half_open" in said
    assert result(told, "routing_matrix.standard")["kind"] == "health_fallback"


def test_without_a_server_it_is_inconclusive_and_nothing_is_written(
    server: Host, bench: Bench
) -> None:
    """The last one: it ends the server."""
    before = server.manage("flags", "--environment", "development")
    server.stop()
    status, told = deploy(server, "--reason", "without a server")
    assert status == 1 and told["verdict"] == "inconclusive"
    assert {(t["status"], t["evidence"]) for t in told["tests"]} == {("skip", "unproven")}
    assert server.manage("flags", "--environment", "development") == before
    (verified,) = server.manage("verify_audit")
    assert verified["ok"] is True
    assert os.path.exists(told["document"])  # noqa: PTH110
