"""Which flags need approval in an environment: more at once, fewer only with a second person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.approvals import store
from routing.approvals.store import Policy
from routing.audit import ledger
from routing.changes import approval
from routing.core import reasons, rights
from routing.core.approval import Agreed, PolicyWish
from routing.core.errors import Invalid
from routing.core.flags import FlagName, parse_flag
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName
from routing.flags import store as flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Set:
    """What was done: its audit entry, and what needs approval now."""

    entry_seq: int
    policy: Policy


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    flags_needing: Iterable[FlagName],
    base_version: int,
    reason: str,
    typed_environment: str = "",
    under: Agreed | None = None,
) -> Set:
    """Make `flags_needing` the flags that need approval; only an admin may.

    Raises Forbidden, Invalid (nothing to change), UnknownWord, Stale, RuleBroken (a flag is
    dropped, and nobody else agreed to that); each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.APPROVAL_POLICY,
        environment=environment,
        object_type="approval_policy",
        object_id=str(environment),
        reason=reason,
    ):
        rights.check(by, Right.SETTINGS, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        wish = PolicyWish(
            flags=frozenset(parse_flag(flag) for flag in flags_needing), base_version=base_version
        )
        with transaction.atomic(durable=True):
            flags.lock(environment)  # a change that asks what needs approval waits for the answer
            before = store.policy(environment)
            check_new(before, wish)
            agreed = approval.check_policy(
                by=by, now=now, environment=environment, wish=wish, reason=why, under=under
            )
            after = store.put_policy(
                environment=environment,
                base_version=base_version,
                flags=wish.flags,
                by=by.id,
                now=now,
            )
            entry = ledger.record(
                by=by,
                now=now,
                action=Action.APPROVAL_POLICY,
                environment=environment,
                object_type="approval_policy",
                object_id=str(environment),
                reason=why,
                before={"flags": _names(before), "version": before.version},
                after={"flags": _names(after), "version": after.version},
                facts=agreed,
            )
            approval.seal(under, entry_seq=entry.seq)
            stream.announce("approvals", environment)
            return Set(entry_seq=entry.seq, policy=after)


def check_new(inforce: Policy, wish: PolicyWish) -> None:
    """Raise Stale or Invalid unless `wish` changes the policy that was looked at."""
    if inforce.version != wish.base_version:
        raise store.stale_policy(inforce, wish.base_version)
    if inforce.flags == wish.flags:
        raise Invalid(
            f"Nothing to change: these flags need approval in {inforce.environment} already.",
            field="flags",
        )
    fresh = wish.flags - inforce.flags
    if inforce.environment is EnvironmentName.PRODUCTION and FlagName.MONITORING in fresh:
        raise Invalid(
            f"In production {FlagName.MONITORING} goes off only with an end, and a proposal "
            "carries none: leave it out.",
            field="flags",
        )


def _names(policy: Policy) -> list[str]:
    return sorted(str(flag) for flag in policy.flags)
