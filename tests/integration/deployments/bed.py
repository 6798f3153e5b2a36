"""Operations on the real database, with runners that can be killed: a plan without a server."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path as Folder
from typing import Any

from django.db import connections

from routing.audit import queries as trail
from routing.audit.queries import EntryRow, Filters
from routing.changes import change, first_run
from routing.core.flags import FlagName, SetFlag
from routing.core.rights import Actor, shell_actor
from routing.core.values import (
    Action,
    Component,
    EnvironmentName,
    Evidence,
    Health,
    Path,
    TestStatus,
)
from routing.core.verdict import Suite, TestResult
from routing.deployments import crash, deploy, engine, pipeline, record
from routing.deployments.engine import Done, Plan, Run, Tools
from routing.deployments.ledger import OperationRow
from routing.flags import store
from routing.fleet.models import LoopLease

DEV, STG, PROD = EnvironmentName
BY = shell_actor(user="ada", host="here")
VERSION = "1.0"
HEALTHY = dict.fromkeys(Path, Health.HEALTHY)


def now() -> datetime:
    from routing import wiring

    return wiring.now()


def shell() -> Actor:
    """Return the actor that a command run by this process is."""
    return shell_actor(user=getpass.getuser(), host=socket.gethostname())


def lay() -> None:
    first_run.lay(by=BY, now=now(), environments=tuple(EnvironmentName), embedded=True)


def tools(home: Folder, **more: Any) -> Tools:
    """Return the tools of a runner that takes itself for a serving process."""
    facts: dict[str, Any] = {
        "clock": now,
        "home": home,
        "code_version": VERSION,
        "process": "here:1",
        "holder": f"here:{os.getpid()}",
        "tools_digest": lambda _: "d",
    }
    return Tools(**(facts | more))


def start(environment: EnvironmentName = DEV, **more: Any) -> OperationRow:
    facts: dict[str, Any] = {"by": BY, "now": now(), "code_version": VERSION, "reason": "a test"}
    if environment is PROD:
        facts["typed_environment"] = str(PROD)
    return deploy.start(environment=environment, **(facts | more))


def results(which: Suite, status: TestStatus) -> list[TestResult]:
    names = {Suite.SMOKE: "MCPRouter.mcp_connection", Suite.INTEGRATION: "compliance_system"}
    one = TestResult(
        suite=which,
        name=names.get(which, "routing_matrix.standard"),
        status=status,
        evidence=Evidence.PROVEN,
        expected="mcp answers",
        actual="mcp answers" if status is TestStatus.PASS else "no answer",
    )
    return [one]


def plan(status: TestStatus = TestStatus.PASS) -> Plan:
    """Return the plan of a deployment in which the checks are told what to find."""

    def components(run: Run) -> Done:
        found = [str(one) for one in Component]
        return Done(result={"components": found})

    def suite(which: Suite) -> Callable[[Run], Done]:
        def do(run: Run) -> Done:
            told = results(which, status)
            return Done(
                result={"tests": [record.as_json(one) for one in told]},
                then=lambda: record.tests(run.operation.id, which, told),
            )

        return do

    told = {str(which): suite(which) for which in Suite} | {pipeline.COMPONENTS: components}
    return tuple(replace(s, do=told[s.name]) if s.name in told else s for s in pipeline.PLAN)


def run(operation: OperationRow, home: Folder, plan: Plan, **more: Any) -> OperationRow:
    return engine.advance(operation, plan, tools(home, **more))


class Runner:
    """A runner in a process of its own, which dies or stops at a named point."""

    def __init__(self, operation: OperationRow, home: Folder, plan: Plan, point: str) -> None:
        _let_go()  # a child must not speak on its parent's connections
        self.pid = os.fork()
        if self.pid == 0:
            self._be(operation, home, plan, point)

    def _be(self, operation: OperationRow, home: Folder, plan: Plan, point: str) -> None:
        status = 1
        try:
            os.environ[crash.VARIABLE] = point
            run(operation, home, plan)
            status = 0
        except BaseException:  # noqa: BLE001 - a child tells what it died of
            traceback.print_exc()
        finally:
            os._exit(status)

    def wait(self) -> int:
        """Return by which signal it ended, 0 for a good end."""
        _, status = os.waitpid(self.pid, 0)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)

    def wait_until_stopped(self) -> None:
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status), f"it ended with {status} instead"

    def wake(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


def _let_go() -> None:
    for connection in connections.all():
        connection.close()
        if connection.vendor == "postgresql":
            connection.close_pool()  # type: ignore[attr-defined]


def expire() -> None:
    """Let every lease run out: what a dead runner held is free."""
    LoopLease.objects.update(expires_at=datetime(2020, 1, 1, tzinfo=UTC))


def set_flag(flag: FlagName, on: bool, environment: EnvironmentName = DEV, by: Actor = BY) -> int:
    """Change a flag as a person does; return its audit entry."""
    state = store.read(environment)[flag]
    typed = str(environment)
    done = change.apply(
        by=by,
        now=now(),
        environment=environment,
        sets=[SetFlag(flag=flag, on=on, base_version=state.version)],
        reason="somebody's change",
        health=HEALTHY,
        confirmed=True,
        typed_environment=typed,
    )
    return done.entry_seq


def share(flag: FlagName, environment: EnvironmentName = DEV) -> int:
    return store.read(environment)[flag].share


def booked(action: Action, object_id: str | None = None) -> list[EntryRow]:
    found = trail.page(filters=Filters(action=action, object_id=object_id), size=500)
    return list(found.rows)
