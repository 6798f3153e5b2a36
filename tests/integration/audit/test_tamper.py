"""Every way of altering the stored trail, with the guards lifted, and what verification says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from routing.audit import guards
from routing.audit.verify import BATCH, verify
from routing.core import chain
from tests.integration.audit.pen import NOW, book, book_many, second_opinion, sql

pytestmark = pytest.mark.django_db

LAST = 12
COLUMNS = (
    "stream, seq, body, prev, hash, at, actor_kind, actor, action, environment, "
    "object_type, object_id, outcome, request_id"
)


def stored(seq: int) -> dict[str, Any]:
    row = sql(f"SELECT {COLUMNS} FROM routing_entry WHERE seq = %s", seq)[0]
    values = dict(zip(COLUMNS.split(", "), row, strict=True))
    return values | {name: bytes(values[name]) for name in ("body", "prev", "hash")}


def put(seq: int, /, **values: Any) -> None:
    names = ", ".join(f"{name} = %s" for name in values)
    sql(f"UPDATE routing_entry SET {names} WHERE seq = %s", *values.values(), seq)


def insert(**values: Any) -> None:
    marks = ", ".join(["%s"] * len(values))
    sql(f"INSERT INTO routing_entry ({', '.join(values)}) VALUES ({marks})", *values.values())


def rewritten(seq: int, /, **said: Any) -> bytes:
    return chain.canonical(json.loads(stored(seq)["body"]) | said)


def linked(seq: int, body: bytes) -> bytes:
    return chain.link("control", seq, stored(seq)["prev"], body)


def flip_a_byte_of_the_text() -> None:
    body = bytearray(stored(7)["body"])
    body[40] ^= 1
    put(7, body=bytes(body))


def rewrite_the_text() -> None:
    put(7, body=rewritten(7, reason="it was somebody else"))


def rewrite_the_text_and_its_hash() -> None:
    body = rewritten(7, reason="it was somebody else")
    put(7, body=body, hash=linked(7, body))


def alter_the_hash() -> None:
    put(7, hash=bytes(32))


def alter_the_link() -> None:
    put(7, prev=bytes(32))


def alter_hash_and_the_link_to_it() -> None:
    put(7, hash=b"\x07" * 32)
    put(8, prev=b"\x07" * 32)


def swap_two_texts() -> None:
    seventh, eighth = stored(7)["body"], stored(8)["body"]
    put(7, body=eighth)
    put(8, body=seventh)


def swap_two_rows() -> None:
    put(7, seq=100)
    put(8, seq=7)
    put(100, seq=8)


def delete_one_in_the_middle() -> None:
    sql("DELETE FROM routing_entry WHERE seq = 7")


def delete_and_renumber() -> None:
    delete_one_in_the_middle()
    for seq in range(8, LAST + 1):
        put(seq, seq=seq - 1)


def delete_the_first_entries() -> None:
    sql("DELETE FROM routing_entry WHERE seq < 4")


def insert_a_forged_one() -> None:
    for seq in range(LAST, 6, -1):
        put(seq, seq=seq + 1)
    forged = stored(6) | {"seq": 7, "prev": stored(6)["hash"]}
    forged["body"] = chain.canonical(json.loads(forged["body"]) | {"seq": 7})
    forged["hash"] = chain.link("control", 7, forged["prev"], forged["body"])
    put(8, prev=forged["hash"])  # otherwise the unique key on the predecessor refuses the fork
    insert(**forged)


def insert_one_before_the_first() -> None:
    insert(**stored(7) | {"seq": 0, "prev": b"\x01" * 32, "hash": b"\x02" * 32})


def append_one_that_follows_nothing() -> None:
    insert(**stored(7) | {"seq": LAST + 1, "prev": b"\x01" * 32, "hash": b"\x02" * 32})


def append_text_that_is_no_entry() -> None:
    last = stored(LAST)
    body = b'{"said":"nothing"}'
    digest = chain.link("control", LAST + 1, last["hash"], body)
    insert(**last | {"seq": LAST + 1, "body": body, "prev": last["hash"], "hash": digest})


def relink_a_text_in_other_spelling() -> None:
    body = stored(LAST)["body"].replace(b'","', b'", "', 1)
    put(LAST, body=body, hash=linked(LAST, body))


def relink_a_text_of_another_number() -> None:
    body = rewritten(LAST, seq=LAST - 1)
    put(LAST, body=body, hash=linked(LAST, body))


def alter_the_log_id() -> None:
    sql("UPDATE routing_stream SET log_id = %s", bytes(32))


def alter_the_opening_time() -> None:
    moved = connection.ops.adapt_datetimefield_value(NOW.replace(year=2020))
    sql("UPDATE routing_stream SET opened_at = %s", moved)


def forget_the_stream() -> None:
    sql("DELETE FROM routing_stream")


def delete_every_entry() -> None:
    sql("DELETE FROM routing_entry")


def empty_the_text() -> None:
    put(7, body=b"")


CLASSES: dict[Callable[[], None], tuple[int, str]] = {
    flip_a_byte_of_the_text: (7, "Entry 7 was altered: its text does not match its hash."),
    rewrite_the_text: (7, "Entry 7 was altered: its text does not match its hash."),
    rewrite_the_text_and_its_hash: (8, "Entry 8 does not follow entry 7: one of the two"),
    alter_the_hash: (7, "Entry 7 was altered"),
    alter_the_link: (7, "Entry 7 does not follow entry 6"),
    alter_hash_and_the_link_to_it: (7, "Entry 7 was altered"),
    swap_two_texts: (7, "Entry 7 was altered"),
    swap_two_rows: (7, "Entry 7 does not follow entry 6"),
    delete_one_in_the_middle: (7, "Entry 7 is missing: entry 8 stands in its place."),
    delete_and_renumber: (7, "Entry 7 does not follow entry 6"),
    delete_the_first_entries: (1, "Entry 1 is missing: entry 4 stands in its place."),
    insert_a_forged_one: (8, "Entry 8 was altered: its text does not match its hash."),
    insert_one_before_the_first: (1, "Entry 1 is missing: entry 0 stands in its place."),
    append_one_that_follows_nothing: (LAST + 1, "Entry 13 does not follow entry 12"),
    append_text_that_is_no_entry: (LAST + 1, "Entry 13 is no entry that we wrote"),
    relink_a_text_in_other_spelling: (LAST, "is not in canonical form"),
    relink_a_text_of_another_number: (LAST, "Entry 12 was moved: its text names seq 11."),
    alter_the_log_id: (1, "Entry 1 does not follow the opening of this log"),
    forget_the_stream: (1, "The stream control has entries but was never opened."),
    delete_every_entry: (1, "opened and holds no entries: they were removed"),
    empty_the_text: (7, "Entry 7 was altered"),
}


@pytest.mark.parametrize("tamper", CLASSES, ids=[tamper.__name__ for tamper in CLASSES])
def test_names_the_first_entry_that_is_wrong(tamper: Callable[[], None]) -> None:
    book_many(LAST)
    guards.lift(connection)
    assert verify().ok, "the log is good before"

    tamper()

    first_bad, words = CLASSES[tamper]
    report = verify()
    assert not report.ok
    assert report.first_bad == first_bad
    assert words in report.problem
    assert second_opinion()[1] == first_bad


def test_a_time_of_opening_that_was_altered_is_named() -> None:
    book_many(3)
    guards.lift(connection)
    alter_the_opening_time()
    report = verify()
    assert (report.first_bad, report.ok) == (1, False)


DERIVED = {
    "at": "2020-01-01 00:00:00+00",
    "actor_kind": "system",
    "actor": "u-adam",
    "action": "role.grant",
    "environment": "production",
    "object_type": "user",
    "object_id": "x",
    "outcome": "refused",
    "request_id": "",
}


@pytest.mark.parametrize("column", DERIVED)
def test_names_an_entry_whose_column_alone_was_altered(column: str) -> None:
    book_many(LAST)
    guards.lift(connection)

    put(9, **{column: DERIVED[column]})

    report = verify()
    assert report.first_bad == 9
    assert f"Entry 9 is shown wrongly: its text says {column} " in report.problem
    assert second_opinion() == (8, 9)


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    ("column", "value"), [("at", "never"), ("at", 7), ("actor", b"u-olivia"), ("body", "text")]
)
def test_a_value_of_a_wrong_type_is_named_and_does_not_stop_the_check(
    column: str, value: Any
) -> None:
    book_many(LAST)
    guards.lift(connection)
    put(9, **{column: value})
    assert verify().first_bad == 9


def test_all_of_it_stands_when_nothing_was_touched() -> None:
    book_many(LAST)

    report = verify()

    assert (report.ok, report.entries, report.first_bad, report.problem) == (True, LAST, None, "")
    assert report.head is not None
    assert report.head.hash == stored(LAST)["hash"].hex()
    assert report.unguarded == ()
    assert second_opinion() == (LAST, None)


def test_a_log_without_entries_is_never_called_good() -> None:
    report = verify()
    assert not report.ok
    assert "nothing to verify" in report.problem
    assert second_opinion() == (0, 1)


def test_missing_guards_are_told_apart_from_a_broken_chain() -> None:
    book_many(3)
    guards.lift(connection)
    report = verify()
    assert report.ok
    assert set(report.unguarded) == {g.name for g in guards.guards_of(connection)}


def test_a_chain_alone_cannot_tell_that_its_newest_entries_are_gone() -> None:
    """The limit, asserted: what shows it is a head that was kept outside the database."""
    book_many(LAST)
    kept = verify().head
    guards.lift(connection)
    sql("DELETE FROM routing_entry WHERE seq > 9")

    report = verify()

    assert report.ok
    assert report.head is not None
    assert kept is not None
    assert report.head.seq < kept.seq


def test_a_chain_alone_cannot_tell_that_all_of_it_was_computed_anew() -> None:
    """The other limit: whoever may write may also hash. A head kept outside shows it."""
    book_many(LAST)
    kept = verify().head
    guards.lift(connection)
    body = rewritten(7, reason="it was somebody else")
    put(7, body=body, hash=linked(7, body))
    for seq in range(8, LAST + 1):
        put(seq, prev=stored(seq - 1)["hash"])
        put(seq, hash=linked(seq, stored(seq)["body"]))

    report = verify()

    assert report.ok
    assert report.head != kept


def test_progress_is_told_and_ends_at_the_total() -> None:
    book_many(BATCH + 5)
    told: list[tuple[int, int]] = []

    verify(on_progress=lambda done, total: told.append((done, total)))

    assert told == [(BATCH, BATCH + 5), (BATCH + 5, BATCH + 5)]


def test_entries_beyond_the_first_batch_are_checked_too() -> None:
    book_many(BATCH + 5)
    guards.lift(connection)
    put(BATCH + 3, body=b"{}")
    assert verify().first_bad == BATCH + 3


def test_a_log_goes_on_after_a_check() -> None:
    book()
    assert verify().ok
    book()
    assert verify().entries == 3
