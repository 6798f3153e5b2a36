"""The decision log of this process: a record is acknowledged when it is on disk.

One writer thread commits whatever gathered while the last sync ran (group commit); callers await
their own record. The database is not in the way: `shipper` copies to it afterwards. A disk that
takes nothing is tried again every second until it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import queue
import secrets
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from routing.core.errors import Unavailable
from routing.decisions.disk import Disk
from routing.decisions.fresh import Fresh
from routing.decisions.segment import PART_BYTES, Segment

log = logging.getLogger(__name__)
T = TypeVar("T")
BATCH = 512
CLOSE_WITHIN_S = 5.0
TRY_AGAIN_S = 1.0


# A record, the caller that awaits it and that one's loop: a tuple, for each decision makes one.
_Waiting = tuple[Mapping[str, Any], "asyncio.Future[int]", asyncio.AbstractEventLoop]


class DecisionLog:
    """The pen of one stream. Open it once a process life, close it at the end."""

    def __init__(
        self,
        folder: Path,
        *,
        process: str,
        boot: str,
        disk: Disk | None = None,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.stream = f"decision:{process}:{boot}"
        self.path = folder / f"{process}-{boot}.seg"
        self._disk = disk
        self._part_bytes = part_bytes
        self._problem = ""
        self.fresh = Fresh()
        self.log_id = secrets.token_bytes(32)
        self._lost = 0
        self._synced = 0
        self._accepts = False
        self._lock = threading.Lock()  # between callers, the writer and the end
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._late: set[asyncio.Task[Any]] = set()  # of callers who went away meanwhile
        self._gathered: list[_Waiting] = []  # not handed to the writer yet
        self._segment: Segment | None = None
        self._thread = threading.Thread(target=self._write, name="decision-log", daemon=True)

    def open(self, now: datetime) -> None:
        """Create the segment, write `opened`, start the writer; raises OSError."""
        segment = Segment(
            self.path,
            stream=self.stream,
            log_id=self.log_id,
            disk=self._disk,
            part_bytes=self._part_bytes,
            told=self.fresh.note,
        )
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

    @property
    def problem(self) -> str:
        """Why the disk took nothing when it was last tried, empty where it did."""
        return self._problem

    @property
    def lost(self) -> int:
        """How many answers were given without a record and are in no gap entry yet."""
        return self._lost

    async def record(self, body: Mapping[str, Any]) -> int:
        """Return the sequence number of `body` once it is synced.

        Raises Unavailable when the segment cannot be written or is closed: nothing was booked.
        """
        # A caller that goes away takes only its future along: the record is written all the same.
        return await self.put(body)

    def put(self, body: Mapping[str, Any]) -> asyncio.Future[int]:
        """Return what will be the number of `body` once it is synced; it fails as `record`."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        with self._lock:  # nothing may be gathered behind the end, where nobody would answer it
            if not self._accepts:
                text = (
                    "The decision log of this process is not open; ask another process, or start "
                    "this one again."
                )
                done.set_exception(Unavailable(text, retry_after_s=5))
                return done
            # The writer is woken once for all that this turn of the loop books: one sync for more
            # records, and the loop is about to wait, so both need not fight for the interpreter.
            if not self._gathered or self._gathered[-1][2] is not loop:
                loop.call_soon(self._hand_over)
            self._gathered.append((body, done, loop))
        return done

    async def see_through(
        self,
        body: Mapping[str, Any],
        booked: Callable[[asyncio.Future[int]], Coroutine[Any, Any, T]],
    ) -> T:
        """Return what `booked` makes of the number of `body`.

        Who goes away meanwhile does not keep `booked` from it; only then is a task made.
        """
        put = self.put(body)
        try:
            return await booked(asyncio.shield(put))
        except asyncio.CancelledError:
            late = asyncio.create_task(booked(put))
            self._late.add(late)
            late.add_done_callback(self._ended)
            raise

    def _ended(self, late: asyncio.Task[Any]) -> None:
        self._late.discard(late)
        if not late.cancelled():
            late.exception()  # whoever would have heard of it is away

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
            self._put()
            self._queue.put(None)
        self._thread.join(timeout=CLOSE_WITHIN_S)
        if self._thread.is_alive():
            log.error("The decision log still writes; the next process closes %s.", self.path.name)
            return
        try:
            self._append([{"v": 1, "kind": "closed", "at": stamp(now), "by": "self"}])
        except OSError as error:  # then the next process closes it
            log.error(
                "The decision log could not be closed (%s); %d emergencies that went on without a "
                "record stand nowhere but here.",
                error.strerror,
                self._lost,
            )
        self._segment.close()
        self._segment = None

    def _hand_over(self) -> None:
        with self._lock:
            self._put()

    def _put(self) -> None:
        for waiting in self._gathered:
            self._queue.put(waiting)
        self._gathered = []

    def _write(self) -> None:
        while True:
            batch, last = self._gather()
            if batch:
                self._commit(batch)
            elif not last:
                self._try_again()
            if last:
                return

    def _gather(self) -> tuple[list[_Waiting], bool]:
        batch: list[_Waiting] = []
        try:
            item = self._queue.get(timeout=TRY_AGAIN_S if self._problem else None)
        except queue.Empty:
            return batch, False
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
            numbers = self._append([body for body, _, _ in batch])
        except OSError as error:
            self._fail(error)
            _tell(batch, Unavailable(self._problem, retry_after_s=5))
            return
        except Exception as error:
            # A body that cannot be written is its caller's fault, never the end of the log.
            log.exception("A decision record was refused.")
            self._one_by_one(batch, error)
            return
        _tell(batch, numbers)

    def _fail(self, error: OSError) -> None:
        if not self._problem:  # once, not for every request of an outage
            log.exception("The decision log cannot be written.")
        self._problem = (
            f"The decision log cannot be written ({error.strerror}), so only emergencies are "
            "answered; free space under HYBRIDOPS_HOME/segments. It is tried again by itself."
        )

    def _try_again(self) -> None:
        """Look whether the disk takes something; if so, say at once what was lost meanwhile."""
        assert self._segment is not None
        try:
            self._segment.probe()
            if self._lost:
                self._append([])
        except OSError as error:
            self._fail(error)
            return
        self._recovered()

    def _recovered(self) -> None:
        if self._problem:
            self._problem = ""
            log.warning("The decision log can be written again.")

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
        self._recovered()
        return numbers[len(gap) :]

    def _one_by_one(self, batch: list[_Waiting], error: Exception) -> None:
        if len(batch) == 1:
            _tell(batch, error)
            return
        for waiting in batch:
            self._commit([waiting])


def _tell(batch: Sequence[_Waiting], outcome: Sequence[int] | Exception) -> None:
    """Settle the callers of `batch`: each loop is woken once, whatever waits in it."""
    numbers = itertools.repeat(0) if isinstance(outcome, Exception) else outcome
    problem = outcome if isinstance(outcome, Exception) else None
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], int]]] = {}
    for (_, done, loop), number in zip(batch, numbers, strict=False):
        by_loop.setdefault(loop, []).append((done, number))
    for loop, settled in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the callers' loop has ended
            loop.call_soon_threadsafe(_settle, settled, problem)


def _settle(settled: Sequence[tuple[asyncio.Future[int], int]], problem: Exception | None) -> None:
    for done, number in settled:
        if done.done():  # its caller has gone away
            continue
        if problem is not None:
            done.set_exception(problem)
        else:
            done.set_result(number)


def stamp(now: datetime) -> str:
    """Return `now` as the trail writes it: UTC, six decimals, Z."""
    return now.isoformat(timespec="microseconds")[:26] + "Z"
