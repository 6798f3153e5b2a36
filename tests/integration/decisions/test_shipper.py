"""Segments reach the database whole, in order and once, whatever happens on the way."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import DatabaseError, connection

from routing.core import chain
from routing.decisions import segment, shipper
from routing.decisions.models import Decision
from routing.decisions.shipper import Shipper
from tests.integration.decisions.ground import (
    LIVE,
    NOW,
    OTHER,
    Away,
    Writer,
    chain_holds,
    decision,
    make,
    stored,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "BATCH", 3)


def test_ships_what_is_new_once_and_tells_how_far_behind_it_is(live: Writer) -> None:
    shipping = make(live)
    live.write(7)
    assert shipping.lag() == 8
    assert shipping.ship() == 8
    assert shipping.ship() == 0
    live.write(2)
    assert shipping.lag() == 2
    assert shipping.ship() == 2
    assert stored() == list(range(1, 11))
    assert chain_holds(LIVE)


def test_a_row_says_what_its_bytes_say(live: Writer) -> None:
    live.segment.append([decision(id="d-x"), {"v": 1, "kind": "gap", "count": 2}])
    make(live).ship()
    row = Decision.objects.get(seq=2)
    assert (row.decision_id, row.environment, row.operation) == ("d-x", "production", "standard")
    assert (row.intended, row.effective, row.reason) == ("mcp", "direct_bedrock", "fallback_error")
    assert (row.within_budget, row.duration_us) == (False, 30_000_001)
    assert row.at == datetime(2026, 11, 23, 11, 59, tzinfo=UTC)
    gap = Decision.objects.get(seq=3)
    assert (gap.kind, gap.decision_id, gap.within_budget, gap.at) == ("gap", "", None, None)


def test_a_new_shipper_goes_on_where_the_database_stands(live: Writer) -> None:
    live.write(7)
    make(live).ship()
    live.write(4)
    assert make(live).ship() == 4
    assert stored() == list(range(1, 13))


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("same", [True, False])
def test_a_database_that_goes_away_between_batches_costs_nothing(
    live: Writer, monkeypatch: pytest.MonkeyPatch, at: int, same: bool
) -> None:
    live.write(8)
    shipping = make(live)
    Away(monkeypatch, at=at)
    with pytest.raises(DatabaseError):
        shipping.ship()
    assert stored() == list(range(1, 3 * (at - 1) + 1))
    shipping = shipping if same else make(live)  # the same process, or the next one
    assert shipping.ship() == 9 - 3 * (at - 1)
    assert stored() == list(range(1, 10))
    assert chain_holds(LIVE)


def test_a_batch_that_was_committed_although_we_heard_otherwise_is_not_shipped_twice(
    live: Writer,
) -> None:
    live.write(2)
    ours, theirs = make(live), make(live)
    ours.ship()
    theirs.ship()
    live.write(5)
    theirs.ship()
    with pytest.raises(DatabaseError):
        ours.ship()  # it believes that five records are still to come
    assert ours.ship() == 0
    assert stored() == list(range(1, 9))


def test_what_is_not_synced_yet_stays_out_of_the_database(live: Writer) -> None:
    live.write(5)
    synced = 3
    shipping = Shipper(live.path.parent, live=LIVE, synced=lambda: synced)
    assert shipping.ship() == 3
    synced = 6
    assert shipping.ship() == 3


def test_the_successor_closes_a_dead_stream_and_ships_it(live: Writer, dead: Writer) -> None:
    dead.write(4)
    shipping = make(live)
    assert shipping.close_the_dead(NOW) == [OTHER]
    assert shipping.close_the_dead(NOW) == []
    shipping.ship()
    assert stored(OTHER) == list(range(1, 7))
    last = chain.read(bytes(Decision.objects.get(stream=OTHER, seq=6).body))
    assert isinstance(last, dict)
    assert (last["kind"], last["by"]) == ("closed", LIVE)
    assert chain_holds(OTHER)
    assert not dead.path.exists()
    assert dead.path.with_suffix(".shipped").exists()
    assert stored(LIVE) == [1]


@pytest.mark.parametrize("torn", [1, 3, 20, 40])
def test_a_torn_tail_is_cut_before_a_dead_stream_is_closed(
    live: Writer, dead: Writer, torn: int
) -> None:
    dead.write(2)
    os.truncate(dead.path, dead.path.stat().st_size - torn)
    shipping = make(live)
    shipping.close_the_dead(NOW)
    shipping.ship()
    kinds = Decision.objects.filter(stream=OTHER).order_by("seq").values_list("kind", flat=True)
    assert list(kinds) == ["opened", "decision", "closed"]
    assert chain_holds(OTHER)


def test_a_closing_that_was_torn_is_closed_again(live: Writer, dead: Writer) -> None:
    shipping = make(live)
    shipping.close_the_dead(NOW)
    os.truncate(dead.path, dead.path.stat().st_size - 1)
    assert make(live).close_the_dead(NOW) == [OTHER], "the one that tore it is dead, too"
    assert [r.seq for r in segment.read(dead.path, stream=OTHER)] == [1, 2]


def test_a_segment_without_a_whole_record_holds_nothing_and_goes(live: Writer) -> None:
    path = live.path.with_name("p-dead.seg")
    path.write_bytes(b"\x00\x00\x01")
    shipping = make(live)
    assert shipping.close_the_dead(NOW) == []
    assert not path.exists()


def test_a_rename_that_a_kill_prevented_is_made_up_for(live: Writer, dead: Writer) -> None:
    dead.end()
    make(live).ship()
    dead.path.with_suffix(".shipped").rename(dead.path)
    assert make(live).ship() == 0
    assert not dead.path.exists()


def test_a_forged_segment_is_left_alone_and_holds_up_no_other(
    live: Writer, dead: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    dead.write(4)
    ends = dead.path.stat().st_size
    dead.write(1)
    dead.write(1)  # each of them was begun when the one before was on disk
    content = bytearray(dead.path.read_bytes())
    content[ends - 60] ^= 1
    dead.path.write_bytes(content)
    live.write(2)
    shipping = make(live)
    assert shipping.close_the_dead(NOW) == []
    assert shipping.ship() == 3
    assert list(shipping.broken) == [OTHER]
    assert "does not follow" in caplog.text
    assert dead.path.read_bytes() == bytes(content)
    assert stored(OTHER) == []


def test_a_segment_that_is_not_the_one_in_the_database_is_left_alone(
    live: Writer, tmp_path: Path
) -> None:
    live.write(3)
    make(live).ship()
    other = tmp_path / "other"
    again = Writer(other, LIVE)
    again.write(3)
    again.segment.close()
    shipping = Shipper(other, live="decision:p:x", synced=lambda: 0)
    assert shipping.ship() == 0
    assert "disagree" in shipping.broken[LIVE]


def test_the_tables_constraints_refuse_a_fork(live: Writer) -> None:
    live.write(1)
    make(live).ship()
    first = Decision.objects.get(seq=2)
    with pytest.raises(DatabaseError), connection.cursor():
        Decision.objects.create(
            stream=LIVE, seq=3, body=first.body, prev=first.prev, hash=b"x" * 32, kind="decision"
        )
