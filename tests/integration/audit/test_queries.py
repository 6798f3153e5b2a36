"""What the audit page shows comes from the hashed text, page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from routing.audit import guards, queries
from routing.audit.queries import Filters
from routing.core.errors import Invalid, NotFound
from routing.core.values import Action, EnvironmentName, Outcome
from tests.integration.audit.pen import ADAM, NOW, book, book_many, sql

pytestmark = pytest.mark.django_db


def numbers(**filters: Any) -> list[int]:
    return [row.seq for row in queries.page(filters=Filters(**filters)).rows]


def test_pages_follow_each_other_without_gap_or_double() -> None:
    book_many(25)
    seen: list[int] = []
    before: int | None = None
    while True:
        page = queries.page(filters=Filters(), before_seq=before, size=10)
        seen += [row.seq for row in page.rows]
        before = page.next_before_seq
        if before is None:
            break
    assert seen == list(range(25, 0, -1))


def test_a_page_that_ends_exactly_at_the_first_entry_is_the_last() -> None:
    book_many(10)
    assert queries.page(filters=Filters(), size=10).next_before_seq is None


def test_entries_written_meanwhile_do_not_shift_the_next_page() -> None:
    book_many(10)
    first = queries.page(filters=Filters(), size=4)
    book()
    second = queries.page(filters=Filters(), before_seq=first.next_before_seq, size=4)
    assert [row.seq for row in second.rows] == [6, 5, 4, 3]


def test_every_filter_leaves_only_what_it_names() -> None:
    book()
    book(
        by=ADAM,
        action=Action.ROLE_GRANT,
        environment=EnvironmentName.PRODUCTION,
        object_type="user",
        object_id="u-7",
        outcome=Outcome.REFUSED,
        now=NOW + timedelta(days=1),
    )
    assert numbers(actor="u-adam") == [3]
    assert numbers(action=Action.ROLE_GRANT) == [3]
    assert numbers(environment=EnvironmentName.STAGING) == [2]
    assert numbers(environment="") == [1]
    assert numbers(object_type="user", object_id="u-7") == [3]
    assert numbers(outcome=Outcome.DONE) == [2, 1]
    assert numbers(since=NOW + timedelta(days=1)) == [3]
    assert numbers(until=NOW + timedelta(days=1)) == [2, 1]
    assert numbers(actor="u-adam", environment=EnvironmentName.STAGING) == []


def test_a_row_is_told_from_its_text_and_not_from_its_columns() -> None:
    book(before={"on": False}, after={"on": True}, reason="because")
    guards.lift(connection)
    sql("UPDATE routing_entry SET actor = 'u-adam', action = 'role.grant' WHERE seq = 2")

    row = queries.entry(stream="control", seq=2)

    assert (row.actor, row.action, row.role, row.reason) == (
        "u-olivia",
        "flag.change",
        "operator",
        "because",
    )
    assert (row.before, row.after, row.broken) == ({"on": False}, {"on": True}, "")


def test_an_altered_row_is_shown_and_says_so() -> None:
    book()
    guards.lift(connection)
    sql("UPDATE routing_entry SET hash = %s WHERE seq = 2", bytes(32))

    row = queries.page(filters=Filters()).rows[0]

    assert row.actor == "u-olivia"
    assert "does not match its hash" in row.broken


@pytest.mark.parametrize("text", [b"", b"\xff", b"{}", b'{"v":1,"actor":[]}', b"[" * 5000])
def test_an_unreadable_row_does_not_hide_the_others(text: bytes) -> None:
    book_many(3)
    guards.lift(connection)
    sql("UPDATE routing_entry SET body = %s WHERE seq = 2", text)

    rows = queries.page(filters=Filters()).rows

    assert [bool(row.broken) for row in rows] == [False, True, False]


def test_asking_for_no_such_entry_says_so() -> None:
    with pytest.raises(NotFound, match="no entry 9"):
        queries.entry(stream="control", seq=9)


@pytest.mark.parametrize("size", [0, -1, 501])
def test_a_page_has_a_sane_size(size: int) -> None:
    with pytest.raises(Invalid):
        queries.page(filters=Filters(), size=size)
