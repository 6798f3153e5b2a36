"""One process's decision stream on disk: records appended in order, synced before they count.

A record is `u32be length · body · 32-byte link`. The body is canonical JSON, the link chains it
to the record before (core.chain). A torn tail, left by a kill in the middle of a write, is cut at
the last whole record: it was never acknowledged.

The first record of every append carries the number of its `batch`: a batch is written only after
the one before it was synced. So what does not verify is the remains of an append that a power loss
took, unless a later batch stands behind it; then somebody altered the file.

A file that has grown large is followed by another part of the same stream, whose first record
(`part`) names the link that it follows. `p-b.seg` is the first part, `p-b.000002.seg` the second.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from routing.core import chain
from routing.core.errors import Broken, Invalid
from routing.decisions.disk import Disk

log = logging.getLogger(__name__)
LINK_BYTES = 32
MAX_BODY_BYTES = 65_536
PART_BYTES = 256 * 1024 * 1024
PROBE_BYTES = 65_536
_BATCH = re.compile(rb'"batch":(\d{1,16})[,}]')  # within a JSON text its quotes are escaped
_PART = re.compile(r"\.(\d{6})\Z")


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

    def __init__(
        self,
        path: Path,
        *,
        stream: str,
        log_id: bytes,
        disk: Disk | None = None,
        part_bytes: int = PART_BYTES,
        told: Callable[[int, bytes, Mapping[str, Any]], None] = lambda *_: None,
    ) -> None:
        """Create the file; raises FileExistsError for a stream that was already begun.

        `told` hears number, link and body of each record that was synced.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = path
        self.stream = stream
        self.seq = 0
        self._first = path
        self._part = 1
        self._batch = 0
        self._part_bytes = part_bytes
        self._told = told
        self._prev = chain.genesis(log_id)
        self._end = 0
        self._litter = False
        self._disk = disk or Disk()
        self._file = self._disk.create(path)

    def append(self, bodies: Sequence[Mapping[str, Any]]) -> list[int]:
        """Write `bodies` in order and sync; return their sequence numbers.

        When it raises OSError nothing of the batch counts: the file is cut back to where it was.
        Raises Invalid, before anything is written, for a body that no record can hold.
        """
        if self._end >= self._part_bytes:
            self._turn()
        begins = self._part > 1 and self._end == 0
        part = [{"v": 1, "kind": "part", "follows": self._prev.hex()}] if begins else []
        parts: list[bytes] = []
        links: list[bytes] = []
        seq, prev = self.seq, self._prev
        mark = {"batch": self._batch + 1}
        for body in (*part, *bodies):
            seq += 1
            data = chain.canonical({**body, **mark, "stream": self.stream, "seq": seq})
            mark = {}
            if len(data) > MAX_BODY_BYTES:
                raise Invalid(f"A record of {len(data)} bytes; at most {MAX_BODY_BYTES} are kept.")
            prev = chain.link(self.stream, seq, prev, data)
            parts += (len(data).to_bytes(4, "big"), data, prev)
            links.append(prev)
        self._put(b"".join(parts))
        numbers = range(self.seq + 1, seq + 1)
        self.seq, self._prev, self._batch = seq, prev, self._batch + 1
        said: Iterable[Mapping[str, Any]] = (*part, *bodies)
        for number, link, body in zip(numbers, links, said, strict=True):
            self._told(number, link, body)
        return list(numbers[len(part) :])

    def probe(self) -> None:
        """Raise OSError unless the disk takes and keeps some bytes now; none of them stay."""
        self._put(bytes(PROBE_BYTES))
        self._end -= PROBE_BYTES
        self._litter = True
        self._clean()

    def _turn(self) -> None:
        """Go on in the next part; in this one where no other can be made."""
        self._clean()
        path = part_path(self._first, self._part + 1)
        try:
            file = self._disk.create(path)
        except OSError:
            log.exception("%s cannot be made; the part before it grows on.", path.name)
            return
        with contextlib.suppress(OSError):
            self._disk.close(self._file)
        self._file, self._end, self.path, self._part = file, 0, path, self._part + 1

    def _put(self, block: bytes) -> None:
        try:
            self._clean()
            self._litter = True
            self._disk.write(self._file, block, self._end)
            self._disk.sync(self._file)
        except OSError:
            with contextlib.suppress(OSError):  # the next append cuts before it writes
                self._clean()
            raise
        self._end += len(block)
        self._litter = False

    def _clean(self) -> None:
        """Cut off what an append left that failed; a shorter one would not cover it."""
        if self._litter:
            self._disk.cut(self._file, self._end)
            self._litter = False

    def close(self) -> None:
        """Close the file; the stream's last record should be `closed` by then."""
        self._disk.close(self._file)


