"""Requests of the last minute per path, as this process carried them out."""

from __future__ import annotations

import math
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import not_

from routing.core.health import WINDOW_US, Traffic
from routing.core.values import EnvironmentName, Path

MOST = 50_000  # per path; beyond it the oldest leave the window early


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One attempt on a path. `failure` is the word, empty for a success; times in µs.

    `began_us` is when its request came: an attempt is no younger than that.
    """

    at_us: int
    began_us: int
    duration_us: int
    failure: str
    counts: bool  # whether a failure is the path's own fault
    slow: bool
    synthetic: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a lane shows; percentiles in µs by nearest rank, None without a success.

    `line` is how calls wait where a path lets them: under_way, waiting, oldest_ms, refused.
    """

    calls: int = 0
    synthetic: int = 0
    failed: int = 0
    slow: int = 0
    p50_us: int | None = None
    p95_us: int | None = None
    p99_us: int | None = None
    failures: dict[str, int] = field(default_factory=dict)
    line: dict[str, int] = field(default_factory=dict)


FAILED, COUNTS, SLOW, SYNTHETIC = 1, 2, 4, 8
MARKS = 16  # that these make together
AT_ONCE = 2048  # samples sorted in one go: nobody else gets the interpreter meanwhile
SPARE = 1024  # samples that have left the window and whose place is not given back yet


class _Lane:
    """The samples of one path as columns: about 26 bytes each, counted without a loop of ours."""

    def __init__(self) -> None:
        self.at_us = array("q")
        self.began_us = array("q")
        self.took_us = array("q")
        self.marks = bytearray()
        self.kinds = bytearray()  # of the failure, by its place in Window._words
        self.first = 0  # the oldest that is still in the window

    def add(self, sample: Sample, kind: int) -> None:
        at_us = sample.at_us
        for earlier in range(len(self.at_us) - 1, -1, -1):  # a clock that was set back
            if self.at_us[earlier] <= at_us:
                break
            self.at_us[earlier] = at_us
        self.at_us.append(at_us)
        self.began_us.append(sample.began_us)
        self.took_us.append(sample.duration_us)
        self.marks.append(
            FAILED * bool(sample.failure)
            | COUNTS * sample.counts
            | SLOW * sample.slow
            | SYNTHETIC * sample.synthetic
        )
        self.kinds.append(kind)
        oldest = bisect_left(self.at_us, at_us - WINDOW_US, self.first)
        self.first = max(oldest, len(self.at_us) - MOST)
        if self.first > SPARE and self.first * 2 > len(self.at_us):
            for column in (self.at_us, self.began_us, self.took_us, self.marks, self.kinds):
                del column[: self.first]
            self.first = 0


class Window:
    """The samples of every path; added by the router's thread, read by the monitor's."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[EnvironmentName, Path], _Lane] = {}
        self._words = [""]
        self._busy = threading.Lock()

    def add(self, environment: EnvironmentName, path: Path, sample: Sample) -> None:
        """Take one sample in; samples come in the order of time."""
        with self._busy:
            if sample.failure not in self._words:
                self._words.append(sample.failure)
            lane = self._lanes.setdefault((environment, path), _Lane())
            lane.add(sample, self._words.index(sample.failure))

    def real(
        self, environment: EnvironmentName, path: Path, now_us: int, since_us: int = 0
    ) -> Traffic:
        """Return what the status counts: real requests that began since `since_us`, and ended
        within the window. One that began earlier tells of earlier, however late it ends."""
        with self._busy:
            lane = self._lanes.get((environment, path)) or _Lane()
            here = slice(bisect_left(lane.at_us, now_us - WINDOW_US, lane.first), None)
            at_us, began_us, marks = lane.at_us[here], lane.began_us[here], lane.marks[here]
        if since_us:
            young = [began >= since_us for began in began_us]
            at_us = array("q", compress(at_us, young))
            marks = bytearray(compress(marks, young))
        real = {m: number for m, number in _counted(marks, MARKS).items() if not m & SYNTHETIC}
        newest = next(
            (
                at
                for at, mark in zip(reversed(at_us), reversed(marks), strict=True)
                if mark in real
            ),
            0,
        )
        return Traffic(
            calls=sum(real.values()),
            failed=sum(n for mark, n in real.items() if mark & FAILED and mark & COUNTS),
            slow=sum(n for mark, n in real.items() if mark & SLOW),
            newest_us=newest,
        )

    def figures(self, environment: EnvironmentName, path: Path, now_us: int) -> Figures:
        """Return what a page shows of the window, real and synthetic together."""
        with self._busy:
            lane = self._lanes.get((environment, path)) or _Lane()
            here = slice(bisect_left(lane.at_us, now_us - WINDOW_US, lane.first), None)
            took_us, marks, kinds = lane.took_us[here], lane.marks[here], lane.kinds[here]
            words = tuple(self._words)
        took = _sorted(took_us, kinds)
        counted, failures = _counted(marks, MARKS), _counted(kinds, len(words))
        return Figures(
            calls=len(marks),
            synthetic=sum(n for mark, n in counted.items() if mark & SYNTHETIC),
            failed=sum(n for mark, n in counted.items() if mark & FAILED),
            slow=sum(n for mark, n in counted.items() if mark & SLOW),
            p50_us=rank(took, 50),
            p95_us=rank(took, 95),
            p99_us=rank(took, 99),
            failures={words[kind]: n for kind, n in failures.items() if kind},
        )


def rank(parts: Sequence[Sequence[int]], percent: int) -> int | None:
    """Return the percentile by nearest rank of all that is in `parts`, each of them ordered.

    None of nothing; no part is empty.
    """
    if not parts:
        return None
    place = max(1, math.ceil(sum(map(len, parts)) * percent / 100))
    low, high = min(part[0] for part in parts), max(part[-1] for part in parts)
    while low < high:  # the least value up to which so many lie
        middle = (low + high) // 2
        if sum(bisect_right(part, middle) for part in parts) >= place:
            high = middle
        else:
            low = middle + 1
    return low


def _sorted(took_us: Sequence[int], kinds: bytearray) -> list[list[int]]:
    """Return the durations of what did not fail, in ordered parts without an empty one."""
    parts = []
    for at in range(0, len(took_us), AT_ONCE):
        good = map(not_, kinds[at : at + AT_ONCE])
        parts.append(sorted(compress(took_us[at : at + AT_ONCE], good)))
    return [part for part in parts if part]


def _counted(found: bytearray, kinds: int) -> dict[int, int]:
    """Return how often each of the first `kinds` bytes stands in `found`, where it does."""
    counts = {kind: found.count(kind) for kind in range(kinds)}
    return {kind: number for kind, number in counts.items() if number}
