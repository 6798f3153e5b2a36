"""Segments reach the database whole, in order and once, whatever happens on the way."""

from __future__ import annotations

import errno
import itertools
import os
import tracemalloc
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection

from routing.core import chain
from routing.decisions import segment, shipper
from routing.decisions.models import Decision
from routing.decisions.segment import Segment
from routing.decisions.shipper import Shipper

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIVE = "decision:p:live"
OTHER = "decision:p:dead"
_ids = itertools.count()


def decision(**more: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "kind": "decision",
        "id": f"d{next(_ids)}",
        "at": "2026-11-23T11:59:00.000000Z",
        "environment": "production",
        "operation": "standard",
        "intended": "mcp",
        "effective": "direct_bedrock",
        "reason": "fallback_error",
        "synthetic": False,
        "budget_ms": 30_000,
        "duration_us": 30_000_001,
        **more,
    }


class Writer:
    """One process's segment in `folder`."""

    def __init__(self, folder: Path, stream: str) -> None:
        _, name, boot = stream.split(":")
        log_id = os.urandom(32)
        self.stream = stream
        self.segment = Segment(folder / f"{name}-{boot}.seg", stream=stream, log_id=log_id)
        self.segment.append([{"v": 1, "kind": "opened", "log_id": log_id.hex()}])

    @property
    def path(self) -> Path:
        return self.segment.path

    def write(self, count: int) -> None:
        self.segment.append([decision() for _ in range(count)])

    def end(self) -> None:
        self.segment.append([{"v": 1, "kind": "closed", "by": "self"}])


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path, LIVE)
    yield writer
    writer.segment.close()


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path, OTHER)
    yield writer
    writer.segment.close()


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "BATCH", 3)


def make(live: Writer) -> Shipper:
    return Shipper(live.path.parent, live=LIVE, synced=lambda: live.segment.seq)


def stored(stream: str = LIVE) -> list[int]:
    found = Decision.objects.filter(stream=stream).order_by("seq")
    return list(found.values_list("seq", flat=True))


def chain_holds(stream: str) -> bool:
    prev: bytes | None = None
    for row in Decision.objects.filter(stream=stream).order_by("seq").iterator():
        body, link = bytes(row.body), bytes(row.hash)
        if prev is not None and bytes(row.prev) != prev:
            return False
        if chain.link(stream, row.seq, bytes(row.prev), body) != link:
            return False
        prev = link
    return prev is not None


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


class Away:
    """A database that goes away at the `at`-th batch, before or after it has committed it."""

    def __init__(self, patch: pytest.MonkeyPatch, *, at: int) -> None:
        self.left = at
        self._real = Decision.objects.bulk_create
        patch.setattr(Decision.objects, "bulk_create", self)

    def __call__(self, rows: Sequence[Decision]) -> Any:
        self.left -= 1
        if self.left == 0:
            raise DatabaseError("away")
        return self._real(rows)


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


