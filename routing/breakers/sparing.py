"""Which paths are left alone while others are left: those that throttle us, those that are slow.

No breaker is asked to open for either: who has no other path is let through all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from routing.breakers.board import Board, Key
from routing.breakers.pace import Pace, Paces
from routing.breakers.reserve import Patience
from routing.core.values import Breaker, Operation, Skip

_SHUT = frozenset({Breaker.OPEN, Breaker.FORCED_OPEN})


class Sparing:
    """What one process spares; all belongs to one event loop, times are its clock's seconds."""

    def __init__(self, board: Board, paces: Paces) -> None:
        self._board = board
        self._paces = paces
        self.patience = Patience()

    def why(
        self, key: Key, operation: Operation, others: Iterable[Key], now_s: float
    ) -> Skip | None:
        """Return why `key` is left alone while `others` are left, None where it is not."""
        if self.patience.spares(key, now_s):
            return Skip.THROTTLED
        pace = self._paces.of(key, operation)
        if not pace.is_spared or not any(self._serves(one, operation, now_s) for one in others):
            return None
        return Skip.SLOW if pace.spares(now_s) else None

    def pace(self, key: Key, operation: Operation, *, synthetic: bool) -> Pace:
        """Return where a call is timed: one of our own, short as they are, teaches nothing."""
        return Pace(_never) if synthetic else self._paces.of(key, operation)

    def _serves(self, key: Key, operation: Operation, now_s: float) -> bool:
        """Tell whether a path is fit to take what a slow one would have had."""
        return not (
            self.patience.spares(key, now_s)
            or self._paces.of(key, operation).is_spared
            or self._board.state(key) in _SHUT
        )


def _never(_after_s: float, _what: Callable[[], None]) -> None:
    """Look at nothing later."""
