"""A change of an environment's compliance policy: judged, compared and set, booked, announced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.changes import consent
from routing.compliance import policy, queries, store
from routing.compliance.policy import Policy
from routing.core import reasons, rights
from routing.core.errors import Invalid
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName
from routing.flags import store as flags
from routing.matrix import store as matrices


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done: its audit entry, and the policies before and after."""

    entry_seq: int
    before: Policy
    after: Policy


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    wanted: Policy,
    base_version: int,
    reason: str,
    confirmed: bool = False,
    typed_environment: str = "",
) -> Applied:
    """Put `wanted` in force; every process is told after the commit. Only an admin may.

    Raises Forbidden, Invalid, Stale (with `current`) and NeedsConfirm (with `effects`); each is
    booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.COMPLIANCE_CHANGE,
        environment=environment,
        object_type="compliance",
        object_id=str(environment),
    ):
        rights.check(by, Right.SETTINGS, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        policy.check(wanted)
        with transaction.atomic(durable=True):
            # The lock of flags and matrix, for what stops is judged against the matrix.
            flags.lock(environment)
            before = store.read(environment)
            after = store.put(
                environment=environment,
                base_version=base_version,
                wanted=wanted,
                by=by.id,
                now=now,
            )
            if replace(before, version=after.version) == after:
                raise Invalid(f"Nothing to change: the policy of {environment} already says so.")
            judgement = policy.judge(before, after, matrices.read(environment))
            consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
            entry = ledger.record(
                by=by,
                now=now,
                action=Action.COMPLIANCE_CHANGE,
                environment=environment,
                object_type="compliance",
                object_id=str(environment),
                reason=why,
                before=policy.encode(before) | {"version": before.version},
                after=policy.encode(after) | {"version": after.version},
                facts={"rule": judgement.rule, "effects": list(judgement.effects)},
            )
            transaction.on_commit(queries.refresh, robust=True)
            stream.announce("compliance", environment)
            return Applied(entry_seq=entry.seq, before=before, after=after)
