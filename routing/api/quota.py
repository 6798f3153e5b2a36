"""How much one token may ask: at the same time, in a second, and of the model in a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from routing.access.tokens import TokenFacts
from routing.breakers.reserve import Slots
from routing.core.allowance import Limit, Spending
from routing.core.errors import Invalid, TooMany

WINDOW_S = 1  # begins with its first request
REMEMBERED = 1000  # callers whose spending is kept before the idle ones are looked for


@dataclass(slots=True, kw_only=True)
class Bill:
    """What a call may cost, then what it cost; who never says so pays the estimate."""

    estimated: int
    used: int


class _Held:
    """One of a token's places for one block; both kinds of blocks are part of every request."""

    __slots__ = ("_key", "_most", "_slots")

    def __init__(self, slots: Slots, key: tuple[str, bool], most: int) -> None:
        self._slots = slots
        self._key = key
        self._most = most

    def __enter__(self) -> None:
        if not self._slots.take(self._key, most=self._most):
            raise TooMany(
                f"This token has {self._most} requests under way; wait for one to end.",
                retry_after_s=1,
                limit=str(Limit.AT_ONCE),
            )

    def __exit__(self, *_: object) -> None:
        self._slots.free(self._key)


class _Spent:
    """Tokens of a model that one block may take, until its bill says what it took."""

    __slots__ = ("_bill", "_clock", "_spending")

    def __init__(self, spending: Spending, estimated: int, clock: Callable[[], float]) -> None:
        self._spending = spending
        self._clock = clock
        self._bill = Bill(estimated=estimated, used=estimated)

    def __enter__(self) -> Bill:
        self._spending.hold(self._bill.estimated)
        return self._bill

    def __exit__(self, *_: object) -> None:
        self._spending.settle(self._bill.estimated, self._bill.used, int(self._clock()))


class Quota:
    """Counts in this process's memory, by each token's own limits; belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hits: dict[str, tuple[float, int]] = {}  # by token: since when, how many
        self._slots = Slots()
        self._spendings: dict[str, Spending] = {}

    def hit(self, token: TokenFacts) -> None:
        """Count one request; raises TooMany, saying when to come back."""
        most = token.limits.per_second
        now_s = self._clock()
        since_s, count = self._hits.get(token.id, (now_s, 0))
        if now_s - since_s >= WINDOW_S:
            since_s, count = now_s, 0
        if count == 0 and len(self._hits) >= REMEMBERED:
            still = now_s - WINDOW_S
            self._hits = {one: hit for one, hit in self._hits.items() if hit[0] > still}
        self._hits[token.id] = (since_s, count + 1)
        if count < most:
            return
        raise TooMany(
            f"This token may send {most} requests a second; slow down.",
            retry_after_s=WINDOW_S,
            limit=str(Limit.PER_SECOND),
        )

    def hold(self, token: TokenFacts, *, alone: bool = False) -> _Held:
        """Hold one of the token's places for the block; raises TooMany when all are taken.

        `alone` is for what goes on without its caller: those places are counted apart.
        """
        return _Held(self._slots, (token.id, alone), token.limits.at_once)

    def spend(self, token: TokenFacts, estimated: int, *, refuse: bool = True) -> _Spent:
        """Hold `estimated` tokens of a model for the block, and count what the bill says after.

        Raises TooMany while they do not fit, Invalid where they never will; neither with `refuse`
        off, which counts all the same.
        """
        spending = self._spending(token.id)
        if refuse:
            self._check(token, spending, estimated)
        return _Spent(spending, estimated, self._clock)

    def _check(self, token: TokenFacts, spending: Spending, estimated: int) -> None:
        most = token.limits.tokens_per_minute
        if estimated > most:
            raise Invalid(
                f"This request may take {estimated} tokens and its caller has {most} a minute; "
                "lower max_tokens, or ask an admin for more."
            )
        wait_s = spending.wait_s(estimated, most, int(self._clock()))
        if wait_s:
            raise TooMany(
                f"This caller may take {most} tokens of a model a minute, and this request may "
                f"take {estimated}; send it again later or lower max_tokens.",
                retry_after_s=wait_s,
                limit=str(Limit.TOKENS_PER_MINUTE),
            )

    def _spending(self, token: str) -> Spending:
        found = self._spendings.get(token)
        if found is None:
            if len(self._spendings) >= REMEMBERED:
                now_s = int(self._clock())
                kept = {t: s for t, s in self._spendings.items() if not s.idle(now_s)}
                self._spendings = kept
            found = self._spendings[token] = Spending()
        return found
