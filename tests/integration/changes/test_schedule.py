"""Scheduled changes: made once when due, judged anew, and booked however they end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from routing import wiring
from routing.access import people
from routing.audit import verify
from routing.changes import due, schedule
from routing.changes.schedule import Booked, When
from routing.core import approval
from routing.core.errors import Broken, Forbidden, Invalid, NeedsConfirm, RuleBroken, Stale
from routing.core.flags import FlagName
from routing.core.guards import Cause
from routing.core.rights import Actor
from routing.core.values import (
    Action,
    ActorKind,
    EnvironmentName,
    Outcome,
    PlanState,
    Role,
)
from routing.flags import snapshot
from routing.schedule import queries, store
from tests.integration.changes.ground import (
    ADMIN,
    NOW,
    OPERATOR,
    PROD,
    PROVEN,
    SHELL,
    STG,
    UNKNOWN,
    VIEWER,
    apply,
    entries,
    facts,
    is_on,
    lay,
    to,
    version,
)

pytestmark = pytest.mark.django_db
CACHING, MCP, SUPPORT = FlagName.CACHING, FlagName.MCP_INTEGRATION, FlagName.SUPPORT_MODE
BEDROCK = FlagName.BEDROCK_PROVIDER
SOON = NOW + timedelta(minutes=10)
ALL = tuple(EnvironmentName)


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()


def plan(sets: Any, *, at: datetime = SOON, **more: Any) -> Booked:
    usual: dict[str, Any] = {
        "by": SHELL,
        "now": NOW,
        "environment": STG,
        "reason": "a window for repairs",
        "health": UNKNOWN,
    }
    times = {name: more.pop(name) for name in ("lasts", "grace") if name in more}
    return schedule.apply(sets=sets, when=When(due_at=at, **times), **(usual | more))


def run(now: datetime = SOON, health: Any = UNKNOWN) -> int:
    return due.run(ALL, now, lambda _: health)


def stand(booked: Booked) -> queries.PlanRow:
    return queries.one(booked.row.environment, booked.row.id)


@pytest.mark.django_db(transaction=True)
def test_a_change_is_made_when_its_time_has_come_and_names_who_asked() -> None:
    booked = plan([to(CACHING, False)])
    assert run(SOON - timedelta(seconds=1)) == 0 and is_on(CACHING)
    assert run() == 1 and not is_on(CACHING)
    assert run() == 0
    done = stand(booked)
    entry = entries()[0]
    assert (done.state, done.entry_seq) == (PlanState.DONE, entry.seq)
    assert (entry.action, entry.actor, entry.object_id) == (
        Action.FLAG_CHANGE,
        "system:schedule",
        str(CACHING),
    )
    told = facts(entry.facts)
    assert (told["asked_by"], told["asked_entry"], told["schedule"]) == (
        SHELL.id,
        booked.entry_seq,
        booked.row.id,
    )
    assert not snapshot.is_on(CACHING, STG)


def test_a_set_is_made_whole_under_one_entry() -> None:
    plan([to(CACHING, False), to(SUPPORT, True)])
    assert run() == 1
    assert (is_on(CACHING), is_on(SUPPORT)) == (False, True)
    changes = [e for e in entries() if e.action == Action.FLAG_CHANGE]
    assert len(changes) == 1 and set(facts(changes[0].after)) == {CACHING, SUPPORT}


def in_threads(work: list[Callable[[], int]]) -> list[int]:
    barrier = threading.Barrier(len(work))

    def one(job: Callable[[], int]) -> int:
        try:
            barrier.wait(timeout=10)
            return job()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(one, work))


@pytest.mark.django_db(transaction=True)
def test_of_four_that_see_it_due_one_makes_it() -> None:
    for number in range(4):
        plan([to(CACHING, number % 2 == 1)])
        assert sum(in_threads([run] * 4)) == 1
    made = [e for e in entries() if e.action == Action.FLAG_CHANGE]
    assert len(made) == 4 and version(CACHING) == 5
    assert verify.verify().ok


@pytest.mark.django_db(transaction=True)
def test_of_four_that_see_it_refused_one_books_it() -> None:
    plan([to(CACHING, False)])
    apply([to(CACHING, False)])
    assert sum(in_threads([run] * 4)) == 1
    assert [e.action for e in entries()].count(Action.SCHEDULE_FAIL) == 1


def test_one_that_died_on_the_way_leaves_it_to_the_next(monkeypatch: Any) -> None:
    """The process ends between the change and the commit: nothing of it is left."""

    class Died(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Died

    booked = plan([to(CACHING, False)])
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(store, "conclude", die)
        run()
    assert stand(booked).waits and is_on(CACHING)
    assert run() == 1 and not is_on(CACHING)


def test_a_flag_that_was_changed_meanwhile_is_left_and_alarmed() -> None:
    booked = plan([to(CACHING, False), to(SUPPORT, True)])
    apply([to(SUPPORT, True)])
    apply([to(SUPPORT, False)])
    assert run() == 1
    row = stand(booked)
    assert (row.state, row.alarms) == (PlanState.DRIFTED, True)
    assert row.closed_because.startswith("Nothing was changed. ENABLE_BEDROCK_SUPPORT_MODE is off")
    assert is_on(CACHING)
    entry = entries()[0]
    assert (entry.action, entry.outcome) == (Action.SCHEDULE_FAIL, Outcome.REFUSED)
    assert [one.id for one in queries.alarms(STG)] == [row.id]


def test_what_the_guards_refuse_when_it_is_due_changes_nothing() -> None:
    booked = plan([to(FlagName.INTELLIGENT_ROUTING, False)], health=PROVEN, confirmed=True)
    assert run(health=UNKNOWN) == 1
    row = stand(booked)
    assert row.state is PlanState.REFUSED and is_on(FlagName.INTELLIGENT_ROUTING)
    assert "MCP-only needs an mcp path" in row.closed_because
    assert facts(entries()[0].facts)["rule"] == "mcp_only_unproven"


def test_no_more_is_stopped_than_was_agreed_to() -> None:
    booked = plan([to(FlagName.DIRECT_FALLBACK, False)])
    apply([to(MCP, False)], confirmed=True)
    assert run() == 1
    row = stand(booked)
    assert (row.state, is_on(FlagName.DIRECT_FALLBACK)) == (PlanState.REFUSED, True)
    agreed = plan([to(FlagName.DIRECT_FALLBACK, False)], confirmed=True)
    assert run() == 1 and stand(agreed).state is PlanState.DONE


def test_it_is_judged_and_agreed_to_when_it_is_planned() -> None:
    with pytest.raises(NeedsConfirm):
        plan([to(BEDROCK, False)])
    with pytest.raises(RuleBroken):
        plan([to(FlagName.INTELLIGENT_ROUTING, False)])
    with pytest.raises(Stale):
        plan([to(CACHING, False, base=7)])
    with pytest.raises(Forbidden):
        plan([to(CACHING, False)], by=VIEWER)
    with pytest.raises(Invalid, match="Type the environment"):
        plan([to(CACHING, False, environment=PROD)], environment=PROD)
    assert queries.waiting(STG) == ()
    refused = [e for e in entries() if e.action == Action.SCHEDULE_SET]
    assert {e.outcome for e in refused} == {Outcome.REFUSED} and len(refused) == 5


@pytest.mark.parametrize("away", [timedelta(0), timedelta(minutes=-1), timedelta(days=91)])
def test_its_time_is_after_now_and_within_90_days(away: timedelta) -> None:
    with pytest.raises(Invalid, match="within 90 days"):
        plan([to(CACHING, False)], at=NOW + away)


@pytest.mark.parametrize(("late_s", "state"), [(900, PlanState.DONE), (901, PlanState.MISSED)])
def test_after_a_downtime_it_is_made_at_most_15_min_late(late_s: int, state: PlanState) -> None:
    booked = plan([to(CACHING, False)])
    assert run(SOON + timedelta(seconds=late_s)) == 1
    row = stand(booked)
    assert (row.state, is_on(CACHING)) == (state, state is PlanState.MISSED)
    assert row.alarms is (state is PlanState.MISSED)
    if state is PlanState.MISSED:
        assert (entries()[0].action, entries()[0].outcome) == (
            Action.SCHEDULE_FAIL,
            Outcome.FAILED,
        )


def test_it_is_cancelled_once_and_then_not_made() -> None:
    booked = plan([to(CACHING, False)])
    asked: dict[str, Any] = {"now": NOW, "environment": STG, "id": booked.row.id}
    asked["health"] = UNKNOWN
    done = schedule.cancel(by=OPERATOR, reason="not needed", **asked)
    assert stand(booked).state is PlanState.CANCELLED
    assert stand(booked).entry_seq == done.entry_seq
    with pytest.raises(Stale, match="it is cancelled"):
        schedule.cancel(by=OPERATOR, reason="not needed", **asked)
    assert run() == 0 and is_on(CACHING)


def test_an_alarm_is_seen_once_by_somebody_who_may_change() -> None:
    booked = plan([to(CACHING, False)])
    asked: dict[str, Any] = {"now": NOW, "environment": STG, "id": booked.row.id}
    with pytest.raises(Stale):
        schedule.see(by=OPERATOR, **asked)
    run(SOON + timedelta(hours=1))
    with pytest.raises(Forbidden):
        schedule.see(by=VIEWER, **asked)
    assert not schedule.see(by=OPERATOR, **asked).alarms
    assert queries.alarms(STG) == ()
    with pytest.raises(Stale):
        schedule.see(by=OPERATOR, **asked)


def test_whoever_lost_the_right_meanwhile_changes_nothing_any_more() -> None:
    made = people.create_user(
        reason="for a test", by=SHELL, now=NOW, username="olga", grants={STG: Role.OPERATOR}
    )
    olga = Actor(kind=ActorKind.USER, id=made.pseudonym, name="olga", grants={STG: Role.OPERATOR})
    first = plan([to(CACHING, False)], by=olga)
    assert run() == 1 and stand(first).state is PlanState.DONE
    second = plan([to(CACHING, True)], by=olga)
    people.revoke(by=SHELL, now=NOW, user_id=made.user_id, environment=STG, reason="left the team")
    assert run() == 1
    assert (stand(second).state, is_on(CACHING)) == (PlanState.REFUSED, False)
    assert "without a role" in stand(second).closed_because


def test_only_what_this_process_serves_is_made() -> None:
    plan([to(CACHING, False)])
    assert due.run((PROD,), SOON, lambda _: UNKNOWN) == 0


def test_in_production_only_an_admin_agrees_to_a_stop_then_and_when_due() -> None:
    sets = [to(BEDROCK, False, environment=PROD)]
    words: dict[str, Any] = {
        "environment": PROD,
        "typed_environment": "production",
        "confirmed": True,
        "cause": Cause.SECURITY,
    }
    with pytest.raises(Forbidden):
        plan(sets, by=OPERATOR, **words)
    booked = plan(sets, by=replace(ADMIN, id=SHELL.id, kind=ActorKind.SHELL), **words)
    assert run() == 1 and stand(booked).state is PlanState.DONE


def test_what_needs_a_second_person_is_refused_when_it_is_planned() -> None:
    sets = [to(BEDROCK, False, environment=PROD)]
    with pytest.raises(RuleBroken) as refused:
        plan(sets, by=ADMIN, environment=PROD, typed_environment="production", confirmed=True)
    assert refused.value.facts["rule"] == approval.REQUIRED
    assert run() == 0


@pytest.mark.parametrize(
    ("column", "word", "problem"),
    [
        ("sets", '[{"flag": "ENABLE_ALL"}]', "flags of planned changes: 'ENABLE_ALL' is no Flag"),
        ("cause", "boredom", "causes of planned changes: 'boredom' is no Cause"),
        ("asked_kind", "ghost", "askers of planned changes: 'ghost' is no ActorKind"),
    ],
)
def test_a_stored_word_that_is_none_of_ours_stops_the_start(
    column: str, word: str, problem: str
) -> None:
    number = plan([to(CACHING, False)]).row.id
    plan([to(BEDROCK, False)], cause=Cause.SECURITY, confirmed=True)
    wiring.start_checks()
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE routing_plannedchange SET {column} = %s WHERE id = %s", [word, number]
        )
    with pytest.raises(Broken, match=problem):
        wiring.start_checks()
