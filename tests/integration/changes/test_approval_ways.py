"""The ways past a second person: each is refused, booked, and changes nothing."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection

from routing.access import accounts, people
from routing.approvals import queries
from routing.changes import approval_policy, proposal
from routing.core import approval
from routing.core.approval import Agreed, Bypass
from routing.core.rights import Actor, system_actor
from routing.core.values import ActorKind, ProposalState, Role
from tests.integration.changes import ground, pairs
from tests.integration.changes.ground import (
    NOW,
    PROD,
    SHELL,
    STG,
    entries,
    is_on,
    to,
)
from tests.integration.changes.pairs import (
    BEDROCK,
    CACHING,
    DIRECT,
    MCP,
    apply,
    approve,
    attempt,
    propose,
    somebody,
)

pytestmark = pytest.mark.django_db


def test_way_1_an_edit_after_the_approval_voids_it(ada: pairs.Person, ben: pairs.Person) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    edited = propose(ada.actor, [to(BEDROCK, False, environment=PROD)], replaces=row.number)
    assert queries.proposal(PROD, row.number).state is ProposalState.VOIDED
    for left in (row, edited):
        attempt(approval.OVER, ada.actor, "flag.change", partial(apply, ada.actor, left))


def test_way_1_an_edit_around_us_is_found_and_voids_it(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    other = row.text.replace(str(MCP), str(BEDROCK))
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE routing_proposal SET content = %s WHERE id = %s", [other, row.number]
        )
    attempt(approval.OTHER, ada.actor, "proposal.apply", partial(apply, ada.actor, row))
    assert queries.proposal(PROD, row.number).state is ProposalState.VOIDED
    assert (entries()[0].action, entries()[0].actor) == ("proposal.end", "system:approvals")


def test_way_2_a_base_that_moved_voids_it(ada: pairs.Person, ben: pairs.Person) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    for on in (False, True):  # there and back again: the same state, another version
        ground.apply(
            [to(MCP, on, environment=PROD)], by=ada.actor, under=Bypass.ROLLBACK, **DIRECT
        )
    attempt("stale", ada.actor, "flag.change", partial(apply, ada.actor, row))
    kept = queries.proposal(PROD, row.number)
    assert kept.state is ProposalState.VOIDED
    assert "version 3 by now, not 1" in kept.ended_because


def test_way_2_a_moved_base_cannot_be_approved_either(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    row = propose(ada.actor)
    ground.apply([to(MCP, False, environment=PROD)], by=ada.actor, under=Bypass.ROLLBACK, **DIRECT)
    attempt("stale", ben.actor, "proposal.approve", partial(approve, ben.actor, row))
    assert queries.proposal(PROD, row.number).state is ProposalState.VOIDED


def test_way_3_nobody_approves_their_own(ada: pairs.Person) -> None:
    row = propose(ada.actor)
    attempt(
        approval.SELF,
        ada.actor,
        "proposal.approve",
        partial(approve, ada.actor, row),
    )


def test_way_4_not_from_another_session_either(ada: pairs.Person) -> None:
    row = propose(ada.actor)
    again = Actor(
        kind=ActorKind.USER, id=ada.actor.id, name="ada", grants=ada.actor.grants, session="two"
    )
    attempt(approval.SELF, again, "proposal.approve", lambda: approve(again, row))


def test_way_5_nor_by_an_account_that_the_proposer_made(ada: pairs.Person) -> None:
    puppet = somebody("puppet", by=ada.actor, at=NOW - timedelta(days=6))
    row = propose(ada.actor)
    attempt(
        approval.TIED,
        puppet.actor,
        "proposal.approve",
        lambda: approve(puppet.actor, row),
    )
    attempt(  # nor the other way round
        approval.TIED,
        ada.actor,
        "proposal.approve",
        lambda: approve(ada.actor, propose(puppet.actor)),
    )


def test_way_5_nor_by_one_that_such_an_account_made(ada: pairs.Person) -> None:
    first = somebody("first", by=ada.actor, at=NOW - timedelta(days=6))
    second = somebody("second", by=first.actor, at=NOW - timedelta(days=5))
    row = propose(ada.actor)
    attempt(
        approval.TIED,
        second.actor,
        "proposal.approve",
        lambda: approve(second.actor, row),
    )


def test_after_seven_days_an_account_stands_on_its_own(ada: pairs.Person) -> None:
    carol = somebody("carol", by=ada.actor, at=NOW - timedelta(days=7, seconds=1))
    row = propose(ada.actor)
    assert approve(carol.actor, row).state is ProposalState.APPROVED


def test_way_6_nor_by_one_that_the_proposer_granted_a_role(ada: pairs.Person) -> None:
    dan = somebody("dan", Role.VIEWER)
    at = NOW - timedelta(days=2)
    grant: dict[str, Any] = {"user_id": dan.user_id, "environment": PROD}
    people.grant(reason="for a test", by=ada.actor, now=at, role=Role.REVIEWER, **grant)
    # Another's grant later overwrites the table, not the trail.
    people.grant(reason="for a test", by=SHELL, now=NOW, role=Role.ADMIN, **grant)
    row = propose(ada.actor)
    attempt(
        approval.TIED,
        dan.actor,
        "proposal.approve",
        lambda: approve(pairs.somebody_again(dan, Role.ADMIN), row),
    )


@pytest.mark.parametrize("deed", [accounts.reset_password, accounts.reopen])
def test_way_7_nor_by_one_whose_password_the_proposer_reset(
    ada: pairs.Person, ben: pairs.Person, deed: Any
) -> None:
    if deed is accounts.reopen:
        accounts.close(reason="for a test", by=SHELL, now=NOW, user_id=ben.user_id)
    deed(reason="for a test", by=ada.actor, now=NOW - timedelta(days=1), user_id=ben.user_id)
    row = propose(ada.actor)
    attempt(
        approval.TIED,
        ben.actor,
        "proposal.approve",
        partial(approve, ben.actor, row),
    )


def test_way_8_after_its_time_it_is_over(ada: pairs.Person, ben: pairs.Person) -> None:
    late = NOW + timedelta(hours=24)
    waits, agreed = propose(ada.actor), propose(ada.actor)
    approve(ben.actor, agreed)
    attempt(
        approval.OVER,
        ben.actor,
        "proposal.approve",
        lambda: approve(ben.actor, waits, now=late),
    )
    attempt(
        approval.OVER,
        ada.actor,
        "flag.change",
        lambda: apply(ada.actor, agreed, now=late),
    )
    states = {row.state for row in queries.latest(PROD, 9)}
    assert states == {ProposalState.EXPIRED}


def test_way_9_in_another_environment_it_is_none(ada: pairs.Person, ben: pairs.Person) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    attempt(
        "not_found",
        ada.actor,
        "proposal.apply",
        lambda: apply(ada.actor, row, environment=STG),
    )
    under = Agreed(number=row.number, digest=row.digest)
    attempt(
        "not_found",
        ada.actor,
        "flag.change",
        lambda: ground.apply([to(MCP, False)], by=ada.actor, under=under),
    )


def test_way_10_it_is_applied_once(ada: pairs.Person, ben: pairs.Person) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    apply(ada.actor, row)
    attempt("stale", ada.actor, "flag.change", partial(apply, ada.actor, row))
    back = [to(MCP, True, environment=PROD)]
    under = Agreed(number=row.number, digest=row.digest)
    attempt(
        approval.OVER,
        ada.actor,
        "flag.change",
        lambda: ground.apply(back, by=ada.actor, under=under, **DIRECT),
    )


def test_way_11_both_still_hold_their_rights_when_it_is_applied(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    people.revoke(reason="for a test", by=SHELL, now=NOW, user_id=ben.user_id, environment=PROD)
    attempt(
        approval.RIGHT_LOST,
        ada.actor,
        "flag.change",
        partial(apply, ada.actor, row),
    )
    # Granted back by the proposer, they are tied.
    people.grant(
        reason="for a test",
        by=ada.actor,
        now=NOW,
        user_id=ben.user_id,
        environment=PROD,
        role=Role.REVIEWER,
    )
    attempt(approval.TIED, ada.actor, "flag.change", partial(apply, ada.actor, row))


@pytest.mark.parametrize("lose", ["role", "account"])
def test_way_11_the_proposer_too(ada: pairs.Person, ben: pairs.Person, lose: str) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    if lose == "role":
        viewer: dict[str, Any] = {"environment": PROD, "role": Role.VIEWER}
        people.grant(reason="for a test", by=SHELL, now=NOW, user_id=ada.user_id, **viewer)
    else:
        accounts.close(reason="for a test", by=SHELL, now=NOW, user_id=ada.user_id)
    attempt(approval.RIGHT_LOST, SHELL, "flag.change", lambda: apply(SHELL, row))


@pytest.mark.parametrize(
    "who",
    [
        SHELL,
        system_actor("engine"),
        Actor(kind=ActorKind.TOKEN, id="tok_1", name="ci", grants=SHELL.grants),
    ],
    ids=["shell", "system", "token"],
)
def test_way_12_only_a_person_is_the_second_pair_of_eyes(ada: pairs.Person, who: Actor) -> None:
    row = propose(ada.actor)
    rule = "forbidden" if who.kind is ActorKind.SYSTEM else approval.PERSON
    attempt(rule, who, "proposal.approve", lambda: approve(who, row))


def test_way_12_a_token_neither_proposes_nor_applies(ada: pairs.Person, ben: pairs.Person) -> None:
    token = Actor(kind=ActorKind.TOKEN, id="tok_1", name="ci", grants=SHELL.grants)
    attempt(approval.PERSON, token, "proposal.make", lambda: propose(token))
    row = propose(ada.actor)
    approve(ben.actor, row)
    attempt(approval.PERSON, token, "flag.change", lambda: apply(token, row))


def test_a_shell_proposes_and_applies_what_a_person_approved(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    row = propose(SHELL)
    # The accounts were made at the shell, but long ago.
    approve(ben.actor, row)
    apply(SHELL, row)
    assert not is_on(MCP, PROD)


def test_way_13_a_digest_of_something_else_agrees_to_nothing(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    row, other = propose(ada.actor), propose(ada.actor, [to(BEDROCK, False, environment=PROD)])
    for digest in (other.digest, "", "0" * 64):
        attempt(
            "stale",
            ben.actor,
            "proposal.approve",
            partial(approve, ben.actor, row, digest=digest),
        )
    approve(ben.actor, row)
    attempt(
        "stale",
        ada.actor,
        "proposal.apply",
        lambda: apply(ada.actor, row, digest=other.digest),
    )


def test_way_14_the_proposer_cannot_loosen_the_policy_in_between(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    def loosen(**more: Any) -> Any:
        usual: dict[str, Any] = {
            "by": ada.actor,
            "now": NOW,
            "environment": PROD,
            "flags_needing": [BEDROCK],
            "base_version": 0,
            "reason": "it is in my way",
            "typed_environment": "production",
        }
        return approval_policy.apply(**(usual | more))

    attempt(approval.LOOSER, ada.actor, "approval.policy", loosen)
    attempt(  # nor by dropping one while adding others
        approval.LOOSER,
        ada.actor,
        "approval.policy",
        lambda: loosen(flags_needing=[BEDROCK, CACHING]),
    )
    attempt("forbidden", ben.actor, "approval.policy", lambda: loosen(by=ben.actor))
    row = propose(ada.actor)
    approve(ben.actor, row)
    under = Agreed(number=row.number, digest=row.digest)  # agreed to a flag, not to this
    attempt(
        approval.OTHER,
        ada.actor,
        "approval.policy",
        lambda: loosen(under=under, reason=pairs.WHY),
    )
    attempt(
        approval.REQUIRED,
        ada.actor,
        "flag.change",
        lambda: ground.apply([to(MCP, False, environment=PROD)], by=ada.actor, **DIRECT),
    )
    assert queries.policy(PROD).version == 0


def test_way_15_agreed_for_one_flag_applied_to_another(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    row = propose(ada.actor)
    approve(ben.actor, row)
    under = Agreed(number=row.number, digest=row.digest)
    more = [to(MCP, False, environment=PROD), to(CACHING, False, environment=PROD)]
    for sets, reason in (
        ([to(BEDROCK, False, environment=PROD)], pairs.WHY),
        (more, pairs.WHY),
        ([to(MCP, True, percentage=1, environment=PROD)], pairs.WHY),
        ([to(MCP, False, environment=PROD)], "something else altogether"),
    ):
        attempt(
            approval.OTHER,
            ada.actor,
            "flag.change",
            partial(ground.apply, sets, by=ada.actor, under=under, reason=reason, **DIRECT),
        )
    assert queries.proposal(PROD, row.number).state is ProposalState.APPROVED


def test_way_16_an_approval_that_was_taken_back(ada: pairs.Person, ben: pairs.Person) -> None:
    for end, who in ((proposal.reject, ben.actor), (proposal.withdraw, ada.actor)):
        row = propose(ada.actor)
        approve(ben.actor, row)
        end(by=who, now=NOW, environment=PROD, number=row.number, reason="on second thoughts")
        attempt(approval.OVER, ada.actor, "flag.change", partial(apply, ada.actor, row))
