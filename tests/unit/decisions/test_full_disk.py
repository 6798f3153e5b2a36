"""A disk that is really full: emergencies go on and are counted, and all recovers by itself.

A small file system is mounted where the machine lets us; the limit of a file's size, which every
machine has, stands in for it in the second test.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path as Folder

import pytest

from routing.core.errors import Unavailable
from routing.core.values import Operation
from routing.decisions import log as logs
from tests import needs
from tests.unit import stage as stages
from tests.unit.stage import Stage, ask

MOST_S = 10.0


@pytest.fixture
def small(tmp_path: Folder) -> Iterator[Folder]:
    """A file system of 256 KiB."""
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = f"no mount is permitted here ({done.stderr.strip()}); run as root"
        if needs.required():
            pytest.fail(why)
        pytest.skip(why)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def fill(folder: Folder) -> Folder:
    """Take all the room there is; return what takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            while True:
                try:
                    file.write(bytes(size))
                except OSError:
                    break
    return ballast


async def until_refused(stage: Stage) -> None:
    """Ask until the disk takes no more: the last page of the segment has some room of its own."""
    for _ in range(100):
        try:
            await stage.router.route(ask(Operation.STANDARD))
        except Unavailable:
            return
    raise AssertionError("the disk is not full")


class Again(logging.Handler):
    """Hears the log say that it can be written again."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()
        logs.log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if "can be written again" in record.getMessage():
            self.heard.set()

    async def within(self, seconds: float) -> bool:
        """Tell whether it was heard, asked by nobody."""
        try:
            return await asyncio.to_thread(self.heard.wait, seconds)
        finally:
            logs.log.removeHandler(self)


async def test_a_full_disk_refuses_all_but_emergencies_and_recovers_without_a_restart(
    small: Folder,
) -> None:
    with stages.raised(small) as stage:
        ballast = fill(small)
        await until_refused(stage)
        calls = len(stage.mcp.calls)
        for _ in range(5):
            with pytest.raises(Unavailable, match="only emergencies"):
                await stage.router.route(ask(Operation.STANDARD))
        assert len(stage.mcp.calls) == calls, "no call is made that could not be booked"
        answered = [await stage.router.route(ask(Operation.EMERGENCY)) for _ in range(3)]
        assert [(one.status, one.seq) for one in answered] == [(200, None)] * 3
        assert stage.log.lost == 3
        again = Again()
        ballast.unlink()
        assert await again.within(5)
        routed = await stage.router.route(ask(Operation.STANDARD))
        assert routed.status == 200
        assert [gap["count"] for gap in stage.records("gap")] == [3]
        assert stage.log.lost == 0
        assert stage.records()[-1]["id"] == routed.decision_id


LIMITED = """
import asyncio, sys
from pathlib import Path
from tests.unit.decisions import test_full_disk
sys.exit(asyncio.run(getattr(test_full_disk, sys.argv[1])(Path(sys.argv[2]))))
"""


def apart(name: str, folder: Folder) -> subprocess.CompletedProcess[str]:
    """Run a function of this file in a process of its own, whose limits are nobody else's."""
    root = Folder(__file__).resolve().parents[3]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, name, str(folder)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def limited(folder: Folder) -> int:
    """Run into the limit of a file's size, and on when it is lifted; return 0 if all held."""
    with stages.raised(folder) as stage:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        await until_refused(stage)
        emergency = await stage.router.route(ask(Operation.EMERGENCY))
        again = Again()
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert await again.within(MOST_S)
        after = await stage.router.route(ask(Operation.STANDARD))
        gaps = [gap["count"] for gap in stage.records("gap")]
        held = (emergency.seq, after.status, gaps) == (None, 200, [1])
        return 0 if held else 1


def test_a_file_that_may_not_grow_is_no_different(tmp_path: Folder) -> None:
    done = apart("limited", tmp_path)
    assert done.returncode == 0, done.stderr


async def unwatched(folder: Folder) -> int:
    """Do the same without the log's own second look; return 0 if the door stayed shut."""
    logs.TRY_AGAIN_S = 1000.0
    with stages.raised(folder) as stage:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        await until_refused(stage)
        again = Again()
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert not await again.within(2)
        with pytest.raises(Unavailable):
            await stage.router.route(ask(Operation.STANDARD))
        return 0 if stage.log.problem else 1


def test_without_its_own_second_look_the_log_would_stay_shut(tmp_path: Folder) -> None:
    """The negative control of both: nobody asks while the door is shut, so somebody must look."""
    done = apart("unwatched", tmp_path)
    assert done.returncode == 0, done.stderr
