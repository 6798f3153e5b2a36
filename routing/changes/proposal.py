"""Proposals: made by one person, approved by another, applied once; every step is booked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from routing.approvals import store
from routing.approvals.store import ProposalRow
from routing.audit import ledger
from routing.changes import approval as hook
from routing.changes import approval_policy, change, consent, schedule
from routing.changes import proposal_ends as ends
from routing.changes.schedule import When
from routing.core import approval, reasons, rights
from routing.core.approval import Agreed, Content, PolicyWish
from routing.core.errors import Invalid, Refused, RuleBroken, Stale
from routing.core.flags import SetFlag
from routing.core.guards import Answer
from routing.core.plans import Due
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName, Health, Path, ProposalState
from routing.flags import store as flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What applying did: its audit entry, and what it was that was applied, or planned."""

    entry_seq: int
    content: Content


def make(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    reason: str,
    health: Mapping[Path, Health],
    sets: Sequence[SetFlag] = (),
    policy: PolicyWish | None = None,
    due: Due | None = None,
    lasts: timedelta | None = None,
    replaces: int | None = None,
) -> ProposalRow:
    """Propose a change of flags, or of what needs approval; nothing in force changes.

    With `due` applying it plans it for then, with `lasts` it goes back that long after it is made.
    The proposal is open for 24 h, and not after `due`. `replaces` names an open proposal of the
    same person that this one is the edit of: it is voided, with any approval that it had. What a
    guard refuses cannot be proposed.
    Raises Forbidden, Invalid, UnknownWord, NotFound, Stale, RuleBroken; each is booked.
    """
    with _denied(by, now, Action.PROPOSAL_MAKE, environment, number="new", reason=reason):
        approval.check_first(by)
        content = _content(
            by=by,
            now=now,
            environment=environment,
            reason=reason,
            health=health,
            sets=sets,
            policy=policy,
            due=due,
            lasts=lasts,
        )
        with transaction.atomic(durable=True):
            if replaces is not None:
                _replace(by, now, environment, replaces)
            ends_at = now + approval.LASTS
            if due is not None:
                ends_at = min(ends_at, due.due_at)
            row = store.make(content=content, by=by.id, now=now, expires_at=ends_at)
            ends.book(Action.PROPOSAL_MAKE, row, by=by, now=now, reason=content.reason)
            return row


def _content(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    reason: str,
    health: Mapping[Path, Health],
    sets: Sequence[SetFlag],
    policy: PolicyWish | None,
    due: Due | None,
    lasts: timedelta | None,
) -> Content:
    rights.check(by, Right.SETTINGS if policy else Right.CHANGE, environment)
    why = reasons.check(reason, environment)
    if len(why) < reasons.SHORTEST:
        raise Invalid(
            f"A proposal needs a reason of at least {reasons.SHORTEST} characters, in "
            f"{environment} too: say why, for whoever is to agree.",
            field="reason",
        )
    if policy is not None:
        if sets:
            raise Invalid("Propose flags or what needs approval, one at a time.", field="sets")
        if due is not None or lasts is not None:
            raise Invalid("What needs approval changes at once and for good.", field="at")
        approval_policy.check_new(store.policy(environment), policy)
        return Content(environment=environment, reason=why, policy=policy)
    if due is not None:
        schedule.check(when(due, lasts), now)
    judged = change.preview(
        by=by,
        now=now,
        environment=environment,
        sets=sets,
        health=health,
        ends_at=None if lasts is None else now + lasts,
    )
    if judged.answer is Answer.REFUSE:
        consent.check(judged, by=by, environment=environment, confirmed=True)
    return Content(
        environment=environment,
        reason=why,
        sets=change.wishes(environment, sets),
        due=due,
        lasts=lasts,
    )


def when(due: Due, lasts: timedelta | None) -> When:
    """Return the time of a proposal as a planned change takes it."""
    return When(due_at=due.due_at, local=due.local, zone=due.zone, grace=due.grace, lasts=lasts)


def _replace(by: Actor, now: datetime, environment: EnvironmentName, number: int) -> None:
    old = store.read(environment, number, lock=True)
    if old.proposed_by != by.id:
        raise RuleBroken(
            f"Refused by the rule {approval.OTHER}: only who made proposal {number} edits it. "
            "Make one of your own.",
            rule=approval.OTHER,
        )
    hook.check_open(old, now, set(approval.OPEN))
    because = "it was edited; another proposal stands in its place"
    ends.end(old, ProposalState.VOIDED, Action.PROPOSAL_END, by=by, now=now, because=because)


def approve(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    number: int,
    digest: str,
    note: str = "",
) -> ProposalRow:
    """Agree, as the second person, to the content that `digest` is of; nothing is applied yet.

    Raises Forbidden, Invalid, NotFound, Stale (other content, another base), RuleBroken (not a
    person, the proposer, a tied account, a proposal that is over); each is booked.
    """
    with (
        ends.tidied(environment, number, now),
        _denied(by, now, Action.PROPOSAL_APPROVE, environment, number=str(number), reason=note),
    ):
        rights.check(by, Right.APPROVE, environment)
        said = reasons.check(note, EnvironmentName.DEVELOPMENT)  # a note; the proposal has reasons
        with transaction.atomic(durable=True):
            flags.lock(environment)
            row = store.read(environment, number, lock=True)
            approval.check_second(by, proposed_by=row.proposed_by)
            hook.check_open(row, now, {ProposalState.PROPOSED})
            content = hook.looked_at(row, digest)
            _check_base(row)
            hook.check_people(row, by.id, content.right, now)
            agreed = store.move(
                row,
                ProposalState.APPROVED,
                approved_at=now,
                approved_by=by.id,
                approved_note=said,
            )
            ends.book(Action.PROPOSAL_APPROVE, agreed, by=by, now=now, reason=said, before=row)
            return agreed


