"""Four eyes on changes with a time and an end: both are agreed to, and bound like all the rest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from routing.access import people
from routing.approvals import queries
from routing.approvals.models import Proposal
from routing.audit import verify
from routing.changes import change, due, schedule
from routing.core import approval
from routing.core.approval import Agreed, PolicyWish
from routing.core.errors import Invalid, RuleBroken
from routing.core.flags import FlagName
from routing.core.plans import GRACE, Due
from routing.core.values import Action, PlanState, ProposalState
from routing.schedule import queries as plans
from routing.schedule.models import PlannedChange
from tests.integration.changes import pairs
from tests.integration.changes.ground import (
    NOW,
    PROD,
    PROVEN,
    SHELL,
    entries,
    facts,
    is_on,
    to,
    version,
)
from tests.integration.changes.pairs import DIRECT, MCP, apply, approve, propose

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = timedelta(hours=1)
TONIGHT = Due(due_at=NOW + 6 * HOUR, local="2026-03-04T12:06", zone="Europe/Berlin")


def run(at: Due = TONIGHT, late: timedelta = timedelta(0)) -> int:
    return due.run([PROD], at.due_at + late, lambda _: PROVEN)


def agreed_plan(ada: pairs.Person, ben: pairs.Person) -> plans.PlanRow:
    row = propose(ada.actor, due=TONIGHT, lasts=HOUR)
    approve(ben.actor, row)
    apply(ada.actor, row)
    [plan] = plans.waiting(PROD)
    return plan


def failed() -> object:
    """Return the rule of the newest entry, which must tell of a plan that was not made."""
    entry = entries()[0]
    assert (entry.action, entry.outcome) == (Action.SCHEDULE_FAIL, "refused")
    return facts(entry.facts)["rule"]


def closed(plan: plans.PlanRow) -> plans.PlanRow:
    return plans.one(PROD, plan.id)


def test_an_agreed_change_with_an_end_goes_back_by_itself(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    row = propose(ada.actor, lasts=HOUR)
    approve(ben.actor, row)
    done = apply(ada.actor, row, now=NOW + HOUR / 2)
    told = facts(entries()[0].facts)
    assert told["ends_at"] == (NOW + HOUR * 1.5).isoformat()
    assert (told["approval"]["digest"], is_on(MCP, PROD)) == (row.digest, False)
    [end] = plans.waiting(PROD)
    assert (end.due_at, end.asked_entry) == (NOW + HOUR * 1.5, done.entry_seq)
    assert due.run([PROD], end.due_at, lambda _: PROVEN) == 1
    assert is_on(MCP, PROD)


def test_an_agreed_change_is_planned_and_made_when_its_time_has_come(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    row = propose(ada.actor, due=TONIGHT, lasts=HOUR)
    assert row.expires_at == TONIGHT.due_at, "later it could not be planned any more"
    approve(ben.actor, row)
    done = apply(ada.actor, row)
    booked = entries()[0]
    assert (booked.seq, booked.action, is_on(MCP, PROD)) == (
        done.entry_seq,
        Action.SCHEDULE_SET,
        True,
    )
    assert facts(booked.facts)["approval"]["proposal"] == row.number
    kept = queries.proposal(PROD, row.number)
    assert (kept.state, kept.entry_seq) == (ProposalState.APPLIED, done.entry_seq)
    [plan] = plans.waiting(PROD)
    assert (plan.due_at, plan.local, plan.zone) == (TONIGHT.due_at, TONIGHT.local, TONIGHT.zone)
    assert (plan.lasts, plan.grace) == (HOUR, GRACE)
    assert run(late=timedelta(seconds=2)) == 1
    assert not is_on(MCP, PROD)
    made = facts(entries()[0].facts)
    assert made["approval"] == {
        "proposal": row.number,
        "digest": row.digest,
        "proposed_by": ada.actor.id,
        "approved_by": ben.actor.id,
        "approved_at": NOW.isoformat(),
    }
    assert closed(plan).state is PlanState.DONE
    assert queries.proposal(PROD, row.number).entry_seq == done.entry_seq
    [end] = plans.waiting(PROD)
    assert due.run([PROD], end.due_at, lambda _: PROVEN) == 1
    assert is_on(MCP, PROD) and verify.verify().ok


@pytest.mark.parametrize("other", [None, 2 * HOUR])
def test_what_was_agreed_to_for_a_while_is_not_applied_for_longer(
    ada: pairs.Person, ben: pairs.Person, other: timedelta | None
) -> None:
    row = propose(ada.actor, lasts=HOUR)
    approve(ben.actor, row)
    under = Agreed(number=row.number, digest=row.digest)
    wish = [to(MCP, False, environment=PROD)]
    with pytest.raises(RuleBroken) as met:
        change.apply(
            by=ada.actor,
            now=NOW,
            sets=wish,
            reason=pairs.WHY,
            under=under,
            ends_at=None if other is None else NOW + other,
            **DIRECT,
        )
    assert met.value.facts["rule"] == approval.OTHER
    for when in (
        schedule.When(due_at=NOW + HOUR, lasts=HOUR),
        schedule.When(due_at=TONIGHT.due_at),
    ):
        with pytest.raises(RuleBroken, match="other flags"):
            schedule.apply(
                by=ada.actor,
                now=NOW,
                sets=wish,
                reason=pairs.WHY,
                under=under,
                when=when,
                **DIRECT,
            )
    assert is_on(MCP, PROD) and not plans.waiting(PROD)
    assert queries.proposal(PROD, row.number).state is ProposalState.APPROVED


@pytest.mark.parametrize("edit", ["sets", "lasts", "time", "entry", "proposal"])
def test_a_plan_that_was_altered_around_us_is_not_made(
    ada: pairs.Person, ben: pairs.Person, edit: str
) -> None:
    plan = agreed_plan(ada, ben)
    rows = PlannedChange.objects.filter(pk=plan.id)
    if edit == "sets":
        rows.update(sets=[{**rows.get().sets[0], "on": True, "percentage": 1}])
    elif edit == "lasts":
        rows.update(lasts_s=None)
    elif edit == "time":
        rows.update(due_at=plan.due_at - GRACE / 2)
    elif edit == "entry":
        rows.update(asked_entry=0)  # as if nobody had needed to agree
    else:
        Proposal.objects.update(content="{}")
    assert run() == 1
    assert is_on(MCP, PROD)
    assert closed(plan).state is PlanState.REFUSED
    assert failed() == (approval.REQUIRED if edit == "entry" else approval.OTHER)


def test_both_must_hold_their_rights_still_when_it_is_due(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    plan = agreed_plan(ada, ben)
    people.revoke(
        by=SHELL, now=NOW + HOUR, user_id=ben.user_id, environment=PROD, reason="left the team"
    )
    assert run() == 1
    assert is_on(MCP, PROD)
    assert (closed(plan).state, closed(plan).alarms) == (PlanState.REFUSED, True)
    assert failed() == approval.RIGHT_LOST


def test_a_flag_that_moved_meanwhile_is_left_alone(ada: pairs.Person, ben: pairs.Person) -> None:
    plan = agreed_plan(ada, ben)
    back = propose(ada.actor, [to(MCP, True, environment=PROD, percentage=50)])
    approve(ben.actor, back)
    apply(ada.actor, back)
    moved = version(MCP, PROD)
    assert run() == 1
    assert closed(plan).state is PlanState.DRIFTED
    assert version(MCP, PROD) == moved


def test_a_time_or_an_end_that_will_not_do_cannot_be_proposed(ada: pairs.Person) -> None:
    for more in (
        {"due": replace(TONIGHT, due_at=NOW)},
        {"due": replace(TONIGHT, due_at=NOW + timedelta(days=91))},
        {"lasts": timedelta(days=8)},
        {"sets": (), "policy": PolicyWish(flags=frozenset(), base_version=0), "lasts": HOUR},
    ):
        with pytest.raises(Invalid):
            propose(ada.actor, **more)
    assert not queries.latest(PROD, 9)


def test_monitoring_of_production_goes_off_with_an_end_that_was_agreed_to(
    ada: pairs.Person, ben: pairs.Person
) -> None:
    off = [to(FlagName.MONITORING, False, environment=PROD)]
    with pytest.raises(RuleBroken):
        propose(ada.actor, off)
    row = propose(ada.actor, off, lasts=HOUR)
    approve(ben.actor, row)
    apply(ada.actor, row)
    assert not is_on(FlagName.MONITORING, PROD)
