"""The ledger of operations: asked for once, joined, read; `pen` is what a runner writes with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from routing import stream
from routing.audit import ledger as trail
from routing.core import chain
from routing.core.errors import NotFound, RuleBroken
from routing.core.lifecycle import Kind, Stage, StepState
from routing.core.rights import Actor
from routing.core.values import Action, ActorKind, EnvironmentName, Outcome, Role, Verdict
from routing.deployments.ledger_models import Operation, Step

TOPIC = "deployments"
_OF_A_ROLLBACK: Mapping[Action, Action] = {
    Action.DEPLOYMENT_CREATE: Action.ROLLBACK_PLAN,
    Action.DEPLOYMENT_STEP: Action.ROLLBACK_STEP,
    Action.DEPLOYMENT_CANCEL: Action.ROLLBACK_REFUSED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    position: int
    name: str
    stage: Stage
    state: StepState
    attempts: int
    started_at: datetime | None
    ended_at: datetime | None
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRow:
    """One operation with its steps in order. `by` is the actor as it asked."""

    id: str
    kind: Kind
    environment: EnvironmentName
    stage: Stage
    release: str
    params: Mapping[str, Any]
    by: Actor
    reason: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    wake_at: datetime | None
    begun_by: str
    lease: str
    cancel: bool
    verdict: Verdict | None
    steps: tuple[StepRow, ...]

    @property
    def is_over(self) -> bool:
        return self.ended_at is not None

    def result(self, name: str) -> Mapping[str, Any]:
        """Return what the step `name` left, empty while it is not done."""
        return next((s.result for s in self.steps if s.name == name and s.ended_at), {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asks for. `key` names one sending of the question, such as one form."""

    kind: Kind
    environment: EnvironmentName
    release: str
    params: Mapping[str, Any]
    by: Actor
    reason: str
    key: str
    steps: Sequence[tuple[str, Stage]]

    @property
    def digest(self) -> str:
        """Return the digest of what is asked and by whom: equal questions join."""
        asked: chain.Json = {
            "kind": str(self.kind),
            "environment": str(self.environment),
            "params": dict(self.params),
            "reason": self.reason,
            "by": self.by.id,
        }
        return hashlib.sha256(chain.canonical(asked)).hexdigest()


def create(
    wanted: Wanted, *, id: str, now: datetime, then: Callable[[Operation], None]
) -> OperationRow:
    """Open an operation with its steps, booked; join the one that is the same question.

    `then` adds the caller's own rows in the transaction. Raises RuleBroken with the rule
    `one_active_operation` where another one is under way in the environment.
    """
    same = Operation.objects.filter(request_key=wanted.key).first()
    if same is not None:
        return read(same.id)
    try:
        with transaction.atomic():
            made = _insert(wanted, id, now)
            then(made)
            book(made, Action.DEPLOYMENT_CREATE, by=wanted.by, now=now, reason=wanted.reason)
            stream.announce(TOPIC, wanted.environment)
    except IntegrityError:
        # The partial unique index: one operation is active here already.
        return _join(wanted)
    return read(made.id)


def _insert(wanted: Wanted, id: str, now: datetime) -> Operation:
    made = Operation.objects.create(
        id=id,
        kind=str(wanted.kind),
        environment_id=str(wanted.environment),
        release_id=wanted.release or None,
        params=dict(wanted.params),
        by=_facts(wanted.by, wanted.environment),
        reason=wanted.reason,
        request=wanted.digest,
        request_key=wanted.key,
        created_at=now,
        lease=f"operation:{wanted.environment}",
    )
    Step.objects.bulk_create(
        Step(operation=made, position=n, name=name, stage=str(stage))
        for n, (name, stage) in enumerate(wanted.steps)
    )
    return made


def _join(wanted: Wanted) -> OperationRow:
    found = Operation.objects.filter(environment_id=str(wanted.environment), ended_at=None).first()
    if found is None:
        raise RuleBroken(
            "Another operation of this environment ended while you asked; ask again.",
            rule="one_active_operation",
        )
    if found.request == wanted.digest:
        return read(found.id)
    raise RuleBroken(
        f"{found.id} is under way in {wanted.environment} ({found.stage}); wait until it ends, "
        "or send the same request again to watch it.",
        rule="one_active_operation",
        operation=found.id,
    )


