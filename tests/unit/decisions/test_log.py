"""The decision log: acknowledged means synced, many at once, and every loss is counted."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from routing.core import chain
from routing.core.errors import Invalid, Unavailable
from routing.decisions import segment
from routing.decisions.log import DecisionLog

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MOST_S = 5


@pytest.fixture
def log(tmp_path: Path) -> Iterator[DecisionLog]:
    made = DecisionLog(tmp_path, process="p", boot="b")
    made.open(NOW)
    yield made
    made.close(NOW)


def kept(log: DecisionLog) -> list[dict[str, Any]]:
    bodies = [chain.read(r.body) for r in segment.read(log.path, stream=log.stream)]
    assert all(isinstance(body, dict) for body in bodies)
    return bodies  # type: ignore[return-value]


def body(n: int) -> dict[str, Any]:
    return {"v": 1, "kind": "decision", "n": n}


class Sync:
    """Holds every sync until it is let go, and counts them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.reached, self.go = threading.Event(), threading.Event()
        self._real = os.fdatasync
        patch.setattr(os, "fdatasync", self)

    def __call__(self, file: int) -> None:
        self.count += 1
        self.reached.set()
        assert self.go.wait(MOST_S)
        self._real(file)


async def test_two_hundred_writers_share_syncs_and_leave_no_gap(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = Sync(monkeypatch)
    tasks = [asyncio.create_task(log.record(body(n))) for n in range(200)]
    await asyncio.to_thread(sync.reached.wait, MOST_S)
    sync.go.set()
    numbers = await asyncio.gather(*tasks)
    assert sorted(numbers) == list(range(2, 202))
    assert {r["n"]: r["seq"] for r in kept(log)[1:]} == dict(enumerate(numbers))
    assert sync.count <= 3
    assert log.synced == 201


async def test_a_loop_is_woken_once_for_all_that_one_sync_settles(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = Sync(monkeypatch)
    first = asyncio.create_task(log.record(body(0)))
    await asyncio.to_thread(sync.reached.wait, MOST_S)
    rest = [asyncio.create_task(log.record(body(n))) for n in range(1, 100)]
    await asyncio.sleep(0)  # all are queued now
    loop, wakes = asyncio.get_running_loop(), []
    real = loop.call_soon_threadsafe

    def wake(*what: Any, **how: Any) -> asyncio.Handle:
        wakes.append(1)
        return real(*what, **how)

    monkeypatch.setattr(loop, "call_soon_threadsafe", wake)
    sync.go.set()
    await asyncio.gather(first, *rest)
    assert len(wakes) == sync.count == 2


async def test_nothing_is_acknowledged_before_it_is_synced(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = Sync(monkeypatch)
    task = asyncio.create_task(log.record(body(1)))
    await asyncio.to_thread(sync.reached.wait, MOST_S)
    assert not task.done()
    assert log.synced == 1
    sync.go.set()
    assert await task == 2


async def test_the_record_of_a_caller_that_left_is_written_all_the_same(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = Sync(monkeypatch)
    task = asyncio.create_task(log.record(body(1)))
    await asyncio.to_thread(sync.reached.wait, MOST_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    sync.go.set()
    assert await log.record(body(2)) == 3


class FullDisk:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.full = True
        real = os.pwrite

        def pwrite(file: int, block: Any, at: int) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(file, block, at)

        patch.setattr(os, "pwrite", pwrite)


async def test_a_full_disk_is_told_to_every_caller_and_nothing_is_lost_of_the_rest(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await log.record(body(0)) == 2
    before = log.path.read_bytes()
    disk = FullDisk(monkeypatch)
    refused = await asyncio.gather(
        *(log.record(body(n)) for n in range(20)), return_exceptions=True
    )
    assert {type(error) for error in refused} == {Unavailable}
    assert log.path.read_bytes() == before
    disk.full = False
    assert await log.record(body(1)) == 3
    assert [r["kind"] for r in kept(log)] == ["opened", "decision", "decision"]  # no gap: no loss


async def test_what_went_on_without_a_record_stands_in_a_gap_entry_before_the_next(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await log.record(body(0))
        log.count_loss()
    disk.full = False
    assert await log.record(body(1)) == 3
    assert await log.record(body(2)) == 4
    assert [(r["kind"], r.get("count")) for r in kept(log)] == [
        ("opened", None),
        ("gap", 3),
        ("decision", None),
        ("decision", None),
    ]


async def test_losses_that_are_counted_from_many_threads_all_count(log: DecisionLog) -> None:
    with ThreadPoolExecutor(8) as threads:
        for _ in range(2000):
            threads.submit(log.count_loss)
    await log.record(body(1))
    assert [r["count"] for r in kept(log) if r["kind"] == "gap"] == [2000]


async def test_a_body_that_cannot_be_written_harms_no_other_in_its_batch(
    log: DecisionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = Sync(monkeypatch)
    held = asyncio.create_task(log.record(body(0)))
    await asyncio.to_thread(sync.reached.wait, MOST_S)
    bodies = [body(1), {"kind": "decision", "n": 0.5}, body(2)]
    batch = [asyncio.create_task(log.record(one)) for one in bodies]
    await asyncio.sleep(0)  # all three are queued now
    sync.go.set()
    found = await asyncio.gather(held, *batch, return_exceptions=True)
    assert [found[0], found[1], found[3]] == [2, 3, 4]
    assert isinstance(found[2], Invalid)


async def test_the_end_says_what_was_lost_and_closes(tmp_path: Path) -> None:
    log = DecisionLog(tmp_path, process="p", boot="b")
    log.open(NOW)
    pending = [asyncio.create_task(log.record(body(n))) for n in range(5)]
    await asyncio.sleep(0)
    log.count_loss()
    log.close(NOW)
    assert sorted(await asyncio.gather(*pending)) == sorted({await t for t in pending})
    kinds = [r["kind"] for r in kept(log)]
    assert (kinds[0], kinds[-1]) == ("opened", "closed")
    assert kinds.count("decision") == 5
    assert kinds.count("gap") == 1


@pytest.mark.parametrize("opened", [True, False])
async def test_a_log_that_is_not_open_answers_at_once(tmp_path: Path, opened: bool) -> None:
    log = DecisionLog(tmp_path, process="p", boot="b")
    if opened:
        log.open(NOW)
    log.close(NOW)
    with pytest.raises(Unavailable, match="not open"):
        await asyncio.wait_for(log.record(body(1)), MOST_S)


def test_a_start_on_a_full_disk_leaves_nothing_behind_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch)
    log = DecisionLog(tmp_path, process="p", boot="b")
    with pytest.raises(OSError, match="No space"):
        log.open(NOW)
    assert list(tmp_path.iterdir()) == []
    disk.full = False
    log.open(NOW)
    log.close(NOW)
    assert [r["kind"] for r in kept(log)] == ["opened", "closed"]


def test_an_end_that_a_hung_disk_holds_up_is_left_to_the_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("routing.decisions.log.CLOSE_WITHIN_S", 0.05)
    log = DecisionLog(tmp_path, process="p", boot="b")
    log.open(NOW)
    sync = Sync(monkeypatch)

    async def leave() -> None:
        task = asyncio.create_task(log.record(body(1)))
        await asyncio.to_thread(sync.reached.wait, MOST_S)
        log.close(NOW)
        task.cancel()

    asyncio.run(leave())
    assert "the next process closes" in caplog.text
    sync.go.set()
    log._thread.join(MOST_S)
    assert [r["kind"] for r in kept(log)] == ["opened", "decision"]
