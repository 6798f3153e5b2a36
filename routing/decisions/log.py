"""The decision log of this process: a record is acknowledged when it is on disk.

One writer thread commits whatever gathered while the last sync ran (group commit); callers await
their own record. The database is not in the way: `shipper` copies to it afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from routing.core.errors import Unavailable
from routing.decisions.segment import Segment

log = logging.getLogger(__name__)
BATCH = 512
CLOSE_WITHIN_S = 5.0


@dataclass(slots=True)
class _Waiting:
    body: Mapping[str, Any]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[int] = field(repr=False)


class DecisionLog:
    """The pen of one stream. Open it once a process life, close it at the end."""

    def __init__(self, folder: Path, *, process: str, boot: str) -> None:
        self.stream = f"decision:{process}:{boot}"
        self.path = folder / f"{process}-{boot}.seg"
        self.log_id = secrets.token_bytes(32)
        self._lost = 0
        self._synced = 0
        self._accepts = False
        self._lock = threading.Lock()  # between callers, the writer and the end
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._segment: Segment | None = None
        self._thread = threading.Thread(target=self._write, name="decision-log", daemon=True)

    def open(self, now: datetime) -> None:
        """Create the segment, write `opened`, start the writer; raises OSError."""
        segment = Segment(self.path, stream=self.stream, log_id=self.log_id)
        opened = {"v": 1, "kind": "opened", "at": stamp(now), "log_id": self.log_id.hex()}
        try:
            segment.append([opened])
        except OSError:
            segment.close()
            self.path.unlink()  # nothing was begun, so the next start may try again
            raise
        self._segment, self._synced, self._accepts = segment, segment.seq, True
        self._thread.start()

    @property
    def synced(self) -> int:
        """The number of the last record that is on disk."""
        return self._synced

    async def record(self, body: Mapping[str, Any]) -> int:
        """Return the sequence number of `body` once it is synced.

        Raises Unavailable when the segment cannot be written or is closed: nothing was booked.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        with self._lock:  # nothing may be queued behind the end, where nobody would answer it
            if not self._accepts:
                raise Unavailable(
                    "The decision log of this process is not open; ask another process, or start "
                    "this one again.",
                    retry_after_s=5,
                )
            self._queue.put(_Waiting(body=body, loop=loop, done=done))
        # A caller that goes away must not take its record along: it may be on disk already.
        return await asyncio.shield(done)

    def count_loss(self) -> None:
        """Count an answer given without a record; the next record is preceded by a gap entry."""
        with self._lock:
            self._lost += 1

    def close(self, now: datetime) -> None:
        """Write `closed` after all that waits, and let go of the file."""
        if self._segment is None:
            return
        with self._lock:
            self._accepts = False
            self._queue.put(None)
        self._thread.join(timeout=CLOSE_WITHIN_S)
        if self._thread.is_alive():
            log.error("The decision log still writes; the next process closes %s.", self.path.name)
            return
        with contextlib.suppress(OSError):  # then the next process closes it
            self._append([{"v": 1, "kind": "closed", "at": stamp(now), "by": "self"}])
        self._segment.close()
        self._segment = None

    def _write(self) -> None:
        while True:
            batch, last = self._gather()
            if batch:
                self._commit(batch)
            if last:
                return

    def _gather(self) -> tuple[list[_Waiting], bool]:
        batch: list[_Waiting] = []
        item = self._queue.get()
        while True:
            if item is None:
                return batch, True
            batch.append(item)
            if len(batch) == BATCH:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            numbers = self._append([w.body for w in batch])
        except OSError as error:
            log.exception("The decision log cannot be written.")
            problem = Unavailable(
                f"The decision log cannot be written ({error.strerror}); free space under "
                "HYBRIDOPS_HOME/segments.",
                retry_after_s=5,
            )
            for waiting in batch:
                _tell(waiting, problem=problem)
            return
        except Exception as error:
            # A body that cannot be written is its caller's fault, never the end of the log.
            log.exception("A decision record was refused.")
            self._one_by_one(batch, error)
            return
        for waiting, number in zip(batch, numbers, strict=True):
            _tell(waiting, number=number)

    def _append(self, bodies: Sequence[Mapping[str, Any]]) -> list[int]:
        """Append `bodies`, after a gap entry for what was lost before; return their numbers."""
        assert self._segment is not None
        with self._lock:
            lost = self._lost
        gap = [{"v": 1, "kind": "gap", "count": lost}] if lost else []
        numbers = self._segment.append([*gap, *bodies])
        with self._lock:
            self._lost -= lost
        self._synced = numbers[-1]
        return numbers[len(gap) :]

    def _one_by_one(self, batch: list[_Waiting], error: Exception) -> None:
        if len(batch) == 1:
            _tell(batch[0], problem=error)
            return
        for waiting in batch:
            self._commit([waiting])


def _tell(
    waiting: _Waiting, *, number: int | None = None, problem: Exception | None = None
) -> None:
    def settle() -> None:
        if waiting.done.done():
            return
        if problem is not None:
            waiting.done.set_exception(problem)
        elif number is not None:
            waiting.done.set_result(number)

    with contextlib.suppress(RuntimeError):  # the caller's loop has ended
        waiting.loop.call_soon_threadsafe(settle)


def stamp(now: datetime) -> str:
    """Return `now` as the trail writes it: UTC, six decimals, Z."""
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
