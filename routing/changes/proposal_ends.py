"""How a proposal ends without being applied: by a person, by its time, by another base."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import transaction

from routing import stream
from routing.approvals import store
from routing.approvals.store import ProposalRow
from routing.audit import ledger
from routing.core.chain import Json
from routing.core.errors import NeedsConfirm, Refused, Stale
from routing.core.rights import Actor, system_actor
from routing.core.values import Action, EnvironmentName, ProposalState
from routing.flags import store as flags

OBJECT = "proposal"
_SYSTEM = system_actor("approvals")
EXPIRED = "nobody applied it in time"


def sweep(now: datetime) -> int:
    """Book the end of every proposal that cannot be applied any more; return how many ended."""
    return sum(_tidy(row.environment, row.number, now) for row in store.open_ones())


def moved(row: ProposalRow) -> str:
    """Return what of the proposal's base is another one by now, empty if nothing is."""
    content = row.content
    if content.policy is not None:
        inforce = store.policy(row.environment).version
        if inforce == content.policy.base_version:
            return ""
        return f"what needs approval is at version {inforce} by now"
    states = flags.read(row.environment)
    gone = [
        f"{wish.flag} is at version {states[wish.flag].version} by now, not {wish.base_version}"
        for wish in content.sets
        if wish.flag not in states or states[wish.flag].version != wish.base_version
    ]
    return "; ".join(gone)


@contextmanager
def tidied(environment: EnvironmentName, number: int, now: datetime) -> Iterator[None]:
    """Book the end of a proposal that a refusal has just shown to be over."""
    try:
        yield
    except NeedsConfirm:
        raise
    except Refused:
        _tidy(environment, number, now)
        raise


def _tidy(environment: EnvironmentName, number: int, now: datetime) -> int:
    with transaction.atomic(durable=True):
        row = next((r for r in store.open_ones(environment) if r.number == number), None)
        if row is None:
            return 0
        if now >= row.expires_at:
            state, because = ProposalState.EXPIRED, EXPIRED
        elif not row.is_whole:
            state, because = ProposalState.VOIDED, "its stored text is not what was proposed"
        elif drift := moved(row):
            state, because = ProposalState.VOIDED, drift[:500]
        else:
            return 0
        try:
            end(row, state, Action.PROPOSAL_END, by=_SYSTEM, now=now, because=because)
        except Stale:  # another process has just done it
            return 0
        return 1


def end(
    row: ProposalRow,
    state: ProposalState,
    action: Action,
    *,
    by: Actor,
    now: datetime,
    because: str,
) -> ProposalRow:
    """End a proposal in the caller's transaction, booked; raises Stale if somebody was faster."""
    ended = store.move(row, state, ended_at=now, ended_by=by.id, ended_because=because)
    book(action, ended, by=by, now=now, reason=because, before=row)
    return ended


def book(
    action: Action,
    row: ProposalRow,
    *,
    by: Actor,
    now: datetime,
    reason: str,
    before: ProposalRow | None = None,
) -> None:
    """Book a step of a proposal; the first one carries its whole content."""
    facts: dict[str, Json] = {"digest": row.digest, "proposed_by": row.proposed_by}
    if row.approved_by:
        facts["approved_by"] = row.approved_by
    after: dict[str, Any] = {"state": str(row.state)}
    if before is None:
        facts["content"] = row.text
        after["expires_at"] = row.expires_at.isoformat()
    ledger.record(
        by=by,
        now=now,
        action=action,
        environment=row.environment,
        object_type=OBJECT,
        object_id=str(row.number),
        reason=reason,
        before={"state": str(before.state)} if before else None,
        after=after,
        facts=facts,
    )
    stream.announce("approvals", row.environment)
