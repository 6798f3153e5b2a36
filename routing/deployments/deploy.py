"""The use case: ask for a deployment, whoever runs it then, and read how it stands."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

from routing.audit import ledger as trail
from routing.core import reasons, rights
from routing.core.errors import Invalid, RuleBroken
from routing.core.lifecycle import Kind
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName, Verdict
from routing.core.verdict import Suite
from routing.deployments import ledger, pipeline, record, release
from routing.deployments.ledger import OperationRow, Wanted
from routing.deployments.ledger_models import Operation
from routing.fleet import queries as fleet

NOT_CONFIGURED = "not_configured"
ONE_ACTIVE = "one_active_operation"


def start(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    code_version: str,
    digest: str = "",
    reason: str = "",
    typed_environment: str = "",
    restore_flags: bool = False,
    adopt_flags: bool = False,
    confirmed: bool = False,
    key: str = "",
) -> OperationRow:
    """Open a deployment of `environment`, or join the one that is the same request.

    `digest` names a release; without it one is built from what is in force. `key` names one
    sending of a form. Raises Forbidden, Invalid, NotFound, and RuleBroken with the rule
    `not_configured` or `one_active_operation`; each is booked.
    """
    with trail.denied(
        by=by,
        now=now,
        action=Action.DEPLOYMENT_CREATE,
        environment=environment,
        object_type=str(Kind.DEPLOY),
        object_id=str(environment),
        reason=reason,
    ):
        rights.check(by, Right.DEPLOY, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        _check(environment, digest, restore_flags=restore_flags, adopt_flags=adopt_flags)
        wanted = Wanted(
            kind=Kind.DEPLOY,
            environment=environment,
            release=release.read(digest).digest
            if digest
            else release.build(
                by=by,
                now=now,
                environment=environment,
                code_version=code_version,
                adopt_flags=adopt_flags,
            ),
            params={
                "release": digest,
                "restore_flags": restore_flags,
                "adopt_flags": adopt_flags,
                "confirmed": confirmed,
            },
            by=by,
            reason=why,
            key=key or secrets.token_hex(16),
            steps=[(spec.name, spec.stage) for spec in pipeline.PLAN],
        )
        shares = release.read(wanted.release).shares(environment)
        flags = {str(flag): share > 0 for flag, share in shares.items()}

        def then(made: Operation) -> None:
            record.opened(made, flags)

        return ledger.create(wanted, id=_id(environment, now), now=now, then=then)


def told(operation: OperationRow) -> dict[str, Any]:
    """Return how a deployment stands, as a command prints it."""
    tests = [
        said
        for which in (Suite.SMOKE, Suite.VALIDATION, Suite.INTEGRATION)
        for said in operation.result(str(which)).get("tests", [])
    ]
    findings = [
        {"code": code, "message": message}
        for step in operation.steps
        for code, message in step.result.get("findings", [])
    ]
    return {
        "ok": operation.is_over and operation.verdict is Verdict.SUCCEEDED,
        "deployment_id": operation.id,
        "environment": str(operation.environment),
        "release": operation.release,
        "verdict": str(operation.verdict) if operation.verdict else None,
        "stage": str(operation.stage),
        "tests": tests,
        "errors": pipeline.errors(operation),
        "document": operation.result(pipeline.DOCUMENT).get("document"),
        "findings": findings,
    }


def recent(environment: EnvironmentName, n: int = 10) -> tuple[OperationRow, ...]:
    """Return the last `n` deployments that ran in `environment`, the newest first."""
    rows = Operation.objects.filter(kind=str(Kind.DEPLOY), environment_id=str(environment))
    ids = rows.order_by("-created_at").values_list("pk", flat=True)[:n]
    return tuple(ledger.read(id) for id in ids)


def _check(
    environment: EnvironmentName, digest: str, *, restore_flags: bool, adopt_flags: bool
) -> None:
    if restore_flags and adopt_flags:
        raise Invalid("Restore the release's flags or adopt today's, not both.")
    if adopt_flags and digest:
        raise Invalid("A release is never edited: adopt today's flags into a new one, without it.")
    row = fleet.environment(environment)
    if not (row.bedrock_target or row.mcp_target):
        raise RuleBroken(
            f"{environment} has no path settings, so there is nothing to deploy to. An admin sets "
            "them on the page Settings.",
            rule=NOT_CONFIGURED,
        )


def _id(environment: EnvironmentName, now: datetime) -> str:
    """Return a free id that names the millisecond, as the documents' grammar has it."""
    at = now
    while Operation.objects.filter(pk=_name(environment, at)).exists():
        at += timedelta(milliseconds=1)
    return _name(environment, at)


def _name(environment: EnvironmentName, at: datetime) -> str:
    return f"hybridops-{environment}-{int(at.timestamp() * 1000)}"
