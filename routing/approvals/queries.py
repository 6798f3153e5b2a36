"""Reading proposals, and what needs one, for pages and checks."""

from __future__ import annotations

from datetime import datetime

from routing.approvals import store
from routing.approvals.models import ApprovalPolicy, Proposal
from routing.approvals.store import Policy, ProposalRow
from routing.core import vocabulary
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName, ProposalState
from routing.core.vocabulary import Table

__all__ = ["Policy", "ProposalRow", "latest", "policy", "proposal", "stored", "waiting"]

latest, policy = store.latest, store.policy


def proposal(environment: EnvironmentName, number: int) -> ProposalRow:
    """Return one proposal; raises NotFound."""
    return store.read(environment, number)


def waiting(environment: EnvironmentName, *, now: datetime) -> int:
    """Return how many proposals wait for a second person."""
    return Proposal.objects.filter(
        environment_id=str(environment),
        state=str(ProposalState.PROPOSED),
        expires_at__gt=now,
    ).count()


def stored() -> tuple[Table, ...]:
    """Return the words of ours that the tables of approvals hold, to be checked at the start."""
    states = Proposal.objects.values_list("state", flat=True).distinct()
    lists = ApprovalPolicy.objects.values_list("flags", flat=True)
    return (
        vocabulary.stored("stored proposals", ProposalState, states),
        vocabulary.stored(
            "stored approval policies", FlagName, sorted({word for one in lists for word in one})
        ),
    )
