"""How long one call waits: for the first event, for the next one, and in all."""

from __future__ import annotations

import time
from collections.abc import Callable

from routing.core.values import Failure
from routing.paths.base import Call, PathError

FIRST_S = 3.0  # silence until here is generation that is slow; beyond, the other side is gone
TAIL_S = 0.5  # for the figures that follow a whole answer; without them it is whole too


class Patience:
    """The limits of one call as moments on the monotonic clock, and whom to ask and tell.

    `may_go` is asked when it has waited for a place, `tell` is called when the other side speaks.
    """

    __slots__ = ("_first_s", "_gap_s", "_limit", "_said", "_tell", "ends", "may_go")

    def __init__(
        self,
        timeout_s: float,
        first_s: float | None,
        gap_s: float | None,
        *,
        tell: Callable[[], None] | None = None,
        may_go: Callable[[], bool] | None = None,
    ) -> None:
        self.ends = time.monotonic() + timeout_s
        self.may_go = may_go
        self._first_s = first_s
        self._gap_s = gap_s
        self._limit = self.ends
        self._said = False
        self._tell = tell

    def left_s(self) -> float:
        """Return the seconds of the whole call that are left, below 0 once it is over."""
        return self.ends - time.monotonic()

    def until(self) -> float:
        """Return when the silence that lasts now is too long."""
        return self._limit

    def asked(self) -> None:
        """Note that the request leaves: the silence before the first event begins."""
        self._silent_at_most(self._first_s)

    def spoke(self) -> None:
        """Note that the other side speaks; the call hears of it once."""
        if not self._said:
            self._said = True
            if self._tell is not None:
                self._tell()

    def heard(self) -> None:
        """Note an event: the next silence begins."""
        self.spoke()
        self._silent_at_most(self._gap_s)

    def answered(self) -> None:
        """Note that the answer is whole: what still follows it may take a moment only."""
        self.ends = min(self.ends, time.monotonic() + TAIL_S)
        self._limit = min(self._limit, self.ends)

    def _silent_at_most(self, seconds: float | None) -> None:
        limit = self.ends
        if seconds is not None:
            limit = min(limit, time.monotonic() + seconds)
        self._limit = limit

    def over(self) -> PathError:
        """Return the failure of a call whose limit has passed, in words that say which one."""
        if self._limit >= self.ends:
            return PathError(Failure.TIMEOUT, "The answer did not come in the time of the call.")
        silence = "went silent between two events" if self._said else "said nothing at all"
        return PathError(Failure.TIMEOUT, f"The other side {silence} for too long.")


def unconnected() -> PathError:
    """Return the failure of a call whose own time ended before there was a connection.

    Shorter than what connecting may take, it says nothing about whether anybody is there.
    """
    detail = "There was no connection in the time of the call."
    return PathError(Failure.TIMEOUT, detail, sent=False)


def of_stream(call: Call) -> Patience:
    """Return the patience for an answer by events: at most `FIRST_S` for the first of them."""
    first_s = FIRST_S if call.first_s is None else call.first_s
    return Patience(call.timeout_s, first_s, call.gap_s, tell=call.heard, may_go=call.may_go)


def of_whole(call: Call) -> Patience:
    """Return the patience for an answer in one piece: silence says nothing about it."""
    return Patience(call.timeout_s, None, None, may_go=call.may_go)
