"""A segment on disk: whole records or none, in one chain, whatever a kill or a full disk left."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.core import chain
from routing.core.errors import Broken, Invalid
from routing.decisions import segment
from routing.decisions.segment import MAX_BODY_BYTES, Record, Segment

STREAM = "decision:p:b"
LOG_ID = bytes(range(32))
OPENED = {"v": 1, "kind": "opened", "log_id": LOG_ID.hex()}
BODIES = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 99) | st.text(max_size=9), max_size=3),
    min_size=1,
    max_size=5,
)
SHARED_FOLDER = [HealthCheck.function_scoped_fixture]


def written(folder: Path, bodies: list[dict[str, Any]]) -> tuple[Path, list[Record]]:
    """Write `bodies` behind an opening record; return the file and what should be read back."""
    path = folder / f"{secrets.token_hex(4)}.seg"
    made = Segment(path, stream=STREAM, log_id=LOG_ID)
    made.append([OPENED])
    made.append(bodies)
    made.close()
    return path, list(segment.read(path, stream=STREAM))


def bodies_of(records: list[Record]) -> list[object]:
    return [chain.read(record.body) for record in records]


def tiny(count: int = 3) -> list[dict[str, Any]]:
    return [{"n": n} for n in range(count)]


@settings(suppress_health_check=SHARED_FOLDER)
@given(bodies=BODIES)
def test_what_was_appended_is_read_back_numbered_and_linked(
    tmp_path: Path, bodies: list[dict[str, Any]]
) -> None:
    _, records = written(tmp_path, bodies)
    marked = [{**OPENED, "batch": 1}, {**bodies[0], "batch": 2}, *bodies[1:]]
    expected = [{**body, "stream": STREAM, "seq": seq} for seq, body in enumerate(marked, 1)]
    assert bodies_of(records) == expected
    prev = chain.genesis(LOG_ID)
    for record in records:
        assert record.prev == prev
        assert record.link == chain.link(STREAM, record.seq, prev, record.body)
        prev = record.link


@settings(suppress_health_check=SHARED_FOLDER, max_examples=25)
@given(bodies=BODIES)
def test_a_tail_torn_at_any_byte_leaves_exactly_the_whole_records(
    tmp_path: Path, bodies: list[dict[str, Any]]
) -> None:
    path, records = written(tmp_path, bodies)
    data = path.read_bytes()
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        assert list(segment.read(path, stream=STREAM)) == [r for r in records if r.end <= cut]


@settings(suppress_health_check=SHARED_FOLDER)
@given(bodies=BODIES, data=st.data())
def test_a_changed_byte_is_found_or_cuts_what_follows_but_never_changes_a_record(
    tmp_path: Path, bodies: list[dict[str, Any]], data: st.DataObject
) -> None:
    path, records = written(tmp_path, bodies)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    found = []
    try:
        for record in segment.read(path, stream=STREAM):
            found.append(record)
    except Broken as error:
        assert error.facts["seq"] == len(found) + 1
    assert found == [r for r in records if r.end <= at]


def test_the_name_of_the_stream_is_part_of_the_chain(tmp_path: Path) -> None:
    path, _ = written(tmp_path, tiny())
    with pytest.raises(Broken):
        list(segment.read(path, stream="decision:p:other"))


@pytest.mark.parametrize("size", [1, 3, 4, 40, 100_000])
def test_space_that_was_never_written_is_a_torn_tail(tmp_path: Path, size: int) -> None:
    path, records = written(tmp_path, tiny())
    path.write_bytes(path.read_bytes() + bytes(size))
    assert list(segment.read(path, stream=STREAM)) == records


@pytest.mark.parametrize("tail", [bytes(100) + b"x", b"\xff\xff\xff\xff"])
def test_other_bytes_behind_the_last_record_are_not(tmp_path: Path, tail: bytes) -> None:
    path, _ = written(tmp_path, tiny())
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(Broken, match="Record 5"):
        list(segment.read(path, stream=STREAM))


def test_reading_goes_on_behind_any_record_and_stops_where_it_is_told(tmp_path: Path) -> None:
    path, records = written(tmp_path, tiny(4))
    for n, record in enumerate(records, 1):
        rest = segment.read(path, stream=STREAM, after=n, offset=record.end)
        assert list(rest) == records[n:]
        assert list(segment.read(path, stream=STREAM, upto=n)) == records[:n]


def test_a_file_that_begins_with_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.seg"
    path.write_bytes((7).to_bytes(4, "big") + b'{"a":1}' + bytes(32))
    with pytest.raises(Broken, match="opened"):
        list(segment.read(path, stream=STREAM))


def test_a_stream_is_begun_once(tmp_path: Path) -> None:
    Segment(tmp_path / "x.seg", stream=STREAM, log_id=LOG_ID).close()
    with pytest.raises(FileExistsError):
        Segment(tmp_path / "x.seg", stream=STREAM, log_id=LOG_ID)


@pytest.mark.parametrize("body", [{"x": "y" * MAX_BODY_BYTES}, {"x": 0.5}, {"x": "\ud800"}])
def test_a_body_that_no_record_can_hold_is_refused_before_anything_is_written(
    tmp_path: Path, body: dict[str, Any]
) -> None:
    made = Segment(tmp_path / "x.seg", stream=STREAM, log_id=LOG_ID)
    made.append([OPENED])
    with pytest.raises(Invalid):
        made.append([{"fine": 1}, body])
    assert made.append([{"next": 1}]) == [2]
    made.close()
    assert len(list(segment.read(made.path, stream=STREAM))) == 2


class Disk:
    """A disk that is full after `room` bytes, and whose other calls fail where said."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.failing: set[str] = set()
        self._real = {name: getattr(os, name) for name in ("pwrite", "fdatasync", "ftruncate")}
        patch.setattr(os, "pwrite", self.pwrite)
        for name in ("fdatasync", "ftruncate"):
            patch.setattr(os, name, self._or_fail(name))

    def pwrite(self, file: int, block: Any, at: int) -> int:
        if self.room is not None:
            if not self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            block = memoryview(block)[: self.room]
            self.room -= len(block)
        return int(self._real["pwrite"](file, block, at))

    def _or_fail(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            if name in self.failing:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return self._real[name](*args)

        return call


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


LONG: Mapping[str, Any] = {"text": "x" * 500}


@pytest.mark.parametrize("room", [0, 1, 4, 100, 600])
def test_a_full_disk_leaves_the_file_as_it_was_and_the_next_append_goes(
    tmp_path: Path, disk: Disk, room: int
) -> None:
    made = Segment(tmp_path / "x.seg", stream=STREAM, log_id=LOG_ID)
    made.append([OPENED])
    before = made.path.read_bytes()
    disk.room = room
    with pytest.raises(OSError, match="No space"):
        made.append([LONG, LONG])
    assert made.path.read_bytes() == before
    disk.room = None
    assert made.append([{"n": 1}]) == [2]
    made.close()
    assert [r.seq for r in segment.read(made.path, stream=STREAM)] == [1, 2]


def test_what_could_not_be_synced_does_not_count(tmp_path: Path, disk: Disk) -> None:
    made = Segment(tmp_path / "x.seg", stream=STREAM, log_id=LOG_ID)
    made.append([OPENED])
    before = made.path.read_bytes()
    disk.failing = {"fdatasync"}
    with pytest.raises(OSError, match="Input/output"):
        made.append([LONG])
    assert made.path.read_bytes() == before


def test_litter_that_could_not_be_cut_is_cut_before_the_next_append(
    tmp_path: Path, disk: Disk
) -> None:
    made = Segment(tmp_path / "x.seg", stream=STREAM, log_id=LOG_ID)
    made.append([OPENED])
    disk.room, disk.failing = 300, {"ftruncate"}
    with pytest.raises(OSError, match="No space"):
        made.append([LONG])
    disk.room = None
    with pytest.raises(OSError, match="Input/output"):  # still: nothing is written over it
        made.append([{"n": 1}])
    disk.failing = set()
    made.append([{"n": 1}])  # shorter than the litter
    made.close()
    assert [r.seq for r in segment.read(made.path, stream=STREAM)] == [1, 2]
