"""Requests of the last minute per path, as this process carried them out."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

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


class Window:
    """The samples of every path; added by the router's thread, read by the monitor's."""

    def __init__(self) -> None:
        self._samples: dict[tuple[EnvironmentName, Path], deque[Sample]] = {}

    def add(self, environment: EnvironmentName, path: Path, sample: Sample) -> None:
        """Take one sample in; samples come in the order of time."""
        kept = self._samples.setdefault((environment, path), deque(maxlen=MOST))
        kept.append(sample)
        while kept and kept[0].at_us < sample.at_us - WINDOW_US:
            kept.popleft()

    def real(
        self, environment: EnvironmentName, path: Path, now_us: int, since_us: int = 0
    ) -> Traffic:
        """Return what the status counts: real requests that began since `since_us`, and ended
        within the window. One that began earlier tells of earlier, however late it ends."""
        kept = self._of(environment, path, now_us)
        found = [s for s in kept if not s.synthetic and s.began_us >= since_us]
        return Traffic(
            calls=len(found),
            failed=sum(1 for s in found if s.failure and s.counts),
            slow=sum(1 for s in found if s.slow),
            newest_us=max((s.at_us for s in found), default=0),
        )

    def figures(self, environment: EnvironmentName, path: Path, now_us: int) -> Figures:
        """Return what a page shows of the window, real and synthetic together."""
        found = self._of(environment, path, now_us)
        took = sorted(s.duration_us for s in found if not s.failure)
        return Figures(
            calls=len(found),
            synthetic=sum(1 for s in found if s.synthetic),
            failed=sum(1 for s in found if s.failure),
            slow=sum(1 for s in found if s.slow),
            p50_us=rank(took, 50),
            p95_us=rank(took, 95),
            p99_us=rank(took, 99),
            failures=dict(Counter(s.failure for s in found if s.failure)),
        )

    def _of(self, environment: EnvironmentName, path: Path, now_us: int) -> list[Sample]:
        kept = tuple(self._samples.get((environment, path), ()))
        return [s for s in kept if s.at_us >= now_us - WINDOW_US]


def rank(ordered: Sequence[int], percent: int) -> int | None:
    """Return the percentile by nearest rank, None of nothing."""
    if not ordered:
        return None
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1]
