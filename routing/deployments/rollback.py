"""The use case: plan a rollback, confirm it by the digest of the plan, read how it stands."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from routing.audit import ledger as trail
from routing.core import reasons, rights, rollback
from routing.core.errors import Invalid, NotFound, RuleBroken, Stale
from routing.core.flags import FlagName
from routing.core.lifecycle import Kind
from routing.core.rights import Actor, Right
from routing.core.rollback import PATH, Plan, Target
from routing.core.values import Action, EnvironmentName, Health
from routing.deployments import ledger, proving, reverting
from routing.deployments.ledger import OperationRow, Wanted
from routing.deployments.ledger_models import Operation
from routing.health import queries as health
from routing.matrix import store as matrices

_RED = frozenset({Health.DEGRADED, Health.UNHEALTHY})


def make_plan(*, now: datetime, environment: EnvironmentName, target: Target) -> Plan:
    """Return the plan that leads from what is in force to `target`; nothing is written.

    A plan that is refused is a plan, with its refusal. Raises NotFound before flags are laid.
    """
    flags, seen = proving.facts(environment, now)
    missing = [flag for flag in FlagName if flag not in flags]
    if missing:
        raise NotFound(
            f"{environment} has no flags yet; start the server once (`manage.py serve`), which "
            "lays them."
        )
    return rollback.plan(
        environment=environment,
        target=target,
        flags=flags,
        health=seen,
        matrix=matrices.read(environment),
    )


def incident(target: Target, environment: EnvironmentName) -> tuple[str, datetime | None]:
    """Return what the path that is left suffers from and since when, empty when it is well."""
    for row in health.rows(environment):
        if row.path is not PATH[target] and row.status in _RED:
            since = f"{row.since:%H:%M} UTC"
            return f"{row.path} is {row.status} since {since}: {' '.join(row.why)}", row.since
    return "", None


def start(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    target: Target,
    reason: str,
    digest: str,
    level: int = rollback.LEVEL,
    typed_environment: str = "",
    key: str = "",
) -> OperationRow:
    """Begin the rollback whose plan has `digest`, or join the one that is the same request.

    It waits for nobody's approval. Raises Forbidden, Invalid, Stale (with the fresh plan as
    `current`) and RuleBroken (with `rule` and `alternatives`, or `one_active_operation`); each
    is booked, and nothing is written.
    """
    with trail.denied(
        by=by,
        now=now,
        action=Action.ROLLBACK_REFUSED,
        environment=environment,
        object_type=str(Kind.ROLLBACK),
        object_id=str(environment),
        reason=reason,
    ):
        rights.check(by, Right.ROLL_BACK, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        if level != rollback.LEVEL:
            raise Invalid(f"Only level {rollback.LEVEL} (flags) is offered yet, not {level}.")
        under_way = _same(by, environment, target, digest, key)
        if under_way is not None:
            return under_way
        plan = make_plan(now=now, environment=environment, target=target)
        check(plan, digest)
        return _create(plan, by=by, now=now, why=why, key=key)


def check(plan: Plan, digest: str) -> None:
    """Raise RuleBroken for a plan that is refused, and Stale when `digest` is another plan's."""
    if plan.refusal is not None:
        raise RuleBroken(
            rollback.in_words(plan.refusal),
            rule=plan.refusal.rule,
            alternatives=list(plan.refusal.alternatives),
        )
    if plan.digest != digest:
        raise Stale(
            f"The plan that you confirmed ({digest[:12] or 'none'}) is not today's "
            f"({plan.digest[:12]}): a flag changed in between. Read the fresh plan and confirm "
            "that one. Nothing was written.",
            current=as_json(plan),
        )


def _same(
    by: Actor, environment: EnvironmentName, target: Target, digest: str, key: str
) -> OperationRow | None:
    """Return what this person asked for already: a double click joins, even after the write."""
    sent = Operation.objects.filter(request_key=key).first() if key else None
    found = ledger.read(sent.id) if sent else ledger.active(environment)
    if found is None or found.kind is not Kind.ROLLBACK or found.by.id != by.id:
        return None
    asked = (found.params["target"], found.params["digest"])
    return found if asked == (str(target), digest) else None


def _create(plan: Plan, *, by: Actor, now: datetime, why: str, key: str) -> OperationRow:
    _, detected = incident(plan.target, plan.environment)
    wanted = Wanted(
        kind=Kind.ROLLBACK,
        environment=plan.environment,
        release="",
        params={
            "level": plan.level,
            "target": str(plan.target),
            "digest": plan.digest,
            "steps": [rollback.as_json(step) for step in plan.steps],
            "effects": list(plan.effects),
            "detected_at": detected.isoformat() if detected else None,
        },
        by=by,
        reason=why,
        key=key or secrets.token_hex(16),
        steps=[(spec.name, spec.stage) for spec in reverting.PLAN],
    )
    id = _id(plan.environment, now)
    return ledger.create(wanted, id=id, now=now, then=lambda made: None)


def as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as a command prints it."""
    refusal = plan.refusal
    return {
        "environment": str(plan.environment),
        "level": plan.level,
        "target": str(plan.target),
        "digest": plan.digest,
        "steps": [rollback.as_json(step) for step in plan.steps],
        "effects": list(plan.effects),
        "health": plan.seen.words if plan.seen else "never measured",
        "refused": rollback.in_words(refusal) if refusal else None,
        "rule": refusal.rule if refusal else None,
        "alternatives": list(refusal.alternatives) if refusal else [],
    }


def told(operation: OperationRow) -> dict[str, Any]:
    """Return how a rollback stands, as a command prints it."""
    end = operation.result(reverting.END)
    refusal = next((s.result for s in operation.steps if "refused" in s.result), {})
    return {
        "ok": end.get("end") == "verified",
        "rollback_id": operation.id,
        "environment": str(operation.environment),
        "level": operation.params["level"],
        "target": operation.params["target"],
        "plan": {name: operation.params[name] for name in ("digest", "steps", "effects")},
        "steps": [
            {"name": step.name, "state": str(step.state), "result": dict(step.result)}
            for step in operation.steps
        ],
        "end": end.get("end"),
        "reasons": end.get("reasons", []),
        "timings": end.get("timings", {}),
        "refused": refusal.get("refused"),
        "alternatives": refusal.get("alternatives", []),
    }


def history(environment: EnvironmentName, n: int = 10) -> tuple[OperationRow, ...]:
    """Return the last `n` rollbacks of `environment`, newest first."""
    return ledger.newest(Kind.ROLLBACK, environment, n)


def read(id: str) -> OperationRow:
    """Return one rollback; raises NotFound."""
    found = ledger.read(id)
    if found.kind is not Kind.ROLLBACK:
        raise NotFound(f"{id} is no rollback; look at the list of rollbacks.")
    return found


def _id(environment: EnvironmentName, now: datetime) -> str:
    at = now
    while Operation.objects.filter(pk=_name(environment, at)).exists():
        at += timedelta(milliseconds=1)
    return _name(environment, at)


def _name(environment: EnvironmentName, at: datetime) -> str:
    return f"rollback-{environment}-{int(at.timestamp() * 1000)}"
