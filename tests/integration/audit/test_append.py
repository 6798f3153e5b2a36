"""An entry and its change commit together, gapless, and say who, where, when and why."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction

from routing.audit import ledger, queries
from routing.audit.models import Entry, Stream
from routing.core import chain
from routing.core.errors import AuditBroken, Broken, Invalid
from routing.core.rights import Actor
from routing.core.values import Action, ActorKind, Outcome
from tests.integration.audit.pen import ADAM, MINIMAL, NOW, OLIVIA, book, book_many, sql

pytestmark = pytest.mark.django_db


def test_an_empty_log_has_no_head() -> None:
    assert ledger.head() is None


def test_the_first_entry_opens_the_stream_under_a_random_id() -> None:
    ref = book()

    stream, opening = Stream.objects.get(), Entry.objects.get(seq=1)
    log_id = bytes(stream.log_id)
    assert ref.seq == 2
    assert bytes(opening.prev) == chain.genesis(log_id)
    assert opening.action == "stream.open"
    assert json.loads(bytes(opening.body))["facts"]["log_id"] == log_id.hex()
    assert len(set(log_id)) > 8, "an id of one byte repeated is not random"


def test_each_entry_follows_the_one_before() -> None:
    refs = [book(object_id=str(n)) for n in range(3)]

    assert [ref.seq for ref in refs] == [2, 3, 4]
    assert bytes(Entry.objects.get(seq=4).prev).hex() == refs[1].hash
    assert ledger.head() == refs[-1]


def test_an_entry_says_everything_about_the_act() -> None:
    book(reason="latency", before={"on": False}, after={"on": True}, facts={"version": 7})

    said = json.loads(bytes(Entry.objects.get(seq=2).body))
    assert said == {
        "v": 1,
        "stream": "control",
        "seq": 2,
        "at": "2026-03-04T05:06:07.000089Z",
        "actor": {"kind": "user", "id": "u-olivia", "role": "operator"},
        "action": "flag.change",
        "environment": "staging",
        "object": {"type": "flag", "id": "ai.caching.enabled"},
        "outcome": "done",
        "reason": "latency",
        "before": {"on": False},
        "after": {"on": True},
        "facts": {"version": 7},
        "request_id": "r-1",
        "session": "5e55",
        "peer": "192.0.2.0/24",
    }


def test_the_role_is_the_one_held_in_that_environment() -> None:
    book(by=ADAM)
    book(environment=None)

    roles = [json.loads(bytes(e.body))["actor"]["role"] for e in Entry.objects.filter(seq__gt=1)]
    assert roles == [None, None]


def test_times_are_booked_in_utc() -> None:
    book(now=datetime(2026, 3, 4, 1, 0, tzinfo=timezone(timedelta(hours=-5))))

    row = queries.entry(stream="control", seq=2)
    assert row.at == Entry.objects.get(seq=2).at == datetime(2026, 3, 4, 6, 0, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
def test_there_is_no_entry_outside_a_transaction() -> None:
    with pytest.raises(Broken, match="open one first"):
        ledger.record(**MINIMAL)
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_undone_leaves_no_entry() -> None:
    book()
    with pytest.raises(KeyError), transaction.atomic():
        Group.objects.create(name="half done")
        ledger.record(**MINIMAL)
        raise KeyError
    assert ledger.head() == queries_head(2)
    assert book().seq == 3, "a rolled-back entry leaves no gap"


def queries_head(seq: int) -> ledger.EntryRef:
    row = queries.entry(stream="control", seq=seq)
    return ledger.EntryRef(stream="control", seq=seq, hash=row.hash)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"after": {"share": 0.5}}, Broken),
        ({"facts": {"é": 1}}, Broken),
        ({"now": datetime(2026, 1, 1)}, Broken),  # noqa: DTZ001
        ({"reason": "x" * 2001}, Invalid),
    ],
)
def test_a_change_that_cannot_be_booked_is_undone(changes: Any, error: type[Exception]) -> None:
    with pytest.raises(error), transaction.atomic():
        Group.objects.create(name="half done")
        ledger.record(**(MINIMAL | changes))
    assert not Group.objects.exists()
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_change_is_undone_even_if_the_failure_to_book_it_is_swallowed() -> None:
    with transaction.atomic():
        Group.objects.create(name="half done")
        with contextlib.suppress(Broken):
            ledger.record(**(MINIMAL | {"after": 0.5}))
    assert not Group.objects.exists()


def test_long_values_give_way_to_their_digest_and_say_so() -> None:
    book(before={"note": "short"}, after={"document": "ä" * 20_000})

    row = queries.entry(stream="control", seq=2)
    assert row.before == {"note": "short"}
    assert isinstance(row.after, dict)
    assert row.after["bytes"] == 40_000 + len('{"document":""}')
    assert len(bytes(Entry.objects.get(seq=2).body)) <= 16 * 1024


def test_no_caller_can_make_a_name_that_the_columns_cannot_hold() -> None:
    hostile = Actor(
        kind=ActorKind.TOKEN, id="t" * 400, name="", request_id="\x00\ud800" + "r" * 100
    )
    book(by=hostile, object_id="o" * 300 + "1")
    book(by=hostile, object_id="o" * 300 + "2", reason="half \ud800, nul \x00")

    first, second = Entry.objects.filter(seq__gt=1)
    assert (len(first.actor), len(first.object_id), len(first.request_id)) == (300, 200, 64)
    assert first.object_id != second.object_id
    assert queries.entry(stream="control", seq=3).broken == ""


def test_a_reason_is_brought_to_nfc_and_values_stay_as_they_are() -> None:
    book(reason="Cafe\u0301", after="Cafe\u0301")

    row = queries.entry(stream="control", seq=2)
    assert (row.reason, row.after) == ("Caf\u00e9", "Cafe\u0301")


def test_a_log_whose_entries_were_all_removed_takes_no_new_one() -> None:
    book()
    from routing.audit import guards

    guards.lift(connection)
    sql("DELETE FROM routing_entry")
    guards.install(connection)
    with pytest.raises(AuditBroken, match="they were removed"):
        book()


def test_outcomes_other_than_done_are_booked_too() -> None:
    book(action=Action.SIGNIN_FAILURES, outcome=Outcome.FAILED, by=OLIVIA, now=NOW)

    assert queries.entry(stream="control", seq=2).outcome == "failed"


def test_filling_the_log_in_one_transaction_keeps_the_chain() -> None:
    book_many(20)

    assert ledger.head() == queries_head(20)
