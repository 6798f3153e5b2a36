"""Compare-and-set on proposals and on what needs one, inside the caller's transaction.

Neither books nor announces.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing.approvals.models import ApprovalPolicy, Proposal
from routing.core import approval
from routing.core.approval import Content
from routing.core.errors import Invalid, NotFound, Stale
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName, ProposalState


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRow:
    """One proposal as stored; `text` is what `digest` has to be of."""

    number: int
    environment: EnvironmentName
    text: str
    digest: str
    state: ProposalState
    proposed_at: datetime
    proposed_by: str
    expires_at: datetime
    approved_at: datetime | None
    approved_by: str
    approved_note: str
    ended_at: datetime | None
    ended_by: str
    ended_because: str
    entry_seq: int | None

    @property
    def is_whole(self) -> bool:
        """Tell whether the content is the one that the digest was made of, for this place."""
        try:
            place = self.content.environment
        except Invalid:
            return False
        return approval.digest(self.text) == self.digest and place is self.environment

    @property
    def content(self) -> Content:
        """Return what is proposed; raises Invalid for a text that is none."""
        return approval.read(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The flags that need approval in one environment; version 0 is the product's own."""

    environment: EnvironmentName
    version: int
    flags: frozenset[FlagName]


def make(*, content: Content, by: str, now: datetime, expires_at: datetime) -> ProposalRow:
    """Store a new proposal."""
    text = approval.write(content)
    return _row(
        Proposal.objects.create(
            environment_id=str(content.environment),
            content=text,
            digest=approval.digest(text),
            proposed_at=now,
            proposed_by=by,
            expires_at=expires_at,
        )
    )


def read(environment: EnvironmentName, number: int, *, lock: bool = False) -> ProposalRow:
    """Return one proposal of `environment`, with `lock` kept from others until the commit.

    Raises NotFound, also for a proposal of another environment.
    """
    found = Proposal.objects.filter(environment_id=str(environment), pk=number)
    kept = (found.select_for_update() if lock else found).first()
    if kept is None:
        raise NotFound(
            f"{environment} has no proposal {number}; a proposal counts in its own environment "
            "only. Look at the list."
        )
    return _row(kept)


def applied_under(environment: EnvironmentName, entry_seq: int) -> ProposalRow | None:
    """Return the proposal that was applied under that audit entry, None where none was."""
    found = Proposal.objects.filter(environment_id=str(environment), entry_seq=entry_seq).first()
    return _row(found) if found else None


def open_ones(environment: EnvironmentName | None = None) -> tuple[ProposalRow, ...]:
    """Return the proposals that can still be applied or approved, the oldest first."""
    rows = Proposal.objects.filter(state__in=[str(s) for s in approval.OPEN]).order_by("pk")
    if environment is not None:
        rows = rows.filter(environment_id=str(environment))
    return tuple(_row(row) for row in rows)


def latest(environment: EnvironmentName, n: int) -> tuple[ProposalRow, ...]:
    """Return the last `n` proposals of `environment`, the newest first."""
    rows = Proposal.objects.filter(environment_id=str(environment)).order_by("-pk")[:n]
    return tuple(_row(row) for row in rows)


def move(row: ProposalRow, target: ProposalState, **columns: Any) -> ProposalRow:
    """Bring a proposal from the state it was read in to `target`; raises Stale if it left that."""
    if target not in approval.NEXT[row.state]:
        raise _left(row.number, row.state)
    found = Proposal.objects.filter(pk=row.number, state=str(row.state))
    if not found.update(state=str(target), **columns):
        raise _left(row.number, read(row.environment, row.number).state)
    return read(row.environment, row.number)


def seal(number: int, *, entry_seq: int) -> None:
    """Note under which audit entry the proposal was applied."""
    Proposal.objects.filter(pk=number).update(entry_seq=entry_seq)


def _left(number: int, state: ProposalState) -> Stale:
    return Stale(
        f"Proposal {number} is {state} by now. Nothing was changed; look at it again.",
        current=str(state),
    )


def policy(environment: EnvironmentName) -> Policy:
    """Return what needs approval in `environment`: the newest version, or the product's own.

    A word that is no flag of ours is left out: a flag that is gone cannot be changed either.
    """
    newest = ApprovalPolicy.objects.filter(environment_id=str(environment))
    kept = newest.order_by("-version").first()
    if kept is None:
        return Policy(environment=environment, version=0, flags=approval.DEFAULT[environment])
    flags = frozenset(FlagName(flag) for flag in kept.flags if flag in set(FlagName))
    return Policy(environment=environment, version=kept.version, flags=flags)


def put_policy(
    *,
    environment: EnvironmentName,
    base_version: int,
    flags: Iterable[FlagName],
    by: str,
    now: datetime,
) -> Policy:
    """Put `flags` in force as the version after `base_version`; raises Stale if that is over."""
    inforce = policy(environment)
    if inforce.version != base_version:
        raise stale_policy(inforce, base_version)
    ApprovalPolicy.objects.create(
        environment_id=str(environment),
        version=base_version + 1,
        flags=sorted(str(flag) for flag in flags),
        made_at=now,
        made_by=by,
    )
    return policy(environment)


def stale_policy(inforce: Policy, base_version: int) -> Stale:
    """Return the refusal for whoever looked at `base_version` of what needs approval."""
    return Stale(
        f"What needs approval in {inforce.environment} is at version {inforce.version} by now, "
        f"not {base_version}. Nothing was changed; look at it again.",
        current=inforce.version,
    )


def _row(kept: Proposal) -> ProposalRow:
    return ProposalRow(
        number=kept.pk,
        environment=EnvironmentName(kept.environment_id),
        text=kept.content,
        digest=kept.digest,
        state=ProposalState(kept.state),
        proposed_at=kept.proposed_at,
        proposed_by=kept.proposed_by,
        expires_at=kept.expires_at,
        approved_at=kept.approved_at,
        approved_by=kept.approved_by,
        approved_note=kept.approved_note,
        ended_at=kept.ended_at,
        ended_by=kept.ended_by,
        ended_because=kept.ended_because,
        entry_seq=kept.entry_seq,
    )
