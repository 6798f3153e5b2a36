"""How much memory a block takes at its worst: as the kernel counts, and as Python does.

The kernel does not see what is taken from memory that was given back before; Python does not see
what other languages take. So each has a measure of its own.
"""

from __future__ import annotations

import contextlib
import gc
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 20 * 2**20  # what one call may take (reliability.md, promise P18)
_SELF = Path("/proc/self")


@contextlib.contextmanager
def flat_for_the_kernel(most: int = MOST_BYTES) -> Iterator[None]:
    """Insist that the process never grows by more than `most` bytes in the block."""
    gc.collect()
    (_SELF / "clear_refs").write_text("5")  # the peak begins anew (proc(5))
    before = _kept("VmRSS")
    yield
    _check(_kept("VmHWM") - before, most)


@contextlib.contextmanager
def flat_for_python(most: int = MOST_BYTES) -> Iterator[None]:
    """Insist that what Python allocates in the block is never more than `most` bytes."""
    tracemalloc.start()
    try:
        yield
        _check(tracemalloc.get_traced_memory()[1], most)
    finally:
        tracemalloc.stop()


def _check(taken: int, most: int) -> None:
    assert taken < most, f"{taken / 2**20:.1f} MiB were taken, at most {most / 2**20:.0f} may be"


def _kept(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", (_SELF / "status").read_text())
    assert found is not None
    return int(found[1]) * 1024
