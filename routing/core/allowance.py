"""How much one caller may ask: at a time, in a second, and in tokens of a model in a minute.

Tokens are estimated before a call and replaced by what was used after it; what is unknown counts
as estimated. So the limit is overrun by the calls under way at most, each by what its estimate
was short of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from routing.core.errors import Invalid
from routing.core.values import Failure

WINDOW_S = 60
BYTES_PER_TOKEN = 4  # of English text; others take fewer bytes, and the answer's share is exact
MOST_USED = 100_000_000  # a count beyond it is no count

# The model may have written all it was allowed to, and nobody says how much.
UNTOLD = frozenset({Failure.TIMEOUT, Failure.TRUNCATED, Failure.OUTCOME_UNKNOWN})


class Limit(StrEnum):
    """Which limit was met."""

    AT_ONCE = "at_once"
    PER_SECOND = "per_second"
    TOKENS_PER_MINUTE = "tokens_per_minute"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one caller's token, in each process."""

    at_once: int = 64
    per_second: int = 200
    tokens_per_minute: int = 1_000_000


MOST = Limits(at_once=10_000, per_second=100_000, tokens_per_minute=1_000_000_000)


def check(limits: Limits) -> Limits:
    """Return `limits`; raises Invalid, naming the one that is out of its bounds."""
    for name in limits.__dataclass_fields__:
        most = getattr(MOST, name)
        if not 1 <= getattr(limits, name) <= most:
            raise Invalid(f"Give a whole number from 1 to {most} for {name}.")
    return limits


def tokens(texts: Sequence[str]) -> int:
    """Estimate how many tokens `texts` are: a fourth of their bytes, one for each at least."""
    return sum(len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN + 1 for text in texts)


def estimate(texts: Sequence[str], max_tokens: int) -> int:
    """Return what a call may cost: what is sent, and all that may be answered."""
    return tokens(texts) + max_tokens


def used(
    estimated: int,
    *,
    texts: Sequence[str],
    answer: str | None,
    told: tuple[int, int] | None,
    untold: bool,
) -> int:
    """Return what a call cost: as `told` (input, output), else by the texts.

    Without an answer it cost nothing, unless a failure leaves untold how much was written: then it
    cost the estimate.
    """
    if told is not None:
        return min(MOST_USED, max(0, told[0]) + max(0, told[1]))
    if answer is not None:
        return tokens(texts) + tokens([answer])
    return estimated if untold else 0


class Spending:
    """What one caller spent in the last minute, to the second, and holds for calls under way."""

    def __init__(self) -> None:
        self._held = 0
        self._spent = 0
        self._seconds: deque[tuple[int, int]] = deque()

    def wait_s(self, amount: int, most: int, now_s: int) -> int:
        """Return the seconds until `amount` fits below `most`, 0 where it does now."""
        self._forget(now_s)
        excess = self._held + self._spent + amount - most
        if excess <= 0:
            return 0
        for second, spent in self._seconds:
            excess -= spent
            if excess <= 0:
                return max(1, second + WINDOW_S - now_s)
        return 1  # calls under way hold it; each may end at any moment

    def hold(self, amount: int) -> None:
        """Keep `amount` for a call that begins."""
        self._held += amount

    def settle(self, held: int, used: int, now_s: int) -> None:
        """Replace what a call held by what it used, as of now."""
        self._held -= held
        self._spent += used
        if self._seconds and self._seconds[-1][0] == now_s:
            used += self._seconds.pop()[1]
        self._seconds.append((now_s, used))

    def idle(self, now_s: int) -> bool:
        """Tell whether nothing is held or remembered."""
        self._forget(now_s)
        return not self._held and not self._seconds

    def total(self, now_s: int) -> int:
        """Return what counts against the limit now."""
        self._forget(now_s)
        return self._held + self._spent

    def _forget(self, now_s: int) -> None:
        while self._seconds and self._seconds[0][0] <= now_s - WINDOW_S:
            self._spent -= self._seconds.popleft()[1]