def read(id: str) -> OperationRow:
    """Return one operation; raises NotFound."""
    found = Operation.objects.filter(pk=id).prefetch_related("steps").first()
    if found is None:
        raise NotFound(f"There is no operation {id[:64]!r} here; look at the list of deployments.")
    return _row(found)


def active(environment: EnvironmentName) -> OperationRow | None:
    """Return the operation under way in `environment`, None without one."""
    found = (
        Operation.objects.filter(environment_id=str(environment), ended_at=None)
        .prefetch_related("steps")
        .first()
    )
    return _row(found) if found else None


def last(
    environment: EnvironmentName | None = None,
    *,
    before: str = "",
    having: tuple[str, str] | None = None,
) -> OperationRow | None:
    """Return the newest deployment, in one environment or in any, but not `before`.

    `having` names a step and a key that its result must hold.
    """
    found = Operation.objects.filter(kind=str(Kind.DEPLOY)).exclude(pk=before)
    if having is not None:
        name, key = having
        found = found.filter(steps__name=name, steps__result__has_key=key)
    if environment is not None:
        found = found.filter(environment_id=str(environment))
    newest = found.order_by("-created_at").prefetch_related("steps").first()
    return _row(newest) if newest else None


def newest(kind: Kind, environment: EnvironmentName, n: int) -> tuple[OperationRow, ...]:
    """Return the last `n` operations of `kind` in `environment`, the newest first."""
    found = Operation.objects.filter(kind=str(kind), environment_id=str(environment))
    rows = found.order_by("-created_at").prefetch_related("steps")[:n]
    return tuple(_row(one) for one in rows)


def cancel(id: str) -> bool:
    """Ask for an operation that has not begun to be left; return whether it was asked in time."""
    rows = Operation.objects.filter(pk=id, stage=str(Stage.PENDING), ended_at=None)
    return bool(rows.update(cancel=True))


def book(
    found: Operation,
    action: Action,
    *,
    by: Actor,
    now: datetime,
    outcome: Outcome = Outcome.DONE,
    reason: str = "",
    facts: Mapping[str, chain.Json] | None = None,
) -> None:
    """Book what became of an operation, in the caller's transaction."""
    rollback = found.kind == Kind.ROLLBACK
    trail.record(
        by=by,
        now=now,
        action=_OF_A_ROLLBACK.get(action, action) if rollback else action,
        environment=EnvironmentName(found.environment_id),
        object_type=found.kind,
        object_id=found.id,
        outcome=outcome,
        reason=reason,
        facts={"release": found.release_id, **(facts or {})},
    )


def _facts(by: Actor, environment: EnvironmentName) -> dict[str, str]:
    return {
        "kind": str(by.kind),
        "id": by.id,
        "name": by.name,
        "role": str(by.role(environment) or ""),
        "request_id": by.request_id,
        "session": by.session,
        "peer": by.peer,
    }


def _actor(facts: Mapping[str, str], environment: EnvironmentName) -> Actor:
    return Actor(
        kind=ActorKind(facts["kind"]),
        id=facts["id"],
        name=facts["name"],
        grants={environment: Role(facts["role"])} if facts["role"] else {},
        request_id=facts["request_id"],
        session=facts["session"],
        peer=facts["peer"],
    )


def _row(found: Operation) -> OperationRow:
    environment = EnvironmentName(found.environment_id)
    return OperationRow(
        id=found.id,
        kind=Kind(found.kind),
        environment=environment,
        stage=Stage(found.stage),
        release=found.release_id or "",
        params=found.params,
        by=_actor(found.by, environment),
        reason=found.reason,
        created_at=found.created_at,
        started_at=found.started_at,
        ended_at=found.ended_at,
        wake_at=found.wake_at,
        begun_by=found.begun_by,
        lease=found.lease,
        cancel=found.cancel,
        verdict=Verdict(found.verdict) if found.verdict else None,
        steps=tuple(
            _step(step) for step in sorted(found.steps.all(), key=lambda step: step.position)
        ),
    )


def _step(step: Step) -> StepRow:
    return StepRow(
        position=step.position,
        name=step.name,
        stage=Stage(step.stage),
        state=StepState(step.state),
        attempts=step.attempts,
        started_at=step.started_at,
        ended_at=step.ended_at,
        result=step.result,
    )
