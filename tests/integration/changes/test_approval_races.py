"""One approved proposal, applied by several at once: exactly one change comes of it."""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest

from routing.approvals import queries
from routing.approvals.store import ProposalRow
from routing.audit import verify
from routing.core.errors import Refused
from routing.core.rights import Actor
from routing.core.values import Action, Outcome, ProposalState
from tests.integration.changes import pairs
from tests.integration.changes.ground import PROD, entries, is_on, lay, version
from tests.integration.changes.pairs import MCP
from tests.integration.flags.test_races import in_threads

pytestmark = pytest.mark.django_db(transaction=True)
AT_ONCE = 4


def attempt(by: Actor, row: ProposalRow) -> str:
    """Try to apply `row`; return how that ended."""
    try:
        pairs.apply(by, row)
    except Refused as refusal:
        return refusal.code
    return "done"


def test_of_many_who_apply_one_proposal_exactly_one_does() -> None:
    lay()
    ada, ben = pairs.somebody("ada"), pairs.somebody("ben")
    row = pairs.approve(ben.actor, pairs.propose(ada.actor))
    before = version(MCP, PROD)
    people = [(ada, ben)[number % 2].actor for number in range(AT_ONCE)]
    ends = Counter(in_threads([partial(attempt, by, row) for by in people]))
    assert ends.pop("done") == 1
    assert ends.total() == AT_ONCE - 1 and set(ends) <= {"stale", "rule_broken"}, ends
    assert (is_on(MCP, PROD), version(MCP, PROD)) == (False, before + 1)
    applied = queries.proposal(PROD, row.number)
    assert applied.state is ProposalState.APPLIED
    changes = [e for e in entries() if e.action == Action.FLAG_CHANGE and e.environment == PROD]
    assert [e.seq for e in changes if e.outcome == Outcome.DONE] == [applied.entry_seq]
    refused = [e for e in entries() if e.outcome == Outcome.REFUSED]
    assert len(refused) == AT_ONCE - 1
    assert verify.verify().ok
