"""What the router holds back: slots for paths that look down, and a budget for retries.

Both belong to one event loop: nothing here is awaited, so nothing can come between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

RETRY_SHARE = 0.1  # of the requests (product.md section 3)
RETRY_BURST = 10.0


class Slots:
    """Counts what is in flight under a key."""

    def __init__(self) -> None:
        self._busy: Counter[Hashable] = Counter()

    @contextmanager
    def hold(self, key: Hashable, *, most: int) -> Iterator[bool]:
        """Hold a slot of `key` for the block; yields False, holding none, when `most` are."""
        if self._busy[key] >= most:
            yield False
            return
        self._busy[key] += 1
        try:
            yield True
        finally:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]

    def busy(self, key: Hashable) -> int:
        """Return how many slots of `key` are held."""
        return self._busy[key]


class RetryBudget:
    """Every request earns a tenth of a retry; unspent ones gather up to ten."""

    def __init__(self, left: float = RETRY_BURST) -> None:
        self.left = left

    def earn(self) -> None:
        """Count one request."""
        self.left = min(RETRY_BURST, self.left + RETRY_SHARE)

    def spend(self) -> bool:
        """Take one retry; False when none is left."""
        if self.left < 1:
            return False
        self.left -= 1
        return True
