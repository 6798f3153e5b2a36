"""Denials go into the trail behind the caller's back; what is lost is counted, never hidden."""

from __future__ import annotations

import threading

import pytest

from routing.api.booking import Booking, Denial, Fact, Unknown
from routing.core.errors import Forbidden
from routing.core.values import Action
from tests.unit.api import calls
from tests.unit.stage import NOW, PRODUCTION

TOKEN = calls.TOKENS["plain"]
MOST_S = 5


def denial(name: str) -> Denial:
    return Denial(
        by=TOKEN.actor(),
        now=NOW,
        action=Action.ROUTE_ASK,
        environment=PRODUCTION,
        object_type="operation",
        object_id=name,
        refusal=Forbidden("no"),
    )


def said(facts: list[Fact]) -> list[tuple[str, int]]:
    return [(f.object_id, f.unbooked) for f in facts if isinstance(f, Denial)]


def test_books_in_order_and_whole_before_it_ends() -> None:
    booked: list[Fact] = []
    booking = Booking(write=booked.append)
    for n in range(100):
        booking.put(denial(str(n)))
    booking.close()
    assert said(booked) == [(str(n), 0) for n in range(100)]


def test_a_caller_never_waits_and_what_found_no_room_stands_in_the_next_entry() -> None:
    gate, entered = threading.Event(), threading.Event()
    booked: list[Fact] = []

    def slow(fact: Fact) -> None:
        entered.set()
        assert gate.wait(MOST_S)
        booked.append(fact)

    booking = Booking(write=slow, room=2)
    booking.put(denial("first"))
    assert entered.wait(MOST_S)
    for name in ("second", "third", "lost", "lost too"):
        booking.put(denial(name))  # returns while the first one still waits
    assert booked == []
    gate.set()
    booking.close()
    assert said(booked) == [("first", 0), ("second", 2), ("third", 0)]


def test_what_the_database_refused_is_counted_into_the_next_entry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    booked: list[Fact] = []
    away = [True, True]

    def sometimes(fact: Fact) -> None:
        if away:
            away.pop()
            raise OSError("the database is away")
        booked.append(fact)

    booking = Booking(write=sometimes)
    booking.put(denial("a"))
    booking.put(Unknown(network="192.0.2.0/24", now=NOW))
    booking.put(denial("b"))
    booking.close()
    assert said(booked) == [("b", 2)]
    assert "the database is away" in caplog.text


def test_starts_again_after_it_was_closed() -> None:
    booked: list[Fact] = []
    booking = Booking(write=booked.append)
    booking.close()
    booking.put(denial("a"))
    booking.close()
    assert said(booked) == [("a", 0)]
