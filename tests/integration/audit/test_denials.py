"""Refusals are booked; a flood of them is counted, over all processes, and the count booked."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import transaction

from routing.audit import ledger, queries
from routing.audit.models import DenialCount, Entry
from routing.audit.queries import Filters
from routing.audit.verify import verify
from routing.core.errors import Forbidden, NeedsConfirm, Refused
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName, Outcome
from tests.integration.audit.pen import ADAM, NOW, OLIVIA

pytestmark = pytest.mark.django_db


def try_and_fail(
    *, by: Actor = OLIVIA, now: datetime = NOW, refusal: Refused | None = None
) -> None:
    refusal = refusal or Forbidden("You may not.", right="change")
    with (
        pytest.raises(type(refusal)) as caught,
        ledger.denied(
            by=by,
            now=now,
            action=Action.FLAG_CHANGE,
            environment=EnvironmentName.STAGING,
            object_type="flag",
            object_id="ai.caching.enabled",
        ),
    ):
        raise refusal
    assert caught.value is refusal


def refused() -> list[queries.EntryRow]:
    found: list[queries.EntryRow] = []
    before: int | None = None
    while True:
        page = queries.page(filters=Filters(outcome=Outcome.REFUSED), before_seq=before, size=500)
        found += page.rows
        before = page.next_before_seq
        if before is None:
            return found


def test_a_refusal_is_booked_with_its_code_and_words() -> None:
    try_and_fail()

    (row,) = refused()
    assert (row.actor, row.action, row.environment) == ("u-olivia", "flag.change", "staging")
    assert row.facts == {
        "code": "forbidden",
        "message": "You may not.",
        "facts": {"right": "change"},
    }


def test_facts_that_json_does_not_know_are_booked_as_text() -> None:
    odd: dict[str, Any] = {"when": NOW, "share": 0.5, "who": {1: ADAM.kind}, "big": 2**60}
    try_and_fail(refusal=NeedsConfirm("x" * 5000, **odd))

    (row,) = refused()
    assert isinstance(row.facts, dict)
    assert row.facts["facts"] == {
        "when": "2026-03-04 05:06:07.000089+00:00",
        "share": "0.5",
        "who": {"1": "user"},
        "big": str(2**60),
    }


def test_what_goes_well_books_nothing() -> None:
    with ledger.denied(
        by=OLIVIA,
        now=NOW,
        action=Action.FLAG_CHANGE,
        environment=None,
        object_type="flag",
        object_id="x",
    ):
        pass
    assert not Entry.objects.exists()


def test_a_fault_of_ours_is_no_denial() -> None:
    with (
        pytest.raises(ZeroDivisionError),
        ledger.denied(
            by=OLIVIA,
            now=NOW,
            action=Action.FLAG_CHANGE,
            environment=None,
            object_type="flag",
            object_id="x",
        ),
    ):
        _ = 1 / 0
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_the_refused_change_is_undone_and_the_refusal_stays() -> None:
    with (
        pytest.raises(Forbidden),
        ledger.denied(
            by=OLIVIA,
            now=NOW,
            action=Action.FLAG_CHANGE,
            environment=None,
            object_type="flag",
            object_id="x",
        ),
        transaction.atomic(),
    ):
        Group.objects.create(name="half done")
        raise Forbidden("No.")
    assert not Group.objects.exists()
    assert len(refused()) == 1


@pytest.mark.django_db(transaction=True)
def test_a_denial_inside_a_transaction_is_refused_since_it_could_be_undone() -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        try_and_fail()


def test_a_flood_is_booked_sixty_times_and_then_once_with_its_count() -> None:
    for _ in range(75):
        try_and_fail()
    assert len(refused()) == 60

    try_and_fail(now=NOW + timedelta(minutes=1))

    newest, *_ = rows = refused()
    assert len(rows) == 62
    assert newest.action == "denials.suppressed"
    assert newest.object_id == "u-olivia"
    assert newest.facts == {
        "minute": "2026-03-04T05:06:00.000000Z",
        "booked": 60,
        "suppressed": 15,
    }
    assert verify().ok


def test_the_limit_is_one_actors_own() -> None:
    for _ in range(61):
        try_and_fail()
    try_and_fail(by=ADAM)
    assert len(refused()) == 61


def test_flushing_books_finished_minutes_only_and_once() -> None:
    for _ in range(62):
        try_and_fail()
    assert ledger.flush_denials(now=NOW + timedelta(seconds=30)) == 0
    assert ledger.flush_denials(now=NOW + timedelta(minutes=5)) == 1
    assert ledger.flush_denials(now=NOW + timedelta(minutes=5)) == 0
    assert not DenialCount.objects.exists()


def test_a_quiet_minute_leaves_no_entry_and_no_row() -> None:
    try_and_fail()
    assert ledger.flush_denials(now=NOW + timedelta(minutes=1)) == 0
    assert not DenialCount.objects.exists()
    assert len(refused()) == 1