def test_what_a_power_loss_left_of_the_last_append_is_cut_kept_aside_and_told(
    live: Writer, dead: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    dead.write(2)
    ends = dead.path.stat().st_size
    dead.write(4)
    content = bytearray(dead.path.read_bytes())
    content[ends + 40 : ends + 300] = bytes(260)  # a sector that never reached the disk
    dead.path.write_bytes(content)
    shipping = make(live)
    assert shipping.close_the_dead(NOW) == [OTHER]
    shipping.ship()
    rows = Decision.objects.filter(stream=OTHER).order_by("seq")
    assert [row.kind for row in rows] == ["opened", "decision", "decision", "closed"]
    said = chain.read(bytes(rows[3].body))
    assert isinstance(said, dict) and said["cut_bytes"] == len(content) - ends
    assert dead.path.with_suffix(".cut").read_bytes() == bytes(content[ends:])
    assert "do not verify" in caplog.text
    assert chain_holds(OTHER)


def test_the_parts_of_a_stream_are_shipped_in_order_and_put_aside_when_they_are_whole(
    live: Writer, dead: Writer
) -> None:
    dead.segment._part_bytes = 2_000
    for _ in range(12):
        dead.write(3)
    parts = segment.streams(dead.path.parent)[OTHER]
    assert len(parts) > 3
    os.truncate(parts[-1], parts[-1].stat().st_size - 1)
    shipping = make(live)
    assert shipping.close_the_dead(NOW) == [OTHER]
    while shipping.ship():
        pass
    assert chain_holds(OTHER)
    assert stored(OTHER) == list(range(1, len(stored(OTHER)) + 1))
    assert segment.streams(dead.path.parent).get(OTHER) is None
    assert len(segment.streams(dead.path.parent, "shipped")[OTHER]) == len(parts)


@pytest.mark.parametrize("stop", range(1, 9))
def test_a_shipper_that_dies_among_parts_is_followed_by_one_that_goes_on(
    live: Writer, dead: Writer, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    dead.segment._part_bytes = 1_500
    for _ in range(6):
        dead.write(3)
    dead.end()
    Away(monkeypatch, at=stop)
    with pytest.raises(DatabaseError):
        make(live).ship()
    make(live).ship()
    assert chain_holds(OTHER)
    assert segment.streams(dead.path.parent).get(OTHER) is None


def test_a_part_that_is_missing_is_told_and_nothing_behind_it_is_shipped(
    live: Writer, dead: Writer
) -> None:
    dead.segment._part_bytes = 500
    for _ in range(4):
        dead.write(2)
    _, second, *_ = segment.streams(dead.path.parent)[OTHER]
    second.unlink()
    shipping = make(live)
    shipping.ship()
    assert "look for the part in between" in shipping.broken[OTHER]
    assert stored(OTHER) == [1, 2, 3]


def test_a_part_that_was_begun_and_holds_nothing_does_not_hide_the_one_before(
    live: Writer, dead: Writer
) -> None:
    dead.write(2)
    segment.part_path(dead.path, 2).touch()
    shipping = make(live)
    assert shipping.close_the_dead(NOW) == [OTHER]
    shipping.ship()
    assert [row.kind for row in Decision.objects.filter(stream=OTHER).order_by("seq")] == [
        "opened",
        "decision",
        "decision",
        "closed",
    ]


def test_the_disk_that_refuses_the_closing_record_is_asked_again(
    live: Writer, dead: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead.write(1)
    real, full = os.fdatasync, [True]

    def fdatasync(file: int) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    shipping = make(live)
    assert shipping.close_the_dead(NOW) == []
    full[0] = False
    shipping.close_the_dead(NOW)
    shipping.ship()
    assert stored(OTHER) == [1, 2, 3]


BACKLOG = int(os.environ.get("HYBRIDOPS_BACKLOG") or 6_000)


def test_an_hour_without_the_database_is_made_up_for_in_order_and_in_bounded_memory(
    live: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hour is 60 rounds of a minute, in which decisions go on being written."""
    monkeypatch.setattr(shipper, "BATCH", 200)
    monkeypatch.setattr(shipper, "AT_ONCE", 1_000)
    live.segment._part_bytes = 4_000_000
    shipping = make(live)
    away = Gone(monkeypatch)
    for minute in range(60):
        live.write(BACKLOG // 60)
        if minute % 10 == 0:
            with pytest.raises(DatabaseError):
                shipping.ship()
    total = live.segment.seq
    assert shipping.lag() == total, "all of it waits, and the lag says so"
    away.back = True
    tracemalloc.start()
    lags = [shipping.lag()]
    while shipping.ship():
        lags.append(shipping.lag())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lags[-1] == 0
    assert all(before - after <= shipper.AT_ONCE for before, after in pairwise(lags))
    assert peak < 12_000_000, f"{peak} bytes for {total} records"
    assert Decision.objects.filter(stream=LIVE).count() == total
    assert chain_holds(LIVE)


class Gone:
    """A database that takes nothing until it is back."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.back = False
        self._real = Decision.objects.bulk_create
        patch.setattr(Decision.objects, "bulk_create", self)

    def __call__(self, rows: Sequence[Decision]) -> Any:
        if not self.back:
            raise DatabaseError("away")
        return self._real(rows)


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
