"""A real server dies by kill -9 at every boundary of a deployment, and the next one goes on.

The harshest order: one deployment that loses its server before each of its steps and after the
last one. It must end as one that nobody disturbs, with every step done and booked once.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from routing.deployments import pipeline
from tests.e2e import serving
from tests.e2e.serving import Server

# The servers have tables of their own, whatever database the tests run on.
pytestmark = [pytest.mark.only_on("sqlite"), pytest.mark.timeout(420)]

STEPS = [spec.name for spec in pipeline.PLAN]
POINTS = [*(f"before:{name}" for name in STEPS), f"after:{STEPS[-1]}"]
DIES_WITHIN_S = 60.0
STEP = "deployment.step"


def start(home: Path, point: str) -> Server:
    """Start a server that is to die at `point`, "" for one that lives."""
    return serving.start(home, DJANGO_SETTINGS_MODULE="tests.crashing", HYBRIDOPS_CRASHPOINT=point)


def ask(server: Server, *, timeout_s: int) -> tuple[int, dict[str, Any]]:
    """Ask for the one deployment of this test: equal questions join it."""
    done = subprocess.run(
        [
            *(sys.executable, "manage.py", "deploy", "--environment", "development"),
            *("--reason", "through every kill", "--timeout", str(timeout_s), "--json"),
        ],
        cwd=serving.ROOT,
        env=server.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def query(home: Path, sql: str, *values: str) -> list[tuple[Any, ...]]:
    """Return rows of the home's database, read past all of our code."""
    with contextlib.closing(sqlite3.connect(home / "hybridops.sqlite3")) as database:
        return database.execute(sql, values).fetchall()


def test_killed_before_every_step_it_ends_the_same_and_does_nothing_twice(tmp_path: Path) -> None:
    server = start(tmp_path, POINTS[0])
    status, told = ask(server, timeout_s=1)
    assert status == 1 and told["stage"] == "pending"
    for point, following in zip(POINTS, [*POINTS[1:], ""], strict=True):
        died = server.process.wait(DIES_WITHIN_S)
        serving.kill(server)  # its stand-ins
        assert died == -signal.SIGKILL, f"at {point}: {died}\n{server.log()}"
        server = start(tmp_path, following)
    try:
        _check(server, told["deployment_id"])
    finally:
        serving.stop(server)


def _check(server: Server, id: str) -> None:
    tests = query(
        server.home,
        "select name, status, evidence, error from routing_deploymenttest where deployment_id = ?",
        id,
    )
    ended = query(
        server.home, "select stage, verdict, begun_by from routing_operation where id = ?", id
    )
    assert ended == [("closed", "succeeded", "server")], repr(tests)
    assert len(tests) == len({test[0] for test in tests}) == 18
    assert {test[1:3] for test in tests} == {("pass", "proven")}, repr(tests)
    booked = query(
        server.home, "select action, body from routing_entry where object_id = ? order by seq", id
    )
    steps = [json.loads(body)["facts"]["step"] for action, body in booked if action == STEP]
    assert Counter(steps) == Counter([*STEPS, "audit_trail_system"])  # a check books one too
    once = Counter(action for action, _ in booked)
    assert once["deployment.judged"] == once["deployment.closed"] == 1
    (verified,) = server.manage("verify_audit")
    assert verified["ok"] is True
