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
    kept = recent(window, now_us=now_us, width_us=width_us, span=span)
    old = next((b for b in kept if b.index == index), Bucket(index=index))
    new = Bucket(
        index=index,
        calls=old.calls + 1,
        failures=old.failures + failed,
        slow=old.slow + slow,
    )
    return (*(b for b in kept if b.index != index), new)


def totals(window: Window) -> Bucket:
    """Return the sums over `window` as one bucket; its `index` is the newest, 0 without any."""
    return Bucket(
        index=max((b.index for b in window), default=0),
        calls=sum(b.calls for b in window),
        failures=sum(b.failures for b in window),
        slow=sum(b.slow for b in window),
    )
