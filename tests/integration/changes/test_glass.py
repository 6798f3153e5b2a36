"""Break-glass: an admin, a reason, 30 minutes at most, every entry marked, read by another."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from routing.changes import glass
from routing.core.errors import Forbidden, Invalid, RuleBroken, Stale
from routing.core.flags import FlagName
from routing.core.values import Action, ActorKind, EnvironmentName, Outcome, Role
from routing.glass import queries
from routing.glass.queries import GlassRow
from tests.integration.changes.ground import (
    ADMIN,
    DEV,
    NOW,
    OPERATOR,
    PROD,
    SHELL,
    STG,
    apply,
    entries,
    facts,
    is_on,
    lay,
    person,
    to,
)

pytestmark = pytest.mark.django_db
CACHING = FlagName.CACHING
REVIEWER = person(Role.REVIEWER)
WHY = "mcp is down and nobody answers"
END = NOW + timedelta(minutes=30)


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()


def begin(**more: Any) -> GlassRow:
    usual: dict[str, Any] = {
        "by": ADMIN,
        "now": NOW,
        "environment": STG,
        "minutes": 30,
        "reason": WHY,
    }
    return glass.begin(**(usual | more))


def review(id: int, **more: Any) -> GlassRow:
    usual: dict[str, Any] = {
        "by": REVIEWER,
        "now": END,
        "environment": STG,
        "words": "read all entries",
    }
    return glass.review(id=id, **(usual | more))


def test_it_holds_until_its_end_and_there_alone() -> None:
    broken = begin()
    assert glass.active(STG, NOW) == broken
    assert glass.active(STG, END - timedelta(microseconds=1)) == broken
    assert glass.active(STG, END) is None, "nobody waits for the booking"
    assert glass.active(PROD, NOW) is None
    assert glass.expire(END) == 1 and glass.expire(END) == 0
    entry = entries()[0]
    assert (entry.action, entry.actor, entry.reason) == (
        Action.GLASS_END,
        "system:glass",
        "its end came",
    )


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"by": OPERATOR}, Forbidden),
        ({"by": REVIEWER}, Forbidden),
        ({"by": replace(ADMIN, kind=ActorKind.TOKEN)}, Forbidden),
        ({"minutes": 31}, Invalid),
        ({"minutes": 0}, Invalid),
        ({"reason": "now"}, Invalid),
        ({"reason": "now", "environment": DEV}, Invalid),
        ({"environment": PROD}, Invalid),
    ],
)
def test_it_takes_an_admin_a_reason_and_at_most_30_minutes(
    more: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        begin(**more)
    assert [glass.active(e, NOW) for e in EnvironmentName] == [None] * 3
    assert (entries()[0].action, entries()[0].outcome) == (Action.GLASS_BREAK, Outcome.REFUSED)


def test_everything_booked_under_it_is_marked_and_nothing_else() -> None:
    apply([to(CACHING, False)])
    assert "break_glass" not in facts(entries()[0].facts)
    broken = begin()
    done = apply([to(CACHING, True)], by=OPERATOR)
    with pytest.raises(Invalid):
        apply([to(CACHING, True)], by=OPERATOR)
    apply([to(CACHING, False, environment=DEV)], environment=DEV)
    marks = {e.seq: facts(e.facts or {}).get("break_glass") for e in entries()}
    assert marks[done.entry_seq] == marks[done.entry_seq + 1] == broken.id
    assert marks[done.entry_seq + 2] is None, "another environment's is not under it"
    apply([to(CACHING, False)], now=END)
    assert "break_glass" not in facts(entries()[0].facts)


def test_no_guard_is_lifted_by_it() -> None:
    apply([to(FlagName.BEDROCK_PROVIDER, False)], confirmed=True)
    begin()
    with pytest.raises(RuleBroken, match="No operation would keep a path"):
        apply([to(FlagName.MCP_INTEGRATION, False)], by=ADMIN, confirmed=True)
    assert is_on(FlagName.MCP_INTEGRATION)


def test_it_is_broken_once_at_a_time() -> None:
    begin(minutes=5)
    with pytest.raises(Stale, match="broken in staging already"):
        begin(by=SHELL)
    later = begin(now=NOW + timedelta(minutes=5))
    assert glass.active(STG, NOW + timedelta(minutes=6)) == later
    assert [e.action for e in entries()][:2] == [Action.GLASS_BREAK, Action.GLASS_END]


def test_it_is_ended_early_by_an_admin() -> None:
    broken = begin()
    with pytest.raises(Forbidden):
        glass.end(by=OPERATOR, now=NOW, environment=STG, id=broken.id)
    glass.end(by=ADMIN, now=NOW, environment=STG, id=broken.id)
    assert glass.active(STG, NOW) is None
    with pytest.raises(Stale):
        glass.end(by=ADMIN, now=NOW, environment=STG, id=broken.id)


def test_its_review_stays_open_until_another_person_closes_it_with_words() -> None:
    broken = begin()
    assert [row.id for row in queries.unreviewed(STG)] == [broken.id]
    with pytest.raises(Stale, match="still holds"):
        review(broken.id, now=NOW)
    with pytest.raises(Forbidden, match="broke this glass yourself"):
        review(broken.id, by=ADMIN)
    with pytest.raises(Forbidden, match="second pair of eyes"):
        review(broken.id, by=SHELL)
    with pytest.raises(Forbidden):
        review(broken.id, by=OPERATOR)
    with pytest.raises(Invalid, match="A review needs words"):
        review(broken.id, words="ok")
    closed = review(broken.id)
    assert (closed.reviewed_by, closed.review) == (REVIEWER.id, "read all entries")
    assert queries.unreviewed(STG) == ()
    assert (entries()[0].action, entries()[0].reason) == (Action.GLASS_REVIEW, "read all entries")
    with pytest.raises(Stale, match="reviewed already"):
        review(broken.id)


def test_what_a_shell_broke_is_reviewed_by_a_person() -> None:
    broken = begin(by=SHELL)
    assert review(broken.id, by=ADMIN).reviewed_by == ADMIN.id
