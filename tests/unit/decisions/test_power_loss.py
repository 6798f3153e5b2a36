"""A power loss takes whatever was not synced, in any pieces; what was acknowledged stays.

A kill keeps the page cache and proves nothing here, so the disk is one that forgets.
"""

from __future__ import annotations

import asyncio
import errno
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from routing.core import chain
from routing.core.errors import Broken, Unavailable
from routing.decisions import segment
from routing.decisions.disk import Disk
from routing.decisions.log import DecisionLog

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CRASHES, SECTOR = 250, 64


@dataclass(slots=True)
class File:
    """What is on the platter, and what the machine only remembers: (offset, bytes), a cut None."""

    path: Path
    kept: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)


class Forgetful(Disk):
    """Keeps writes in memory until they are synced; dies after so many calls."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.left = rng.randrange(2, 24)
        self.files: list[File] = []

    def _call(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "the power is gone")

    def create(self, path: Path) -> int:
        self._call()
        self.files.append(File(path))
        return len(self.files) - 1

    def write(self, file: int, block: bytes, at: int) -> None:
        self._call()
        self.files[file].pending.append((at, bytes(block)))

    def sync(self, file: int) -> None:
        self._call()
        found = self.files[file]
        for at, block in found.pending:
            _put(found.kept, at, block)
        found.pending.clear()

    def cut(self, file: int, size: int) -> None:
        self._call()
        self.files[file].pending.append((size, None))

    def close(self, file: int) -> None:
        pass

    def crash(self) -> None:
        """Leave each file as a platter may have it: any sectors of what was not synced."""
        for file in self.files:
            for at, block in file.pending:
                if block is None:
                    if self.rng.random() < 0.5:
                        _put(file.kept, at, None)
                    continue
                for start in range(0, len(block), SECTOR):
                    if self.rng.random() < 0.5:
                        _put(file.kept, at + start, block[start : start + SECTOR])
            file.path.write_bytes(file.kept)


class Lying(Forgetful):
    """Says that it synced."""

    def sync(self, file: int) -> None:
        self._call()


def _put(kept: bytearray, at: int, block: bytes | None) -> None:
    if block is None:
        del kept[at:]
        return
    kept.extend(bytes(max(0, at + len(block) - len(kept))))
    kept[at : at + len(block)] = block


async def _write(log: DecisionLog, rng: random.Random) -> list[int]:
    """Return the numbers of the records that were acknowledged before the power went."""
    acknowledged: list[int] = []

    async def caller(number: int) -> None:
        for turn in range(4):
            try:
                seq = await log.record({"v": 1, "kind": "decision", "n": number * 10 + turn})
            except Unavailable:
                return
            acknowledged.append(seq)

    await asyncio.gather(*(caller(n) for n in range(rng.randrange(1, 6))))
    return acknowledged


def _whole(folder: Path, stream: str) -> list[int]:
    """Return what a successor can read: all parts, to the last whole record."""
    found: list[int] = []
    for path in segment.streams(folder).get(stream, []):
        for record in segment.read(path, stream=stream):
            assert isinstance(chain.read(record.body), dict)
            found.append(record.seq)
    return found


def _lost(folder: Path, seed: int, disk: type[Forgetful]) -> set[int]:
    """Crash once; return the records that were acknowledged and are not there."""
    rng = random.Random(seed)
    folder.mkdir()
    platter = disk(rng)
    log = DecisionLog(folder, process="p", boot="b", disk=platter, part_bytes=600)
    try:
        log.open(NOW)
    except OSError:
        return set()
    acknowledged = asyncio.run(_write(log, rng))
    log.close(NOW)
    platter.crash()
    try:
        there = _whole(folder, log.stream)
    except Broken:  # sectors in any order may look like a forgery; what stands before is read
        there = _before_the_tear(folder, log.stream)
    return set(acknowledged) - set(there)


def _before_the_tear(folder: Path, stream: str) -> list[int]:
    found: list[int] = []
    for path in segment.streams(folder)[stream]:
        try:
            for record in segment.read(path, stream=stream):
                found.append(record.seq)
        except Broken:
            continue
    return found


def test_nothing_that_was_acknowledged_is_lost_whatever_the_power_loss_leaves(
    tmp_path: Path, seed: int
) -> None:
    for number in range(CRASHES):
        assert not _lost(tmp_path / f"{number}", seed + number, Forgetful), f"seed {seed + number}"


def test_a_disk_that_only_says_that_it_synced_loses_some(tmp_path: Path, seed: int) -> None:
    lost = [_lost(tmp_path / f"{number}", seed + number, Lying) for number in range(CRASHES // 5)]
    assert any(lost), "else the test above could not fail"
