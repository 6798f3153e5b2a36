"""Notice that a path has become slow while its calls still wait, not once they are over.

A breaker counts calls that ended: of a path that goes silent it hears when the time of an attempt
is over, many seconds and many callers later. Here a call is late as soon as it was silent for
much longer than its like usually are. Several late ones in a row, and the path is spared while
another one is left; one call in a while tries it, and the first that is answered in time ends
that. No breaker opens, so whoever has no other path is served slowly rather than not at all.

All belongs to one event loop, like `reserve`; times are seconds of the caller's clock.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping

from routing.breakers.held import Key
from routing.core.health import Lag
from routing.core.values import Operation

TIMES_USUAL = 4.0  # the 99th percentile of answers is rarely beyond four times their median
LEAST_S = 1.0  # a lost packet is sent again within it
KNOWN_FROM = 20  # answers; with fewer nothing is usual
REMEMBERED = 128
LEARNT_EVERY = 16
IN_A_ROW = 5  # as many as open a breaker by failing
SPARED_S = 5.0
SPARED_CALLS = 4  # at least, before one tries it again: else all of a few callers would
# A process that stood still finds every call overdue and their answers still to be read: what is
# late must be so in two looks, this far apart.
SETTLED_S = 0.05
Later = Callable[[float, Callable[[], None]], object]


class Wait:
    """One call under way, late beyond `most_s` in any case.

    Its client says when the other side was first `heard`.
    """

    __slots__ = ("_clock", "began", "heard_at", "late", "most_s", "overdue_at", "trial")

    def __init__(self, clock: Callable[[], float], most_s: float) -> None:
        self._clock = clock
        self.began = clock()
        self.most_s = most_s
        self.heard_at: float | None = None
        self.overdue_at: float | None = None
        self.trial = False
        self.late = False

    def heard(self) -> None:
        """Note that the other side spoke."""
        if self.heard_at is None:
            self.heard_at = self._clock()


class Pace:
    """How fast calls of one kind are answered, and whether their path is spared.

    `later` calls back after so many seconds: about once a second while calls wait, 20 times while
    some are late.
    """

    def __init__(self, later: Later) -> None:
        self._later = later
        self._clock: Callable[[], float] = time.monotonic
        self._took: deque[float] = deque(maxlen=REMEMBERED)
        self._learnt = 0
        self._waiting: dict[Wait, None] = {}  # in the order in which they began
        self._looks = False
        self._in_a_row = 0
        self._silent_s = LEAST_S  # the limit that the last late call passed
        self._until: float | None = None
        self._spared = 0  # calls since the last one that tried it
        self._met_at = 0.0
        self.usual_s: float | None = None

    @property
    def is_spared(self) -> bool:
        """Whether the path is spared, but for a call that tries it now and then."""
        return self._until is not None

    def spares(self, now_s: float) -> bool:
        """Tell whether a call that has another path should take that; at times one may try."""
        if self._until is None or self._may_try(now_s):
            return False
        self._spared += 1
        self._met_at = now_s
        return True

    def begin(self, clock: Callable[[], float], most_s: float) -> Wait:
        """Note that a call leaves; beyond `most_s` it would be late however slow its like are."""
        self._clock = clock
        wait = Wait(clock, most_s)
        wait.trial = self._may_try(wait.began)
        if wait.trial:
            self._spare_on(wait.began)
        self._waiting[wait] = None
        if not self._looks:
            self._looks = True
            self._later(LEAST_S, self._look)
        return wait

    def end(self, wait: Wait, *, answered: bool) -> None:
        """Note that a call is over; one that was not answered says nothing unless it was late."""
        if answered:
            wait.heard()
        if wait in self._waiting:
            self._over(wait)
        elif wait.late:
            self._learn(wait)

    def lag(self, now_s: float) -> Lag | None:
        """Return how slow it is, None while it is not spared or nobody asks any more."""
        if self._until is None or now_s - self._met_at > 2 * SPARED_S:
            return None
        return Lag(in_a_row=self._in_a_row, silent_s=self._silent_s, usual_s=self.usual_s)

    def limit_s(self, most_s: float) -> float:
        """Return how long a call may be silent before it is late, at most `most_s`."""
        if self.usual_s is None:
            return most_s
        return min(most_s, max(LEAST_S, TIMES_USUAL * self.usual_s))

    def _may_try(self, now_s: float) -> bool:
        return self._until is not None and now_s >= self._until and self._spared >= SPARED_CALLS

    def _spare_on(self, now_s: float) -> None:
        self._until, self._spared = now_s + SPARED_S, 0

    def _look(self) -> None:
        """Count what is overdue for the second time, and look again when more may be."""
        now_s, again_s = self._clock(), LEAST_S
        for wait in tuple(self._waiting):
            overdue_s = now_s - wait.began - self.limit_s(wait.most_s)
            if wait.heard_at is not None:
                self._over(wait)
            elif overdue_s < 0:
                wait.overdue_at = None
                again_s = min(again_s, max(SETTLED_S, -overdue_s))
            elif wait.overdue_at is None:
                wait.overdue_at, again_s = now_s, SETTLED_S
            elif now_s - wait.overdue_at < SETTLED_S:
                again_s = SETTLED_S
            else:
                wait.late = True
                self._over(wait)
        self._looks = bool(self._waiting)
        if self._looks:
            self._later(again_s, self._look)

    def _over(self, wait: Wait) -> None:
        """Count a call that has spoken, has ended or is late."""
        del self._waiting[wait]
        if wait.late:
            self._in_a_row, self._met_at = self._in_a_row + 1, self._clock()
            self._silent_s = self.limit_s(wait.most_s)
            if self._in_a_row >= IN_A_ROW and self._until is None:
                self._spare_on(self._met_at)
        elif wait.heard_at is not None:
            if wait.heard_at - wait.began <= self.limit_s(wait.most_s):
                self._in_a_row, self._until = 0, None
            self._learn(wait)

    def _learn(self, wait: Wait) -> None:
        """Remember how long an answer took. While the path is spared only calls that try it
        teach: a fault must not become what is usual, a lasting change does in some minutes."""
        if wait.heard_at is None or not (self._until is None or wait.trial):
            return
        self._took.append(wait.heard_at - wait.began)
        self._learnt += 1
        if len(self._took) >= KNOWN_FROM and self._learnt >= LEARNT_EVERY:
            self._learnt = 0
            self.usual_s = statistics.median(self._took)


class Paces:
    """The pace of every path of this process, for each operation apart."""

    def __init__(self, later: Later | None = None) -> None:
        self._call_later = later or _on_the_loop
        self._paces: dict[tuple[Key, Operation], Pace] = {}

    def of(self, key: Key, operation: Operation) -> Pace:
        """Return the pace of calls for `operation` to `key`."""
        pace = self._paces.get((key, operation))
        if pace is None:
            pace = self._paces[key, operation] = Pace(self._call_later)
        return pace

    def lags(self, key: Key, now_s: float) -> Mapping[Operation, Lag]:
        """Return which operations spare `key` now, and why."""
        found = {o: pace.lag(now_s) for (k, o), pace in self._paces.items() if k == key}
        return {operation: lag for operation, lag in found.items() if lag is not None}


def _on_the_loop(after_s: float, what: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(after_s, what)
