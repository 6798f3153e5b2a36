"""One process's decision stream on disk: records appended in order, synced before they count.

A record is `u32be length · body · 32-byte link`. The body is canonical JSON, the link chains it
to the record before (core.chain). A torn tail, left by a kill in the middle of a write, is cut at
the last whole record: it was never acknowledged.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from routing.core import chain
from routing.core.errors import Broken, Invalid

LINK_BYTES = 32
MAX_BODY_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record as it stands in the file; `end` is the offset behind it."""

    seq: int
    body: bytes
    prev: bytes
    link: bytes
    end: int


class Segment:
    """The open file of this process's stream: append a batch, sync once."""

    def __init__(self, path: Path, *, stream: str, log_id: bytes) -> None:
        """Create the file; raises FileExistsError for a stream that was already begun."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self.stream = stream
        self.seq = 0
        self._prev = chain.genesis(log_id)
        self._end = 0
        self._litter = False
        self._file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        _sync_folder(path.parent)

    def append(self, bodies: Sequence[Mapping[str, Any]]) -> list[int]:
        """Write `bodies` in order and sync; return their sequence numbers.

        When it raises OSError nothing of the batch counts: the file is cut back to where it was.
        Raises Invalid, before anything is written, for a body that no record can hold.
        """
        parts: list[bytes] = []
        seq, prev = self.seq, self._prev
        for body in bodies:
            seq += 1
            data = chain.canonical({**body, "stream": self.stream, "seq": seq})
            if len(data) > MAX_BODY_BYTES:
                raise Invalid(f"A record of {len(data)} bytes; at most {MAX_BODY_BYTES} are kept.")
            prev = chain.link(self.stream, seq, prev, data)
            parts += (len(data).to_bytes(4, "big"), data, prev)
        self._put(b"".join(parts))
        first = self.seq + 1
        self.seq, self._prev = seq, prev
        return list(range(first, seq + 1))

    def _put(self, block: bytes) -> None:
        try:
            self._clean()
            self._litter = True
            _write_all(self._file, block, self._end)
            os.fdatasync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # the next append cuts before it writes
                self._clean()
            raise
        self._end += len(block)
        self._litter = False

    def _clean(self) -> None:
        """Cut off what an append left that failed; a shorter one would not cover it."""
        if self._litter:
            os.ftruncate(self._file, self._end)
            self._litter = False

    def close(self) -> None:
        """Close the file; the stream's last record should be `closed` by then."""
        os.close(self._file)


def _write_all(file: int, block: bytes, at: int) -> None:
    view = memoryview(block)
    while view:
        done = os.pwrite(file, view, at)
        if not done:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view, at = view[done:], at + done


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(
    path: Path, *, stream: str, after: int = 0, offset: int = 0, upto: int | None = None
) -> Iterator[Record]:
    """Yield the whole records of `path` from `offset`, where record `after` ends.

    Stops behind record `upto`, or before a torn tail. Raises Broken at a record whose link does
    not hold.
    """
    with path.open("rb") as file:
        prev = _prev(file, path, after, offset)
        seq = after
        while upto is None or seq < upto:
            seq += 1
            found = _record(file, stream, seq, prev)
            if found is None:
                return
            if isinstance(found, str):
                raise Broken(
                    f"Record {seq} of {path.name} {found}. Keep the file and look at what else "
                    "wrote to it.",
                    seq=seq,
                )
            yield found
            prev = found.link


def bodies(path: Path) -> Iterator[bytes]:
    """Yield the bodies of `path` up to a torn tail, fast: no link is looked at."""
    with path.open("rb") as file:
        while True:
            size = int.from_bytes(file.read(4), "big")
            if not 0 < size <= MAX_BODY_BYTES:
                return
            block = file.read(size + LINK_BYTES)
            if len(block) < size + LINK_BYTES:
                return
            yield block[:size]


def _record(file: BinaryIO, stream: str, seq: int, prev: bytes) -> Record | str | None:
    """Return the next record, None at the end or a torn tail, words for what is wrong."""
    head = file.read(4)
    if len(head) < 4:
        return None
    size = int.from_bytes(head, "big")
    if size == 0:
        # A file may have grown before its bytes arrived; they were never acknowledged.
        return None if _only_zeros(file) else "has no body"
    if size > MAX_BODY_BYTES:
        return "is longer than any record"
    body, link = file.read(size), file.read(LINK_BYTES)
    if len(body) < size or len(link) < LINK_BYTES:
        return None
    if chain.link(stream, seq, prev, body) != link:
        return "does not follow from the one before it"
    return Record(seq=seq, body=body, prev=prev, link=link, end=file.tell())


def _only_zeros(file: BinaryIO) -> bool:
    while block := file.read(65_536):
        if any(block):
            return False
    return True


def _prev(file: BinaryIO, path: Path, after: int, offset: int) -> bytes:
    """Return the link that the next record builds on; the first one names its log's id."""
    if after:
        file.seek(offset - LINK_BYTES)
        return file.read(LINK_BYTES)
    size = int.from_bytes(file.read(4), "big")
    body = file.read(min(size, MAX_BODY_BYTES))
    file.seek(0)
    if len(body) < size or size == 0:
        return bytes(chain.HASH_BYTES)  # torn before its first record was whole
    return chain.genesis(_log_id(body, path))


def _log_id(body: bytes, path: Path) -> bytes:
    try:
        opened = chain.read(body)
        return bytes.fromhex(opened["log_id"])  # type: ignore[call-overload,index,arg-type]
    except (Invalid, KeyError, TypeError, ValueError):
        raise Broken(f"{path.name} does not begin with an opened record.", seq=1) from None
