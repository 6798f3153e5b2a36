"""Large streams in parts, torn ones, and an hour of backlog: all reach the database in order."""

from __future__ import annotations

import errno
import os
import tracemalloc
from itertools import pairwise

import pytest
from django.db import DatabaseError

from routing.core import chain
from routing.decisions import segment, shipper
from routing.decisions.models import Decision
from tests.integration.decisions.ground import (
    LIVE,
    NOW,
    OTHER,
    Away,
    Gone,
    Writer,
    chain_holds,
    make,
    stored,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper, "BATCH", 3)


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
