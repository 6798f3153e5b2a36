from __future__ import annotations

from routing.decisions import fresh
from routing.decisions.fresh import Fresh

BODY = {"kind": "decision", "id": "d1", "prompt": {"size": 3}}


def test_gives_what_was_noted_once_and_no_more_of_it_than_is_asked_for() -> None:
    kept = Fresh()
    kept.note(7, b"link", BODY)
    assert kept.take(7, b"link") == {"kind": "decision", "id": "d1"}
    assert kept.take(7, b"link") is None
    assert kept.take(8, b"link") is None


def test_a_record_with_another_link_is_not_the_one_that_was_noted() -> None:
    kept = Fresh()
    kept.note(7, b"link", BODY)
    assert kept.take(7, b"other") is None


def test_keeps_no_more_than_it_may_and_the_oldest_of_them() -> None:
    kept = Fresh()
    for seq in range(fresh.MOST + 5):
        kept.note(seq, b"link", BODY)
    assert [kept.take(seq, b"link") is not None for seq in (0, fresh.MOST - 1, fresh.MOST)] == [
        True,
        True,
        False,
    ]
