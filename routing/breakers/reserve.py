"""What the router holds back: slots for paths that look down, a budget for retries, and patience
with paths that throttle us.

All belong to one event loop: nothing here is awaited, so nothing can come between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

RETRY_SHARE = 0.1  # of the requests (product.md section 3)
RETRY_BURST = 10.0
THROTTLES = 3  # in a row, where the provider does not say how long to wait
SPARED_S = 1.0
LONGEST_SPARED_S = 10.0


class Slots:
    """Counts what is in flight under a key."""

    def __init__(self) -> None:
        self._busy: dict[Hashable, int] = {}

    @contextmanager
    def hold(self, key: Hashable, *, most: int) -> Iterator[bool]:
        """Hold a slot of `key` for the block; yields False, holding none, when `most` are."""
        if not self.take(key, most=most):
            yield False
            return
        try:
            yield True
        finally:
            self.free(key)

    def take(self, key: Hashable, *, most: int) -> bool:
        """Take a slot of `key`; False, taking none, when `most` are held."""
        held = self._busy.get(key, 0)
        if held >= most:
            return False
        self._busy[key] = held + 1
        return True

    def free(self, key: Hashable) -> None:
        """Give a slot of `key` back."""
        left = self._busy[key] - 1
        if left:
            self._busy[key] = left
        else:
            del self._busy[key]

    def busy(self, key: Hashable) -> int:
        """Return how many slots of `key` are held."""
        return self._busy.get(key, 0)


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


class Patience:
    """Which keys throttle us, and until when each is spared; seconds of the caller's clock.

    Throttling is no failure for the breaker, yet asking again with every request doubles the
    calls. Who said when to come back is believed at once, others after three in a row.
    """

    def __init__(self) -> None:
        self._throttles: Counter[Hashable] = Counter()
        self._until_s: dict[Hashable, float] = {}

    def throttled(self, key: Hashable, said_s: float | None, now_s: float) -> None:
        """Note that `key` asked for patience, for `said_s` (cut to 1 to 10 s) if it said so."""
        self._throttles[key] += 1
        said = said_s is not None and said_s > 0
        if said or self._throttles[key] >= THROTTLES:
            wait_s = min(LONGEST_SPARED_S, max(SPARED_S, said_s or 0.0))
            self._until_s[key] = now_s + wait_s

    def answered(self, key: Hashable) -> None:
        """Note that `key` serves us again."""
        self._throttles.pop(key, None)
        self._until_s.pop(key, None)

    def spares(self, key: Hashable, now_s: float) -> bool:
        """Tell whether `key` is to be left alone for now."""
        return now_s < self._until_s.get(key, now_s)
