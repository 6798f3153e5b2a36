"""Changes with an end: the flags go back by themselves, and only those that nobody changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from routing.changes import change, due, glass, schedule
from routing.changes.schedule import When
from routing.core.approval import Bypass
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, RuleBroken
from routing.core.flags import FlagName, SetFlag
from routing.core.guards import Cause
from routing.core.values import Action, EnvironmentName, PlanState
from routing.schedule import queries
from tests.integration.changes.ground import (
    ADMIN,
    NOW,
    OPERATOR,
    PROD,
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
CACHING, SUPPORT, MONITORING = (
    FlagName.CACHING,
    FlagName.SUPPORT_MODE,
    FlagName.MONITORING,
)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()


def run(now: datetime) -> int:
    return due.run(tuple(EnvironmentName), now, lambda _: UNKNOWN)


def test_the_flag_goes_back_to_what_it_was_and_the_entry_names_what_ended() -> None:
    apply([to(CACHING, True, percentage=30)])
    done = apply([to(CACHING, False)], ends_at=NOW + HOUR)
    assert facts(entries()[0].facts)["ends_at"] == (NOW + HOUR).isoformat()
    assert run(NOW + HOUR - timedelta(seconds=1)) == 0 and not is_on(CACHING)
    assert run(NOW + HOUR) == 1 and is_on(CACHING)
    entry = entries()[0]
    assert (entry.action, entry.actor) == (Action.FLAG_CHANGE, "system:schedule")
    assert facts(entry.facts)["ends"] == done.entry_seq
    assert facts(facts(entry.after)[CACHING])["percentage"] == 30


def test_an_end_is_made_however_late_somebody_is_there() -> None:
    apply([to(CACHING, False)], ends_at=NOW + HOUR)
    assert run(NOW + timedelta(days=9)) == 1 and is_on(CACHING)
    assert facts(entries()[0].facts)["late_s"] == 9 * 86_400 - 3_600


def test_what_somebody_changed_meanwhile_stays_and_that_is_booked() -> None:
    done = apply([to(CACHING, False)], ends_at=NOW + HOUR)
    apply([to(CACHING, True)])
    apply([to(CACHING, False)])
    assert run(NOW + HOUR) == 1 and not is_on(CACHING)
    row = queries.closed(STG)[0]
    assert (row.state, row.alarms) == (PlanState.DROPPED, False)
    entry = entries()[0]
    assert (entry.action, entry.seq) == (Action.SCHEDULE_DROP, row.entry_seq)
    assert facts(entry.facts)["ends"] == done.entry_seq


def test_of_a_set_those_go_back_that_nobody_changed() -> None:
    apply([to(CACHING, False), to(SUPPORT, True)], ends_at=NOW + HOUR)
    apply([to(SUPPORT, False)])
    apply([to(SUPPORT, True)])
    assert run(NOW + HOUR) == 1
    assert (is_on(CACHING), is_on(SUPPORT)) == (True, True)
    assert facts(entries()[0].facts)["left_out"] == [str(SUPPORT)]
    assert "Not put back" in queries.closed(STG)[0].closed_because


def test_an_end_holds_only_while_the_flag_is_as_its_change_left_it() -> None:
    apply([to(CACHING, False)], ends_at=NOW + HOUR)
    held = queries.end_of(STG, CACHING, version(CACHING))
    assert held is not None and held.due_at == NOW + HOUR
    apply([to(CACHING, True)])
    assert queries.end_of(STG, CACHING, version(CACHING)) is None


@pytest.mark.parametrize("away", [timedelta(seconds=59), timedelta(days=7, seconds=1)])
def test_an_end_is_1_min_to_7_days_away(away: timedelta) -> None:
    with pytest.raises(Invalid, match="ends 1 min to 7 d after"):
        apply([to(CACHING, False)], ends_at=NOW + away)
    assert is_on(CACHING)


def test_what_is_closed_for_a_cause_does_not_open_by_itself() -> None:
    closed = [to(FlagName.BEDROCK_PROVIDER, False)]
    with pytest.raises(Invalid, match="stays closed until people open it"):
        apply(closed, ends_at=NOW + HOUR, cause=Cause.SECURITY, confirmed=True)
    assert is_on(FlagName.BEDROCK_PROVIDER)


def cancel(environment: EnvironmentName = STG, **more: Any) -> schedule.Booked:
    """Cancel the one end that waits."""
    (plan,) = queries.waiting(environment)
    usual: dict[str, Any] = {"by": SHELL, "now": NOW, "health": UNKNOWN}
    usual |= {"reason": "it stays", "typed_environment": str(environment)}
    return schedule.cancel(environment=environment, id=plan.id, **(usual | more))


def test_a_change_whose_end_is_cancelled_stays_and_that_is_booked() -> None:
    done = apply([to(CACHING, False), to(SUPPORT, True)], ends_at=NOW + HOUR)
    apply([to(SUPPORT, False)])
    with pytest.raises(Invalid, match="needs a reason"):
        cancel(by=OPERATOR, reason="")
    with pytest.raises(Forbidden):
        cancel(by=VIEWER)
    booked = cancel(by=OPERATOR)
    assert (run(NOW + HOUR), is_on(CACHING)) == (0, False)
    assert queries.end_of(STG, CACHING, version(CACHING)) is None
    entry = entries()[0]
    assert (entry.action, entry.seq) == (Action.SCHEDULE_CANCEL, booked.entry_seq)
    assert (entry.reason, entry.actor) == ("it stays", OPERATOR.id)
    assert facts(entry.facts)["ends"] == done.entry_seq
    assert facts(entry.facts)["stay"] == [str(CACHING)]
    with pytest.raises(ValueError, match="not enough values"):
        cancel()


@pytest.mark.parametrize("on", [True, False])
def test_a_path_that_needs_a_second_person_stays_so_by_two_or_behind_broken_glass(
    on: bool,
) -> None:
    mcp = FlagName.MCP_INTEGRATION
    if on:
        in_production([to(mcp, False, environment=PROD)], under=Bypass.ROLLBACK)
    in_production([to(mcp, on, environment=PROD)], ends_at=NOW + HOUR, under=Bypass.ROLLBACK)
    with pytest.raises(RuleBroken, match="second person to leave ENABLE_MCP_INTEGRATION so"):
        cancel(PROD, by=ADMIN)
    assert queries.waiting(PROD)
    glass.begin(
        by=ADMIN, now=NOW, environment=PROD, minutes=5, reason="nobody else is awake now",
        typed_environment="production",
    )  # fmt: skip
    cancel(PROD, by=ADMIN)
    assert facts(facts(entries()[0].facts)["approval"])["bypassed"] == "break_glass"
    assert run(NOW + HOUR) == 0 and is_on(mcp, PROD) is on


def test_in_production_only_who_may_confirm_what_stops_makes_it_lasting() -> None:
    fallback = FlagName.DIRECT_FALLBACK
    closed = [to(FlagName.MCP_INTEGRATION, False, environment=PROD)]
    in_production(closed, under=Bypass.ROLLBACK)
    in_production([to(fallback, False, environment=PROD)], ends_at=NOW + HOUR)
    with pytest.raises(Forbidden, match="only an admin"):
        cancel(PROD, by=OPERATOR)
    assert queries.waiting(PROD)
    with pytest.raises(Invalid, match="Type the environment"):
        cancel(PROD, by=ADMIN, typed_environment="")
    with pytest.raises(NeedsConfirm):
        cancel(PROD, by=ADMIN)
    cancel(PROD, by=ADMIN, confirmed=True)
    assert facts(entries()[0].facts)["rule"] == "operation_loses_path"
    assert run(NOW + HOUR) == 0 and not is_on(fallback, PROD)


def test_an_end_that_finds_nothing_may_be_cancelled() -> None:
    in_production([to(MONITORING, False, environment=PROD)], ends_at=NOW + HOUR)
    in_production([to(MONITORING, True, environment=PROD)])
    cancel(PROD, by=ADMIN)
    assert facts(entries()[0].facts)["stay"] == []


def in_production(sets: Sequence[SetFlag], **more: Any) -> change.Applied:
    usual: dict[str, Any] = {"by": ADMIN, "environment": PROD, "confirmed": True}
    return apply(sets, typed_environment="production", **(usual | more))


def test_production_is_left_unwatched_only_with_an_end_within_an_hour() -> None:
    off = [to(MONITORING, False, environment=PROD)]
    for ends_at in (None, NOW + HOUR + timedelta(seconds=1)):
        with pytest.raises(RuleBroken, match="end within 1 h") as refused:
            in_production(off, ends_at=ends_at)
        assert refused.value.facts["rule"] == "monitoring_needs_end"
    with pytest.raises(NeedsConfirm):
        in_production(off, ends_at=NOW + HOUR, confirmed=False)
    in_production(off, ends_at=NOW + HOUR)
    assert run(NOW + HOUR) == 1 and is_on(MONITORING, PROD)


@pytest.mark.parametrize("share", [0, 99])
def test_the_end_cannot_be_lost_by_a_share_or_by_switching_again(share: int) -> None:
    with pytest.raises(RuleBroken):
        in_production([to(MONITORING, True, environment=PROD, percentage=share)])
    in_production([to(MONITORING, False, environment=PROD)], ends_at=NOW + HOUR)
    with pytest.raises((RuleBroken, Invalid)):  # Invalid: 0 % is off already
        in_production([to(MONITORING, True, environment=PROD, percentage=share)])
    with pytest.raises(RuleBroken, match="end within 1 h"):
        cancel(PROD)
    assert queries.waiting(PROD)
    assert run(NOW + HOUR) == 1 and is_on(MONITORING, PROD)


def test_elsewhere_monitoring_may_stay_off() -> None:
    apply([to(MONITORING, False)], confirmed=True)
    assert not is_on(MONITORING)


def test_a_scheduled_change_lasts_from_when_it_was_made() -> None:
    when = When(due_at=NOW + HOUR, lasts=timedelta(minutes=30))
    asked: dict[str, Any] = {"by": OPERATOR, "now": NOW, "environment": STG, "health": UNKNOWN}
    schedule.apply(sets=[to(CACHING, False)], when=when, reason="a window", **asked)
    late = NOW + HOUR + timedelta(minutes=5)
    system_run = run(late)
    row = queries.closed(STG)[0]
    assert (system_run, row.state) == (1, PlanState.REFUSED), "this operator has no account"
    schedule.apply(
        sets=[to(CACHING, False)], when=when, reason="a window", **(asked | {"by": SHELL})
    )
    assert run(late) == 1 and not is_on(CACHING)
    assert run(late + timedelta(minutes=29)) == 0
    assert run(late + timedelta(minutes=30)) == 1 and is_on(CACHING)


def test_what_stops_for_good_is_confirmed_as_by_any_change() -> None:
    closed = [to(FlagName.BEDROCK_PROVIDER, False, environment=EnvironmentName.DEVELOPMENT)]
    apply(closed, environment=EnvironmentName.DEVELOPMENT, ends_at=NOW + HOUR, confirmed=True)
    with pytest.raises(NeedsConfirm, match="Emergencies lose their only path"):
        cancel(EnvironmentName.DEVELOPMENT, reason="")
    assert [plan.state for plan in queries.waiting(EnvironmentName.DEVELOPMENT)] == [
        PlanState.WAITING
    ]
    assert (
        cancel(EnvironmentName.DEVELOPMENT, reason="", confirmed=True).row.state
        is PlanState.CANCELLED
    )
