"""What a runner writes operations and steps with: every transaction checks its fence first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from routing import stream
from routing.core import lifecycle
from routing.core.lifecycle import Kind, Stage, StepState
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName, Outcome, Verdict
from routing.deployments.ledger import TOPIC, StepRow, book
from routing.deployments.ledger_models import Operation, Step
from routing.deployments.models import Deployment
from routing.fleet import leases
from routing.fleet.leases import Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Pen:
    """What a runner writes with: its lease, whose fence each transaction checks first."""

    operation: str
    lease: Lease
    by: Actor = field(repr=False)

    def check(self) -> None:
        """Raise Stale, inside a transaction, when another runner took over."""
        leases.check_fence(self.lease.name, self.lease.fence)

    def begin(self, *, kind: str, now: datetime) -> None:
        """Note that a runner of `kind` (`server` or `command`) has the operation in hand."""
        with transaction.atomic():
            self.check()
            rows = Operation.objects.filter(pk=self.operation)
            rows.update(fence=self.lease.fence, wake_at=None)
            rows.filter(started_at=None).update(started_at=now)
            # Once a server began it, only a server resumes it; a server may take over a command's.
            rows.exclude(begun_by="server").update(begun_by=kind)

    def start(self, step: StepRow, *, now: datetime) -> None:
        """Note that `step` runs, and move the operation to its stage."""
        with transaction.atomic():
            self.check()
            self._move(step.stage)
            rows = self._step(step.name)
            rows.update(
                state=str(StepState.RUNNING), fence=self.lease.fence, attempts=F("attempts") + 1
            )
            rows.filter(started_at=None).update(started_at=now)
            stream.announce(TOPIC, self._environment())

    def settle(
        self,
        name: str,
        *,
        now: datetime,
        result: Mapping[str, Any],
        failed: bool = False,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Keep the result of a step for good, booked; inside or outside a transaction.

        `then` adds the rows that go with it, in the same transaction.
        """
        with transaction.atomic():
            self.check()
            state = StepState.FAILED if failed else StepState.DONE
            done = (
                self._step(name)
                .filter(ended_at=None)
                .update(
                    state=str(state), fence=self.lease.fence, ended_at=now, result=dict(result)
                )
            )
            if done:
                if then is not None:
                    then()
                operation = Operation.objects.get(pk=self.operation)
                outcome = Outcome.FAILED if failed else Outcome.DONE
                book(
                    operation,
                    Action.DEPLOYMENT_STEP,
                    by=self.by,
                    now=now,
                    outcome=outcome,
                    facts={"step": name, "fence": self.lease.fence, **_skipped(result)},
                )
            stream.announce(TOPIC, self._environment())

    def keep(self, name: str, result: Mapping[str, Any]) -> None:
        """Keep what a step that is not done must know when it is resumed."""
        with transaction.atomic():
            self.check()
            self._step(name).filter(ended_at=None).update(result=dict(result))

    def wait(self, name: str, *, until: datetime, result: Mapping[str, Any]) -> None:
        """Note that `name` looks again at `until`."""
        with transaction.atomic():
            self.check()
            self._step(name).update(state=str(StepState.WAITING), result=dict(result))
            Operation.objects.filter(pk=self.operation).update(wake_at=until)

    def judge(self, verdict: Verdict, *, now: datetime, reasons: Sequence[str]) -> None:
        """Set the verdict, once, booked; raises RuleBroken elsewhere than at `judged`."""
        with transaction.atomic():
            self.check()
            found = Operation.objects.get(pk=self.operation)
            present = Verdict(found.verdict) if found.verdict else None
            lifecycle.check_verdict(Stage(found.stage), present)
            Operation.objects.filter(pk=self.operation).update(verdict=str(verdict))
            Deployment.objects.filter(pk=self.operation).update(
                verdict=str(verdict), derived_verdict=str(verdict)
            )
            book(
                found,
                Action.DEPLOYMENT_JUDGED,
                by=self.by,
                now=now,
                outcome=Outcome.DONE if verdict is Verdict.SUCCEEDED else Outcome.FAILED,
                facts={"verdict": str(verdict), "reasons": list(reasons)},
            )

    def end(
        self,
        *,
        now: datetime,
        stage: Stage,
        action: Action,
        outcome: Outcome = Outcome.DONE,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Close the operation, booked: its environment is free for another one."""
        with transaction.atomic():
            self.check()
            self._move(stage)
            Operation.objects.filter(pk=self.operation).update(ended_at=now, wake_at=None)
            found = Operation.objects.get(pk=self.operation)
            said = facts or {"verdict": found.verdict}
            book(found, action, by=self.by, now=now, outcome=outcome, facts=said)
            stream.announce(TOPIC, EnvironmentName(found.environment_id))

    def _move(self, stage: Stage) -> None:
        rows = Operation.objects.values_list("stage", "kind")
        present, kind = rows.get(pk=self.operation)
        if present != stage:
            moves = lifecycle.ROLLBACK if kind == Kind.ROLLBACK else lifecycle.NEXT
            lifecycle.check_move(Stage(present), stage, moves)
            Operation.objects.filter(pk=self.operation).update(stage=str(stage))
            Deployment.objects.filter(pk=self.operation).update(stage=str(stage))

    def _step(self, name: str) -> Any:
        return Step.objects.filter(operation_id=self.operation, name=name)

    def _environment(self) -> EnvironmentName:
        rows = Operation.objects.filter(pk=self.operation)
        return EnvironmentName(rows.values_list("environment_id", flat=True).get())


def _skipped(result: Mapping[str, Any]) -> dict[str, str]:
    return {"skipped": str(result["skipped"])} if result.get("skipped") else {}
