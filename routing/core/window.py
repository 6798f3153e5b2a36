"""Count calls over a sliding window, in buckets, so that the size never depends on traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """What was counted while `now_us // width_us` was `index`; `calls` holds all of them."""

    index: int
    calls: int = 0
    failures: int = 0
    slow: int = 0


Window: TypeAlias = tuple[Bucket, ...]


def recent(window: Window, *, now_us: int, width_us: int, span: int) -> Window:
    """Return the buckets of `window` that are among the last `span` at `now_us`.

    The bucket after the current one is kept too: two processes may report in swapped order. One
    that lies further ahead was counted before the clock was set back, and is dropped.
    """
    index = now_us // width_us
    return tuple(b for b in window if index - span < b.index <= index + 1)


def add(
    window: Window, *, now_us: int, width_us: int, span: int, failed: bool, slow: bool
) -> Window:
    """Return `window` with one more call at `now_us` and without what has left it."""
    index = now_us // width_us
    calls, failures, slowed = 1, int(failed), int(slow)
    kept: list[Bucket] = []  # as `recent`, in one pass: every call is counted here
    for bucket in window:
        at = bucket.index
        if at == index:
            calls += bucket.calls
            failures += bucket.failures
            slowed += bucket.slow
        elif index - span < at <= index + 1:
            kept.append(bucket)
    kept.append(Bucket(index=index, calls=calls, failures=failures, slow=slowed))
    return tuple(kept)


def totals(window: Window) -> Bucket:
    """Return the sums over `window` as one bucket; its `index` is the newest, 0 without any."""
    newest: int | None = None
    calls = failures = slow = 0
    for bucket in window:
        if newest is None or bucket.index > newest:
            newest = bucket.index
        calls += bucket.calls
        failures += bucket.failures
        slow += bucket.slow
    return Bucket(index=newest or 0, calls=calls, failures=failures, slow=slow)
