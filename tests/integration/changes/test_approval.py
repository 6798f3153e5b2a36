"""Four eyes on the service layer; the ways past them stand in test_approval_ways."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from routing.approvals import queries, store
from routing.audit import verify
from routing.changes import approval_policy, change, drift, glass, proposal, proposal_ends
from routing.core import approval
from routing.core.approval import Agreed, Bypass, PolicyWish
from routing.core.errors import Forbidden, Invalid, RuleBroken, Stale
from routing.core.guards import Cause
from routing.core.values import ProposalState, Role
from tests.integration.changes import ground, pairs
from tests.integration.changes.ground import (
    DEV,
    NOW,
    PROD,
    PROVEN,
    STG,
    entries,
    facts,
    is_on,
    to,
    version,
)
from tests.integration.changes.pairs import (
    BEDROCK,
    CACHING,
    DIRECT,
    MCP,
    apply,
    approve,
    propose,
    refused,
    somebody,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_proposal_changes_nothing_until_both_have_agreed(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    before = pairs.standing()
    row = propose(ada.actor)
    assert (row.state, row.expires_at) == (ProposalState.PROPOSED, NOW + timedelta(hours=24))
    agreed = approve(ben.actor, row)
    assert (agreed.state, agreed.approved_by) == (ProposalState.APPROVED, ben.actor.id)
    assert pairs.standing() == before
    done = apply(ada.actor, row)
    assert not is_on(MCP, PROD)
    entry = entries()[0]
    assert (entry.seq, entry.action, entry.actor) == (done.entry_seq, "flag.change", ada.actor.id)
    assert facts(entry.facts)["approval"] == {
        "proposal": row.number,
        "digest": row.digest,
        "proposed_by": ada.actor.id,
        "approved_by": ben.actor.id,
        "approved_at": NOW.isoformat(),
    }
    kept = queries.proposal(PROD, row.number)
    assert (kept.state, kept.entry_seq) == (ProposalState.APPLIED, done.entry_seq)
    assert verify.verify().ok


def test_without_approval_a_path_flag_of_production_is_refused(ada: pairs.Person) -> None:
    with pytest.raises(RuleBroken, match="needs a second person"):
        ground.apply([to(MCP, False, environment=PROD)], by=ada.actor, **DIRECT)
    assert refused() == (ada.actor.id, "flag.change", approval.REQUIRED)
    assert is_on(MCP, PROD)


def test_a_set_needs_approval_for_each_of_its_flags(ada: pairs.Person) -> None:
    wish = [to(CACHING, False, environment=PROD), to(MCP, False, environment=PROD)]
    with pytest.raises(RuleBroken, match="ENABLE_MCP_INTEGRATION needs"):
        ground.apply(wish, by=ada.actor, **DIRECT)
    assert is_on(CACHING, PROD)


@pytest.mark.parametrize("environment", [DEV, STG])
def test_elsewhere_nothing_waits(ada: pairs.Person, environment: Any) -> None:
    wish = [to(MCP, False, environment=environment)]
    ground.apply(wish, by=ada.actor, **(DIRECT | {"environment": environment}))
    assert not is_on(MCP, environment)


@pytest.mark.parametrize("cause", Cause)
def test_a_path_goes_off_for_its_cause_at_once(ada: pairs.Person, cause: Cause) -> None:
    ground.apply([to(MCP, False, environment=PROD)], by=ada.actor, cause=cause, **DIRECT)
    assert not is_on(MCP, PROD)


def test_a_cause_opens_no_path_and_carries_no_other_flag(ada: pairs.Person) -> None:
    cause: dict[str, Any] = {"by": ada.actor, "cause": Cause.SECURITY, **DIRECT}
    with pytest.raises(RuleBroken, match=approval.REQUIRED):
        ground.apply([to(MCP, True, percentage=50, environment=PROD)], **cause)
    ground.apply([to(MCP, False, environment=PROD)], **cause)
    with pytest.raises(RuleBroken, match=approval.REQUIRED):
        ground.apply([to(MCP, True, environment=PROD)], **cause)
    assert not is_on(MCP, PROD)


@pytest.mark.parametrize("under", Bypass)
def test_a_rollback_never_waits_and_says_so(ada: pairs.Person, under: Bypass) -> None:
    ground.apply([to(MCP, False, environment=PROD)], by=ada.actor, under=under, **DIRECT)
    assert not is_on(MCP, PROD)
    assert facts(entries()[0].facts)["approval"] == {
        "bypassed": str(under),
        "flags": [str(MCP)],
    }


def test_while_the_glass_is_broken_nothing_waits_and_every_entry_says_so(
    ada: pairs.Person,
) -> None:
    glass.begin(
        by=ada.actor,
        now=NOW,
        environment=PROD,
        minutes=5,
        reason="nobody else is awake",
        typed_environment="production",
    )
    ground.apply([to(MCP, False, environment=PROD)], by=ada.actor, **DIRECT)
    assert not is_on(MCP, PROD)
    assert facts(entries()[0].facts)["approval"]["bypassed"] == "break_glass"
    after = NOW + timedelta(minutes=6)
    with pytest.raises(RuleBroken, match=approval.REQUIRED):
        ground.apply([to(MCP, True, environment=PROD)], by=ada.actor, now=after, **DIRECT)


def test_what_a_guard_refuses_cannot_be_proposed(ada: pairs.Person) -> None:
    both = [to(MCP, False, environment=PROD), to(BEDROCK, False, environment=PROD)]
    with pytest.raises(RuleBroken, match="no_path_left"):
        propose(ada.actor, both)
    assert refused() == (ada.actor.id, "proposal.make", "no_path_left")


def test_guards_judge_again_when_it_is_applied(ada: pairs.Person, ben: pairs.Person) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    security: dict[str, Any] = {"by": ada.actor, "cause": Cause.SECURITY, **DIRECT}
    ground.apply([to(BEDROCK, False, environment=PROD)], **security)
    with pytest.raises(RuleBroken, match="no_path_left"):
        apply(ada.actor, row)
    assert is_on(MCP, PROD)
    assert queries.proposal(PROD, row.number).state is ProposalState.APPROVED


def test_adopting_what_was_written_around_us_is_no_way_past(ada: pairs.Person) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            'UPDATE routing_flagstate SET "on" = NOT "on" WHERE flag_id = %s '
            "AND environment_id = 'production'",
            [str(MCP)],
        )
    asked: dict[str, Any] = {
        "by": ada.actor,
        "now": NOW,
        "environment": PROD,
        "touches": drift.look(PROD).touches,
        "reason": "it is so already",
        "typed_environment": "production",
    }
    pairs.attempt(
        approval.REQUIRED,
        ada.actor,
        "flag.adopt",
        lambda: drift.adopt(health=PROVEN, confirmed=True, **asked),
    )
    drift.revert(**asked)
    assert is_on(MCP, PROD)


def test_more_flags_need_approval_at_once_fewer_only_by_two(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    done = approval_policy.apply(
        by=ada.actor,
        now=NOW,
        environment=STG,
        flags_needing=[MCP],
        base_version=0,
        reason="staging carries the trial",
    )
    assert done.policy.flags == {MCP}
    with pytest.raises(RuleBroken, match=approval.REQUIRED):
        ground.apply([to(MCP, False)], by=ada.actor, confirmed=True)
    wish = PolicyWish(flags=frozenset(), base_version=1)
    row = propose(ada.actor, [], policy=wish, environment=STG, reason="the trial is over")
    approve(ben.actor, row)
    apply(ada.actor, row)
    kept = queries.policy(STG)
    assert (kept.version, kept.flags) == (2, frozenset())
    entry = entries()[0]
    assert entry.action == "approval.policy"
    assert facts(entry.facts)["approval"]["approved_by"] == ben.actor.id
    ground.apply([to(MCP, False)], by=ada.actor, confirmed=True)


def test_a_reviewer_cannot_propose_and_a_viewer_cannot_approve(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    with pytest.raises(Forbidden):
        propose(ben.actor)
    viewer = somebody("vera", Role.VIEWER)
    row = propose(ada.actor)
    for do in (
        lambda: approve(viewer.actor, row),
        lambda: apply(viewer.actor, row),
        lambda: proposal.withdraw(
            by=viewer.actor, now=NOW, environment=PROD, number=row.number, reason=""
        ),
    ):
        with pytest.raises(Forbidden):
            do()
    with pytest.raises(Invalid, match="why not"):
        proposal.reject(by=ben.actor, now=NOW, environment=PROD, number=row.number, reason="no")


def test_the_sweep_books_what_is_over_once(ada: pairs.Person) -> None:
    row = propose(ada.actor)
    assert proposal_ends.sweep(NOW) == 0
    assert proposal_ends.sweep(NOW + timedelta(hours=25)) == 1
    assert proposal_ends.sweep(NOW + timedelta(hours=25)) == 0
    entry = entries()[0]
    assert (entry.action, entry.object_id) == ("proposal.end", str(row.number))
    assert entry.after == {"state": "expired"}


def test_a_row_that_was_read_before_is_not_applied_again(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    read = store.read(PROD, row.number)
    apply(ada.actor, row)
    with pytest.raises(Stale, match="applied by now"):
        store.move(read, ProposalState.APPLIED)
    assert version(MCP, PROD) == 2


def test_a_change_that_fails_leaves_the_approval(ada: pairs.Person, ben: pairs.Person) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)

    def die(_: change.Applied) -> None:
        raise OSError("killed")

    under = Agreed(number=row.number, digest=row.digest)
    with pytest.raises(OSError, match="killed"):
        ground.apply(
            [to(MCP, False, environment=PROD)],
            by=ada.actor,
            under=under,
            then=die,
            **(DIRECT | {"reason": pairs.WHY}),
        )
    assert queries.proposal(PROD, row.number).state is ProposalState.APPROVED
    assert is_on(MCP, PROD)


def test_a_stored_word_that_is_none_of_ours_stops_the_start(ada: pairs.Person) -> None:
    propose(ada.actor)
    assert all(not vocabulary_mismatches(table) for table in queries.stored())
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM routing_approvalpolicy")
        cursor.execute(
            "INSERT INTO routing_approvalpolicy (environment_id, version, flags, made_at, made_by)"
            " VALUES ('staging', 1, '[\"ENABLE_ALL\"]', %s, 'x')",
            [NOW],
        )
    found = [one for table in queries.stored() for one in vocabulary_mismatches(table)]
    assert found == ["stored approval policies: 'ENABLE_ALL' is no FlagName."]


def vocabulary_mismatches(table: Any) -> list[str]:
    from routing.core import vocabulary

    return vocabulary.mismatches(table)
