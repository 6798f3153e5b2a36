"""`manage.py roll_back`: plan a rollback, confirm it by its digest, wait until it is verified."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.core.errors import Unavailable
from routing.core.rights import Actor
from routing.core.rollback import Target
from routing.core.values import EnvironmentName
from routing.deployments import ledger, rollback
from routing.deployments.ledger import OperationRow
from routing.management import base

LOOK_EVERY_S = 0.1


class Command(base.OperatorCommand):
    help = (
        "Roll one environment back to one path: the serving process proves the target, writes the "
        "flags as one set and verifies. Exit 0 only for a verified end."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument("--level", type=int, default=1, choices=[1], help="1 is flags")
        parser.add_argument("--target", required=True, choices=[str(t) for t in Target])
        parser.add_argument("--reason", default="", help="required outside development")
        consent = parser.add_mutually_exclusive_group(required=True)
        consent.add_argument("--plan-only", action="store_true", help="show the plan, do nothing")
        consent.add_argument("--confirm", default="", metavar="DIGEST", help="of a plan you read")
        consent.add_argument("--yes", action="store_true", help="confirm today's plan unread")
        parser.add_argument("--typed-environment", default="", metavar="NAME")
        parser.add_argument(
            "--timeout", type=float, default=120.0, metavar="S", help="how long to wait; 120"
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        environment = EnvironmentName(options["environment"])
        target = Target(options["target"])
        digest = options["confirm"]
        if not digest:
            plan = rollback.make_plan(now=now, environment=environment, target=target)
            if options["plan_only"]:
                return _planned(rollback.as_json(plan))
            digest = plan.digest
        operation = rollback.start(
            by=by,
            now=now,
            environment=environment,
            target=target,
            level=options["level"],
            reason=options["reason"],
            digest=digest,
            typed_environment=options["typed_environment"],
        )
        return rollback.told(self._await(operation, options["timeout"]))

    def _await(self, operation: OperationRow, timeout_s: float) -> OperationRow:
        deadline = time.monotonic() + timeout_s
        told = ""
        while not operation.is_over:
            step = next((s for s in operation.steps if s.ended_at is None), None)
            if step is not None and step.name != told:
                told = step.name
                self.say(f"{operation.id}: {told}")
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{operation.id} is at {told or 'its end'} after {timeout_s:.0f} s and goes "
                    "on as soon as a server serves; send the same command again to go on waiting.",
                    rollback_id=operation.id,
                    stage=str(operation.stage),
                )
            time.sleep(LOOK_EVERY_S)
            operation = ledger.read(operation.id)
        return operation

    def show(self, result: base.Result) -> str:
        plan = result["plan"]
        lines = [f"Plan {plan['digest']}"]
        for n, step in enumerate(plan["steps"], 1):
            change = f" ({step['before']} -> {step['after']})" if step["flag"] else ""
            lines.append(f"{n:>2}. {step['does']}{change}, within {step['limit_s']} s")
        lines += [f"  - {effect}" for effect in plan["effects"]]
        lines += [f"{step['state']:<8} {step['name']}" for step in result["steps"]]
        if result["refused"]:
            lines.append(f"refused  {result['refused']}")
        lines += [f"because  {why}" for why in result["reasons"]]
        if result["end"]:
            took = result["timings"].get("decide_to_verified_ms")
            lines.append(f"{result['rollback_id']}: {result['end']} after {took} ms")
        return "\n".join(lines)


def _planned(plan: Mapping[str, Any]) -> base.Result:
    return {
        "ok": plan["refused"] is None,
        "plan": plan,
        "steps": [],
        "end": None,
        "reasons": [],
        "timings": {},
        "refused": plan["refused"],
        "alternatives": plan["alternatives"],
    }
