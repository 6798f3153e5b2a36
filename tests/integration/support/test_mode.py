"""Support mode: behind its flag, one session at a time, every turn of it booked."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from routing.core.errors import Forbidden, Invalid, RuleBroken, Stale
from routing.core.values import Action
from routing.support import mode, queries
from routing.support.models import SupportSession
from tests.integration.changes.ground import DEV, NOW, PROD, STG, entries, facts, lay
from tests.integration.support.ground import (
    ADMIN,
    FLAG,
    OPERATOR,
    REVIEWER,
    VIEWER,
    WHY,
    later,
    switch,
)

pytestmark = pytest.mark.django_db(transaction=True)
SOON = later(NOW, 60)


@pytest.fixture(autouse=True)
def _laid(_own_snapshot: None) -> None:
    lay()


def activate(environment: object = STG, **more: object) -> queries.SessionRow:
    usual = {"by": OPERATOR, "now": NOW, "environment": environment, "reason": WHY}
    return mode.activate(**{**usual, **more})  # type: ignore[arg-type]


def deactivate(environment: object = STG, **more: object) -> queries.SessionRow:
    usual = {"by": OPERATOR, "now": SOON, "environment": environment, "reason": "all is clear"}
    return mode.deactivate(**{**usual, **more})  # type: ignore[arg-type]


def test_is_off_in_words_that_name_the_flag_while_the_flag_is_off() -> None:
    for environment in (DEV, STG, PROD):
        told = mode.status(environment, NOW)
        assert (told.active, told.flag_on, told.session) == (False, False, None)
        assert str(FLAG) in told.sentence and str(environment) in told.sentence
        assert told.obstacle == told.sentence


def test_refuses_activation_while_the_flag_is_off_and_books_the_reason_given() -> None:
    with pytest.raises(RuleBroken) as refused:
        activate(reason="nonce-7f3a and why")
    assert refused.value.facts["rule"] == "support_flag_off"
    booked = entries()[0]
    assert (booked.action, booked.outcome) == (Action.SUPPORT_ACTIVATE, "refused")
    assert booked.reason == "nonce-7f3a and why"
    assert facts(facts(booked.facts)["facts"])["rule"] == "support_flag_off"
    assert SupportSession.objects.count() == 0


def test_is_activated_reported_and_deactivated_each_booked_with_its_reason() -> None:
    switch(True)
    ready = mode.status(STG, NOW)
    assert (ready.active, ready.flag_on, ready.obstacle) == (False, True, "")
    opened = activate()
    told = mode.status(STG, SOON)
    assert told.active and told.session == opened
    assert WHY in told.sentence and told.obstacle
    closed = deactivate()
    assert (closed.id, closed.closed_at, closed.closed_by) == (opened.id, SOON, OPERATOR.id)
    assert not mode.status(STG, SOON).active
    off, on = entries()[:2]
    assert (on.action, on.reason, on.actor) == (Action.SUPPORT_ACTIVATE, WHY, OPERATOR.id)
    assert (off.action, off.reason) == (Action.SUPPORT_DEACTIVATE, "all is clear")
    assert on.object_id == off.object_id == str(opened.id)
    assert facts(off.before)["closed_at"] is None
    assert facts(off.after)["closed_because"] == "all is clear"


def test_concerns_its_own_environment_only() -> None:
    switch(True)
    activate()
    assert not mode.status(DEV, NOW).active and not mode.status(PROD, NOW).active


def test_is_read_for_all_environments_in_no_more_questions_than_for_one(
    django_assert_num_queries: Any,
) -> None:
    switch(True)
    activate()
    each = {environment: mode.status(environment, NOW) for environment in (DEV, STG, PROD)}
    with django_assert_num_queries(2):
        assert mode.statuses((DEV, STG, PROD), NOW) == each
    assert [status.active for status in each.values()] == [False, True, False]


@pytest.mark.parametrize("reason", ["", "    ", "why", "ab\ncd efgh"])
@pytest.mark.parametrize("environment", [DEV, STG])
def test_wants_a_reason_everywhere(environment: object, reason: str) -> None:
    switch(True, environment)  # type: ignore[arg-type]
    with pytest.raises(Invalid):
        activate(environment, reason=reason)
    assert entries()[0].outcome == "refused"
    assert SupportSession.objects.count() == 0


@pytest.mark.parametrize("who", [VIEWER, REVIEWER])
def test_is_for_operators_and_admins(who: object) -> None:
    switch(True)
    with pytest.raises(Forbidden):
        activate(by=who)
    activate(by=ADMIN)
    with pytest.raises(Forbidden):
        deactivate(by=who)
    assert mode.status(STG, NOW).active
    assert entries()[0].outcome == "refused"


def test_a_second_activation_is_told_whose_session_it_met() -> None:
    switch(True)
    first = activate(by=ADMIN, reason="the first reason")
    with pytest.raises(Stale) as refused:
        activate()
    assert ADMIN.id in refused.value.message and "the first reason" in refused.value.message
    assert refused.value.facts["current"]["id"] == first.id
    assert mode.status(STG, NOW).session == first


def test_deactivating_what_is_not_open_is_refused() -> None:
    switch(True)
    with pytest.raises(Stale) as refused:
        deactivate()
    assert refused.value.facts["current"] is None


def test_deactivating_a_session_that_one_did_not_look_at_is_refused() -> None:
    switch(True)
    old = activate()
    deactivate(session=old.id)
    fresh = activate(now=later(NOW, 90), reason="another case")
    with pytest.raises(Stale, match="another case"):
        deactivate(now=later(NOW, 99), session=old.id)
    assert mode.status(STG, later(NOW, 99)).session == fresh


def test_switching_the_flag_off_ends_the_session_and_books_who_switched() -> None:
    switch(True)
    opened = activate()
    switch(False)
    switched = entries()[0]
    assert not mode.status(STG, SOON).active  # at once, before anybody reconciles
    assert mode.status(STG, SOON).session == opened
    (ended,) = mode.end_where_flag_is_off(SOON)
    assert (ended.closed_at, ended.closed_by) == (SOON, "system:support")
    assert ended.closed_because == "flag switched off"
    booked = entries()[0]
    assert (booked.action, booked.actor) == (Action.SUPPORT_DEACTIVATE, "system:support")
    assert booked.reason == "flag switched off"
    assert facts(booked.facts) == {
        "flag": str(FLAG),
        "entry": switched.seq,
        "changed_by": OPERATOR.id,
    }
    assert mode.end_where_flag_is_off(later(SOON, 1)) == ()
    assert entries()[0].seq == booked.seq


def test_a_flag_that_is_on_for_a_share_is_not_on() -> None:
    switch(True, percentage=40)
    assert "40 % only" in mode.status(STG, NOW).sentence
    with pytest.raises(RuleBroken):
        activate()


def test_leaves_the_sessions_whose_flag_is_on_alone() -> None:
    switch(True)
    opened = activate()
    assert mode.reconcile(SOON) == ()
    assert mode.status(STG, SOON).session == opened


def test_a_session_ends_when_its_end_comes() -> None:
    switch(True)
    opened = activate(ends_at=NOW + timedelta(hours=1))
    assert mode.status(STG, NOW + timedelta(minutes=59)).active
    over = NOW + timedelta(hours=1)
    assert not mode.status(STG, over).active
    (ended,) = mode.reconcile(over)
    assert (ended.id, ended.closed_because) == (opened.id, "its end came")


def test_a_session_whose_end_has_come_does_not_keep_the_next_one_out() -> None:
    switch(True)
    old = activate(ends_at=SOON)
    fresh = activate(now=later(SOON, 1), reason="the next case")
    assert fresh.id != old.id
    assert [row.closed_because for row in queries.sessions(STG)] == ["", "its end came"]


@pytest.mark.parametrize("ends_at", [NOW, NOW - timedelta(hours=1), NOW + timedelta(hours=25)])
def test_an_end_is_ahead_and_within_a_day(ends_at: object) -> None:
    switch(True)
    with pytest.raises(Invalid):
        activate(ends_at=ends_at)


def test_the_database_itself_holds_one_open_session_per_environment() -> None:
    switch(True)
    activate()
    with pytest.raises(IntegrityError), transaction.atomic():
        SupportSession.objects.create(
            environment_id=STG, opened_at=NOW, opened_by="somebody", reason=WHY
        )


def test_of_many_who_activate_at_once_one_opens_and_the_others_are_told() -> None:
    switch(True)
    told: list[str] = []
    start = threading.Barrier(6)

    def ask(number: int) -> None:
        try:
            start.wait(timeout=20)
            activate(reason=f"reason of {number}")
            told.append("opened")
        except Stale:
            told.append("stale")
        finally:
            connection.close()

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(timeout=60)
    assert sorted(told) == ["opened", *["stale"] * 5]
    assert SupportSession.objects.filter(environment_id=STG, closed_at=None).count() == 1
    assert len([e for e in entries() if e.action == Action.SUPPORT_ACTIVATE]) == 6


def test_a_session_that_opened_behind_the_look_is_not_taken_for_one_that_is_over() -> None:
    switch(True)
    faster = activate(by=ADMIN, reason="the faster one")
    with pytest.raises(Stale, match="the faster one"), transaction.atomic():
        mode._open(OPERATOR, NOW, STG, WHY, None)  # whose look met no session
    assert mode.status(STG, NOW).session == faster


def test_the_history_is_newest_first() -> None:
    switch(True)
    for number in range(3):
        activate(now=later(NOW, number * 10), reason=f"case number {number}")
        deactivate(now=later(NOW, number * 10 + 5))
    told = queries.sessions(STG, size=2)
    assert [row.reason for row in told] == ["case number 2", "case number 1"]
