"""`manage.py deploy`: bring one environment to a release and gather the evidence for it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from routing import wiring
from routing.core.errors import RuleBroken, Unavailable
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.deployments import deploy, ledger, worker
from routing.deployments.engine import Tools
from routing.deployments.ledger import OperationRow
from routing.fleet import queries as fleet
from routing.management import base

LOOK_EVERY_S = 0.2


class Command(base.OperatorCommand):
    help = (
        "Deploy one environment: the serving process runs it, and this command waits for the "
        "verdict. Exit 0 only for a proven success."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument("--release", default="", metavar="DIGEST", help="else one is built")
        flags = parser.add_mutually_exclusive_group()
        flags.add_argument(
            "--restore-flags",
            action="store_true",
            help="set back what somebody changed since the last deployment",
        )
        flags.add_argument(
            "--adopt-flags", action="store_true", help="take today's flags into a new release"
        )
        parser.add_argument("--reason", default="", help="required outside development")
        parser.add_argument(
            "--confirm", action="store_true", help="go on although something stops"
        )
        parser.add_argument("--typed-environment", default="", metavar="NAME")
        parser.add_argument(
            "--timeout", type=float, default=300.0, metavar="S", help="how long to wait; 300"
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        deadline = time.monotonic() + options["timeout"]
        operation = self._start(options, by, deadline)
        return deploy.told(self._await(operation, options["timeout"], deadline))

    def _start(self, options: Mapping[str, Any], by: Actor, deadline: float) -> OperationRow:
        """Open the deployment, or wait for its turn while another one is under way."""
        environment = EnvironmentName(options["environment"])
        while True:
            try:
                return deploy.start(
                    by=by,
                    now=wiring.now(),
                    environment=environment,
                    code_version=settings.HYBRIDOPS_VERSION,
                    digest=options["release"],
                    reason=options["reason"],
                    typed_environment=options["typed_environment"],
                    restore_flags=options["restore_flags"],
                    adopt_flags=options["adopt_flags"],
                    confirmed=options["confirm"],
                )
            except RuleBroken as error:
                busy = error.facts.get("rule") == deploy.ONE_ACTIVE
                if not busy or not self._wait_for_turn(environment, deadline):
                    raise

    def _wait_for_turn(self, environment: EnvironmentName, deadline: float) -> bool:
        """Wait until nothing is under way; False when that took too long."""
        told = ""
        while (busy := ledger.active(environment)) is not None:
            if time.monotonic() > deadline:
                return False
            if busy.id != told:
                told = busy.id
                self.say(f"{busy.id} is under way ({busy.stage}); waiting until it ends.")
            time.sleep(LOOK_EVERY_S)
        return True

    def _await(self, operation: OperationRow, timeout_s: float, deadline: float) -> OperationRow:
        stage = None
        while not operation.is_over:
            if operation.stage is not stage:
                stage = operation.stage
                self.say(f"{operation.id}: {stage}")
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{operation.id} is in {operation.stage} after {timeout_s:.0f} s and goes on; "
                    "send the same command again to go on waiting.",
                    deployment_id=operation.id,
                    stage=str(operation.stage),
                )
            if _is_ours(operation):
                operation = worker.run(operation, _tools())
            if not operation.is_over:
                time.sleep(LOOK_EVERY_S)
                operation = ledger.read(operation.id)
        return operation

    def show(self, result: base.Result) -> str:
        lines = [
            f"{test['status']:<5} {test['evidence']:<9} {test['name']} ({test['duration_ms']} ms)"
            + ("" if test["status"] == "pass" else f"\n      {_why(test)}")
            for test in result["tests"]
        ]
        lines += [f"finding  {found['message']}" for found in result["findings"]]
        shown = tuple(f"{test['name']} failed: " for test in result["tests"])
        lines += [f"error    {text}" for text in result["errors"] if not text.startswith(shown)]
        lines.append(f"{result['deployment_id']}: {result['verdict']}")
        if result["document"]:
            lines.append(f"document {result['document']}")
        return "\n".join(lines)


def _is_ours(operation: OperationRow) -> bool:
    """Tell whether nobody else will run it: no server is alive, and none began it."""
    alive = fleet.alive(operation.environment, now=wiring.now())
    return operation.begun_by != "server" and not any(row.kind == "server" for row in alive)


def _tools() -> Tools:
    return Tools(
        clock=wiring.now,
        home=Path(settings.HYBRIDOPS_HOME),
        code_version=settings.HYBRIDOPS_VERSION,
        holder=f"command:{os.getpid()}",
    )


def _why(test: Mapping[str, Any]) -> str:
    return str(test["error"] or f"expected {test['expected']}; got {test['actual']}")
