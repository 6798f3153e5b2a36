"""Undo: the state before one's own last change, for 10 s, outside production."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from routing.changes import change, due, undo
from routing.core.errors import Forbidden, NotFound, RuleBroken, Stale
from routing.core.flags import FlagName
from routing.core.values import Action, Outcome, Role
from routing.schedule import queries
from tests.integration.changes.ground import (
    ADMIN,
    NOW,
    OPERATOR,
    PROD,
    STG,
    UNKNOWN,
    VIEWER,
    apply,
    entries,
    facts,
    is_on,
    lay,
    person,
    to,
    version,
)

pytestmark = pytest.mark.django_db
CACHING, SUPPORT, BEDROCK = (
    FlagName.CACHING,
    FlagName.SUPPORT_MODE,
    FlagName.BEDROCK_PROVIDER,
)
LAST = NOW + timedelta(seconds=10)
OVER = NOW + timedelta(seconds=10, milliseconds=1)


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()


def back(entry_seq: int, **more: Any) -> change.Applied:
    usual: dict[str, Any] = {"by": OPERATOR, "now": LAST, "environment": STG, "health": UNKNOWN}
    return undo.apply(entry_seq=entry_seq, **(usual | more))


def test_a_whole_set_is_put_back_as_a_change_that_names_what_it_undoes() -> None:
    apply([to(CACHING, True, percentage=30)])
    done = apply([to(CACHING, False), to(SUPPORT, True)])
    undone = back(done.entry_seq)
    assert (is_on(CACHING), is_on(SUPPORT)) == (True, False)
    entry = entries()[0]
    assert (entry.seq, entry.action, entry.actor) == (
        undone.entry_seq,
        Action.FLAG_CHANGE,
        OPERATOR.id,
    )
    assert facts(entry.facts)["undoes"] == done.entry_seq
    assert entry.reason == f"Undo of entry #{done.entry_seq}."
    assert facts(facts(entry.after)[CACHING])["percentage"] == 30


def test_it_is_offered_for_ten_seconds_by_the_servers_clock() -> None:
    done = apply([to(CACHING, False)])
    offered = undo.latest(OPERATOR, STG, LAST)
    assert offered is not None
    assert (offered.entry_seq, offered.flags, offered.until) == (done.entry_seq, (CACHING,), LAST)
    assert undo.latest(OPERATOR, STG, OVER) is None
    with pytest.raises(RuleBroken, match="within 10 s"):
        back(done.entry_seq, now=OVER)
    assert not is_on(CACHING)


def test_nobody_undoes_anothers_change_or_one_that_somebody_followed() -> None:
    done = apply([to(CACHING, False)])
    other = person(Role.ADMIN)
    assert undo.latest(other, STG, LAST) is None
    with pytest.raises(RuleBroken, match="Only the person"):
        back(done.entry_seq, by=other)
    apply([to(CACHING, True)], by=other)
    apply([to(CACHING, False)], by=other)
    assert undo.latest(OPERATOR, STG, LAST) is None
    with pytest.raises(Stale):
        back(done.entry_seq)
    assert (is_on(CACHING), version(CACHING)) == (False, 4)


def test_production_knows_no_undo() -> None:
    done = apply(
        [to(CACHING, False, environment=PROD)],
        environment=PROD,
        by=ADMIN,
        typed_environment="production",
    )
    assert undo.latest(ADMIN, PROD, NOW) is None
    with pytest.raises(RuleBroken, match="Nothing is undone in production"):
        back(done.entry_seq, by=ADMIN, environment=PROD)


def test_only_a_change_of_flags_made_here_is_undone() -> None:
    done = apply([to(CACHING, False)])
    with pytest.raises(NotFound):
        back(done.entry_seq - 1)
    with pytest.raises(NotFound):
        back(done.entry_seq + 50)
    with pytest.raises(Forbidden):
        back(done.entry_seq, by=VIEWER)
    booked = [e for e in entries() if e.outcome == Outcome.REFUSED]
    assert len(booked) == 3 and all(e.reason.startswith("Undo of entry #") for e in booked)


def test_what_stops_again_needs_no_second_word_but_the_guards_still_refuse() -> None:
    apply([to(BEDROCK, False)], confirmed=True)
    again = apply([to(BEDROCK, True)])
    back(again.entry_seq)
    assert not is_on(BEDROCK)
    on = apply([to(BEDROCK, True)])
    apply([to(FlagName.MCP_INTEGRATION, False)], confirmed=True)
    with pytest.raises(RuleBroken, match="No operation would keep a path"):
        back(on.entry_seq)
    assert is_on(BEDROCK)


def test_the_end_of_what_is_put_back_is_put_back_too() -> None:
    apply([to(CACHING, False)], ends_at=NOW + timedelta(hours=1))
    early = apply([to(CACHING, True)])
    back(early.entry_seq)
    assert not is_on(CACHING)
    held = queries.end_of(STG, CACHING, version(CACHING))
    assert held is not None and held.due_at == NOW + timedelta(hours=1)
    assert due.run((STG,), held.due_at, lambda _: UNKNOWN) == 2  # the first one finds it changed
    assert is_on(CACHING)


def test_an_undo_of_a_change_with_an_end_leaves_no_end() -> None:
    done = apply([to(CACHING, False)], ends_at=NOW + timedelta(hours=1))
    back(done.entry_seq)
    assert queries.end_of(STG, CACHING, version(CACHING)) is None
    assert due.run((STG,), NOW + timedelta(hours=1), lambda _: UNKNOWN) == 1
    assert is_on(CACHING)