def part_path(first: Path, number: int) -> Path:
    """Return the path of part `number` of the stream whose first part is `first`."""
    return first if number == 1 else first.with_name(f"{first.stem}.{number:06d}.seg")


def stream_of(path: Path) -> tuple[str, int]:
    """Return the stream and part whose file `path` is: `decision:<process>:<boot>`, 1 or more."""
    found = _PART.search(path.stem)
    name = path.stem[: found.start()] if found else path.stem
    process, _, boot = name.rpartition("-")
    return f"decision:{process}:{boot}", int(found[1]) if found else 1


def streams(folder: Path, ending: str = "seg") -> dict[str, list[Path]]:
    """Return the files of `folder` by stream, its parts in order."""
    found: dict[str, dict[int, Path]] = {}
    for path in folder.glob(f"*.{ending}"):
        stream, part = stream_of(path)
        found.setdefault(stream, {})[part] = path
    return {
        stream: [parts[number] for number in sorted(parts)]
        for stream, parts in sorted(found.items())
    }


def read(
    path: Path, *, stream: str, after: int = 0, offset: int = 0, upto: int | None = None
) -> Iterator[Record]:
    """Yield the whole records of `path` from `offset`, where record `after` ends.

    Without an offset it begins with the first record of the file. Stops behind record `upto`, or
    before a torn tail. Raises Broken at a record whose link does not hold.
    """
    with path.open("rb") as file:
        if offset:
            file.seek(offset - LINK_BYTES)
            seq, prev = after, file.read(LINK_BYTES)
        else:
            seq, prev = _beginning(file, path)
        at = offset
        while upto is None or seq < upto:
            seq += 1
            found = _record(file, stream, seq, prev, at)
            if found is None:
                return
            if isinstance(found, str):
                raise Broken(
                    f"Record {seq} of {path.name} {found}. Keep the file and look at what else "
                    "wrote to it.",
                    seq=seq,
                )
            yield found
            prev, at = found.link, found.end


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


def batch_of(record: Record) -> int:
    """Return the number of the batch that `record` begins, 0 where it begins none."""
    found = _BATCH.search(record.body)
    return int(found[1]) if found else 0


def goes_on(path: Path, *, offset: int, batch: int) -> bool:
    """Tell whether a batch after number `batch` begins behind `offset`, whole or not."""
    with path.open("rb") as file:
        file.seek(offset)
        tail = b""
        while block := file.read(1 << 20):
            tail = tail[-64:] + block
            if any(int(found[1]) > batch for found in _BATCH.finditer(tail)):
                return True
    return False


def first_seq(path: Path) -> int | None:
    """Return the number of the first record of `path`, None where there is none whole."""
    with path.open("rb") as file:
        before, prev = _beginning(file, path)
    return None if prev == _NOTHING else before + 1


def _record(file: BinaryIO, stream: str, seq: int, prev: bytes, at: int) -> Record | str | None:
    """Return the record at the offset `at`, where `file` stands; None at the end or a torn tail,
    words for what is wrong."""
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
    return Record(seq=seq, body=body, prev=prev, link=link, end=at + 4 + size + LINK_BYTES)


def _only_zeros(file: BinaryIO) -> bool:
    while block := file.read(65_536):
        if any(block):
            return False
    return True


_NOTHING = bytes(chain.HASH_BYTES)  # torn before the first record was whole


def _beginning(file: BinaryIO, path: Path) -> tuple[int, bytes]:
    """Return the number before the first record and the link that it builds on.

    The first part names its log's id, a later one the link that it follows.
    """
    size = int.from_bytes(file.read(4), "big")
    body = file.read(min(size, MAX_BODY_BYTES))
    file.seek(0)
    if len(body) < size or size == 0:
        return 0, _NOTHING
    try:
        said = chain.read(body)
        if said["kind"] == "part":  # type: ignore[call-overload,index]
            return said["seq"] - 1, bytes.fromhex(said["follows"])  # type: ignore[call-overload,index,arg-type,operator]
        return 0, chain.genesis(bytes.fromhex(said["log_id"]))  # type: ignore[call-overload,index,arg-type]
    except (Invalid, KeyError, TypeError, ValueError):
        raise Broken(
            f"{path.name} begins neither with an opened record nor with a part.", seq=1
        ) from None
