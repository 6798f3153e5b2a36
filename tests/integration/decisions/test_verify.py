"""Whatever is done to the decisions in the database, verification names the record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from routing.audit import guards
from routing.core import chain
from routing.decisions import verify
from routing.decisions.models import Decision
from routing.decisions.shipper import Shipper
from tests.integration.decisions.ground import LIVE, OTHER, Writer, decision

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path) -> Iterator[None]:
    """Two streams of four records each: `opened`, then three decisions."""
    for stream in (LIVE, OTHER):
        Writer(tmp_path, stream).write(3)
    Shipper(tmp_path, live=LIVE, synced=lambda: 4).ship()
    assert Decision.objects.count() == 8
    guards.lift(connection)
    yield
    guards.install(connection)


def sql(statement: str, *values: str | bytes | int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_what_was_shipped_is_good() -> None:
    told: list[tuple[int, int]] = []
    report = verify.verify(on_progress=lambda done, total: told.append((done, total)))
    assert (report.ok, report.streams, report.records, report.problem) == (True, 2, 8, "")
    assert told == [(4, 8), (8, 8)]


def test_no_decision_yet_is_good() -> None:
    sql("DELETE FROM routing_decision")
    assert verify.verify().ok


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("reason", "rule"),
        ("effective", "mcp"),
        ("environment", "staging"),
        ("decision_id", "d0"),
        ("synthetic", True),
        ("within_budget", True),
        ("duration_us", 1),
        ("kind", "gap"),
        ("at", "2026-11-23 11:58:00+00:00"),
    ],
)
def test_a_column_that_says_something_else_is_found(column: str, value: str | int) -> None:
    sql(f"UPDATE routing_decision SET {column} = %s WHERE stream = %s AND seq = 3", value, LIVE)
    report = verify.verify()
    assert (report.ok, report.bad_stream, report.first_bad) == (False, LIVE, 3)
    assert f"its text says {column}" in report.problem


def test_an_altered_text_is_found() -> None:
    body = chain.canonical({**decision(), "stream": LIVE, "seq": 3})
    sql("UPDATE routing_decision SET body = %s WHERE stream = %s AND seq = 3", body, LIVE)
    report = verify.verify()
    assert (report.first_bad, "does not match its hash" in report.problem) == (3, True)


def test_an_altered_text_with_a_hash_of_its_own_is_found_at_its_successor() -> None:
    kept = Decision.objects.get(stream=LIVE, seq=3)
    body = chain.canonical({**decision(id="forged"), "stream": LIVE, "seq": 3})
    forged = chain.link(LIVE, 3, bytes(kept.prev), body)
    sql(
        "UPDATE routing_decision SET body = %s, hash = %s, decision_id = 'forged' "
        "WHERE stream = %s AND seq = 3",
        body,
        forged,
        LIVE,
    )
    report = verify.verify()
    assert (report.bad_stream, report.first_bad) == (LIVE, 4)
    assert "does not follow record 3" in report.problem


@pytest.mark.parametrize(("seq", "first"), [(1, 1), (3, 3)])
def test_a_record_that_was_removed_is_found(seq: int, first: int) -> None:
    sql("DELETE FROM routing_decision WHERE stream = %s AND seq = %s", LIVE, seq)
    report = verify.verify()
    assert (report.ok, report.first_bad) == (False, first)
    assert f"Record {first} of {LIVE} is missing" in report.problem


def test_a_record_of_another_stream_in_its_place_is_found() -> None:
    sql("DELETE FROM routing_decision WHERE stream = %s", OTHER)
    sql("UPDATE routing_decision SET stream = %s WHERE stream = %s", OTHER, LIVE)
    report = verify.verify()
    assert (report.bad_stream, report.first_bad) == (OTHER, 1)
    assert "was moved" in report.problem