def reject(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    number: int,
    reason: str,
) -> ProposalRow:
    """End a proposal, or take an approval back, with a reason; whoever may approve may.

    Raises Forbidden, Invalid, NotFound, RuleBroken (it is over); each is booked.
    """
    with (
        ends.tidied(environment, number, now),
        _denied(by, now, Action.PROPOSAL_REJECT, environment, number=str(number), reason=reason),
    ):
        rights.check(by, Right.APPROVE, environment)
        why = _why_not(reason)
        return _ended(
            by=by, now=now, at=(environment, number), state=ProposalState.REJECTED, why=why
        )


def withdraw(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    number: int,
    reason: str = "",
) -> ProposalRow:
    """Take back what one proposed oneself; another's is for an admin there.

    Raises Forbidden, Invalid, NotFound, RuleBroken (it is over); each is booked.
    """
    with (
        ends.tidied(environment, number, now),
        _denied(by, now, Action.PROPOSAL_WITHDRAW, environment, number=str(number), reason=reason),
    ):
        row = store.read(environment, number)
        rights.check(by, Right.CHANGE if row.proposed_by == by.id else Right.SETTINGS, environment)
        why = reasons.check(reason, EnvironmentName.DEVELOPMENT)
        return _ended(
            by=by, now=now, at=(environment, number), state=ProposalState.WITHDRAWN, why=why
        )


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    number: int,
    digest: str,
    health: Mapping[Path, Health],
    confirmed: bool = False,
    typed_environment: str = "",
) -> Done:
    """Apply an approved proposal, once: by whoever may make such a change, guards judging anew.

    One with a time is planned for it, and judged once more then.

    Raises what `change.apply` does for it; NotFound, Stale, RuleBroken. Each is booked.
    """
    with ends.tidied(environment, number, now):
        with _denied(by, now, Action.PROPOSAL_APPLY, environment, number=str(number)):
            content = hook.looked_at(store.read(environment, number), digest)
        under = Agreed(number=number, digest=digest)
        if content.policy is not None:
            done = approval_policy.apply(
                by=by,
                now=now,
                environment=environment,
                flags_needing=content.policy.flags,
                base_version=content.policy.base_version,
                reason=content.reason,
                typed_environment=typed_environment,
                under=under,
            )
            return Done(entry_seq=done.entry_seq, content=content)
        asked: dict[str, Any] = {
            "by": by,
            "now": now,
            "environment": environment,
            "sets": sets_of(content),
            "reason": content.reason,
            "health": health,
            "confirmed": confirmed,
            "typed_environment": typed_environment,
            "under": under,
        }
        if content.due is not None:
            booked = schedule.apply(when=when(content.due, content.lasts), **asked)
            return Done(entry_seq=booked.entry_seq, content=content)
        ends_at = None if content.lasts is None else now + content.lasts
        applied = change.apply(ends_at=ends_at, **asked)
        return Done(entry_seq=applied.entry_seq, content=content)


def sets_of(content: Content) -> tuple[SetFlag, ...]:
    """Return the flags of `content` as a change takes them."""
    return tuple(
        SetFlag(
            flag=wish.flag,
            on=wish.on,
            percentage=wish.percentage,
            groups=wish.groups,
            base_version=wish.base_version,
        )
        for wish in content.sets
    )


def obstacle(row: ProposalRow, *, by: Actor, now: datetime) -> str:
    """Return why `by` could not approve the proposal now, empty if they could."""
    try:
        rights.check(by, Right.APPROVE, row.environment)
        approval.check_second(by, proposed_by=row.proposed_by)
        hook.check_open(row, now, {ProposalState.PROPOSED})
        content = hook.looked_at(row, row.digest)
        _check_base(row)
        hook.check_people(row, by.id, content.right, now, lock=False)
    except Refused as error:
        return error.message
    return ""


def _check_base(row: ProposalRow) -> None:
    drift = ends.moved(row)
    if drift:
        raise Stale(
            f"Proposal {row.number} starts from what is over: {drift}. Nothing was approved; "
            "propose it anew.",
            current=drift,
        )


def _why_not(reason: str) -> str:
    why = reasons.check(reason, EnvironmentName.DEVELOPMENT)
    if len(why) < reasons.SHORTEST:
        raise Invalid(
            f"Say in at least {reasons.SHORTEST} characters why not, for whoever proposed it.",
            field="reason",
        )
    return why


_END = {
    ProposalState.REJECTED: Action.PROPOSAL_REJECT,
    ProposalState.WITHDRAWN: Action.PROPOSAL_WITHDRAW,
}


def _ended(
    *,
    by: Actor,
    now: datetime,
    at: tuple[EnvironmentName, int],
    state: ProposalState,
    why: str,
) -> ProposalRow:
    with transaction.atomic(durable=True):
        row = store.read(*at, lock=True)
        hook.check_open(row, now, set(approval.OPEN))
        return ends.end(row, state, _END[state], by=by, now=now, because=why)


def _denied(
    by: Actor,
    now: datetime,
    action: Action,
    environment: EnvironmentName,
    *,
    number: str,
    reason: str = "",
) -> AbstractContextManager[None]:
    return ledger.denied(
        by=by,
        now=now,
        action=action,
        environment=environment,
        object_type=ends.OBJECT,
        object_id=number,
        reason=reason,
    )
