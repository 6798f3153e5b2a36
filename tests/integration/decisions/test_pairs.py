"""An answer in pieces has two records and is one decision: counted, closed and verified so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from routing.core import chain
from routing.core.values import EnvironmentName
from routing.decisions import lookup, queries, segment, verify
from routing.decisions.models import Decision
from routing.decisions.shipper import Shipper
from tests.integration.decisions.ground import LIVE, OTHER, Writer, decision

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STREAMED = {"end": "complete", "pieces": 2, "bytes": 9, "total_us": 90_000}
GAP = {"v": 1, "kind": "gap", "count": 1}
CLOSED = {"v": 1, "kind": "closed", "by": "self"}


def begun(id: str) -> dict[str, Any]:
    body = decision(id=id, kind="begun", effective="mcp", reason="rule")
    del body["duration_us"]
    return body


def ended(id: str) -> dict[str, Any]:
    return decision(id=id, effective="mcp", reason="rule", duration_us=4, streamed=STREAMED)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path, OTHER)
    yield made
    made.segment.close()


def ship(writer: Writer) -> None:
    Shipper(writer.path.parent, live=LIVE, synced=lambda: 0).ship()


def kept(writer: Writer) -> list[dict[str, Any]]:
    bodies = [chain.read(r.body) for r in segment.read(writer.path, stream=OTHER)]
    return [body for body in bodies if isinstance(body, dict)]


def test_a_pair_is_one_decision_to_whoever_counts(writer: Writer) -> None:
    writer.segment.append([begun("d1"), decision(id="d2"), ended("d1")])
    ship(writer)
    assert Decision.objects.count() == 4
    rows = queries.recent(EnvironmentName.PRODUCTION).rows
    assert len(rows) == 2
    assert Decision.objects.filter(decision_id="d1", kind="decision").count() == 1


def test_its_own_record_is_the_one_of_its_end(writer: Writer) -> None:
    writer.segment.append([begun("d1"), ended("d1")])
    ship(writer)
    found = lookup.decision("d1")
    assert found is not None
    assert found["streamed"] == STREAMED


def test_its_budget_is_held_against_the_first_piece(writer: Writer) -> None:
    writer.segment.append([begun("d1"), ended("d1")])
    ship(writer)
    rows = Decision.objects.filter(decision_id="d1").order_by("seq")
    assert [(row.within_budget, row.duration_us) for row in rows] == [(None, None), (True, 4)]


def test_a_successor_ends_what_a_dead_process_had_begun(writer: Writer) -> None:
    writer.segment.append([begun("d1"), begun("d2"), ended("d1"), begun("d3")])
    shipper = Shipper(writer.path.parent, live=LIVE, synced=lambda: 0)
    assert shipper.close_the_dead(NOW) == [OTHER]
    *_, second, third, last = kept(writer)
    assert last["kind"] == "closed"
    for body, id in ((second, "d2"), (third, "d3")):
        assert (body["kind"], body["id"], body["streamed"]["end"]) == ("decision", id, "lost")
        assert (body["effective"], body["status"]) == (None, 500)
    assert shipper.close_the_dead(NOW) == []
    shipper.ship()
    assert verify.verify().ok
    assert len(queries.recent(EnvironmentName.PRODUCTION).rows) == 3


@pytest.mark.parametrize(
    "records",
    [
        [begun("d1"), ended("d1"), CLOSED],
        [begun("d1"), begun("d2"), ended("d2"), ended("d1"), CLOSED],
        [begun("d1")],  # it may still be going out
        [begun("d1"), GAP, CLOSED],
        [GAP, ended("d1"), CLOSED],
    ],
)
def test_whole_pairs_are_good(writer: Writer, records: list[dict[str, Any]]) -> None:
    writer.segment.append(records)
    ship(writer)
    report = verify.verify()
    assert (report.ok, report.problem) == (True, "")


@pytest.mark.parametrize(
    ("records", "seq", "words"),
    [
        ([begun("d1"), CLOSED], 3, "no record ends the answer d1"),
        ([ended("d1"), CLOSED], 2, "had not begun"),
        ([begun("d1"), ended("d1"), ended("d1"), CLOSED], 4, "had ended already"),
        ([begun("d1"), begun("d1"), ended("d1"), CLOSED], 3, "had begun already"),
        ([begun("d1"), begun("d2"), GAP, CLOSED], 5, "no record ends the answer"),
    ],
)
def test_half_a_pair_and_a_second_end_are_found(
    writer: Writer, records: list[dict[str, Any]], seq: int, words: str
) -> None:
    writer.segment.append(records)
    ship(writer)
    report = verify.verify()
    assert (report.ok, report.first_bad) == (False, seq)
    assert words in report.problem
