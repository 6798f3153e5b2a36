"""A breaker written a second time and differently, to judge the one of the product by.

It keeps every event and works everything out from that log, in plain words and exact fractions.
It imports nothing of the product: neither its code nor its types can lead it into the same error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import takewhile
from typing import Protocol

Token = tuple[int, int]


class Rules(Protocol):
    """The figures that a breaker goes by."""

    @property
    def bucket_us(self) -> int: ...
    @property
    def buckets(self) -> int: ...
    @property
    def min_calls(self) -> int: ...
    @property
    def failure_percent(self) -> int: ...
    @property
    def slow_percent(self) -> int: ...
    @property
    def consecutive_failures(self) -> int: ...
    @property
    def open_us(self) -> int: ...
    @property
    def open_max_us(self) -> int: ...
    @property
    def jitter_percent(self) -> int: ...
    @property
    def trial_slots(self) -> int: ...
    @property
    def trials_to_close(self) -> int: ...
    @property
    def lease_us(self) -> int: ...


@dataclass
class Reference:
    """A naive breaker: a log of events, scanned again for every question."""

    rules: Rules
    mode: str = "closed"
    until: int | None = None
    epoch: int = 0
    calls: list[tuple[int, str]] = field(default_factory=list)
    out: dict[Token, int] = field(default_factory=dict)
    started: dict[Token, int] = field(default_factory=dict)
    behind: set[Token] = field(default_factory=set)
    good_trials: int = 0
    openings: int = 0
    log: list[tuple[str, str, str, int]] = field(default_factory=list)

    def go(self, mode: str, why: str, at: int, until: int | None = None) -> None:
        self.log.append((self.mode, mode, why, at))
        if (self.mode, mode) != ("forced_closed", "closed"):
            self.calls = []
        if mode in ("closed", "forced_closed"):
            self.openings = 0
        self.mode, self.until = mode, until
        self.out, self.good_trials, self.epoch = {}, 0, self.epoch + 1
        self.started, self.behind = {}, set()

    def pass_time(self, now: int) -> None:
        if self.until is not None and now >= self.until:
            if self.mode == "open":
                self.go("half_open", "wait_over", self.until)
            elif self.mode == "forced_open":
                self.go("half_open", "force_ended", self.until)
            else:
                self.go("closed", "force_ended", self.until)
        for token in [token for token, end in self.out.items() if now >= end]:
            del self.out[token]

    def ask(self, now: int, name: int) -> Token | None:
        self.pass_time(now)
        if self.mode in ("closed", "forced_closed"):
            return (self.epoch, name)
        taking_a_slot = [token for token in self.out if token not in self.behind]
        if self.mode == "half_open" and len(taking_a_slot) < self.rules.trial_slots:
            self.out[(self.epoch, name)] = now + self.rules.lease_us
            self.started[(self.epoch, name)] = now
            return (self.epoch, name)
        return None

    def tell(self, token: Token, result: str, now: int, jitter: float) -> None:
        self.pass_time(now)
        if token[0] != self.epoch:
            return
        if self.mode == "half_open":
            if self.out.pop(token, None) is not None:
                if result == "success" and token not in self.behind:
                    self.give_up_on_those_behind()
                self.trial_ended(result, now, jitter)
        elif result != "ignored":
            self.calls.append((now, result))
            why = self.verdict(now)
            if why and self.mode == "closed":
                self.open(why, now, jitter)

    def trial_ended(self, result: str, now: int, jitter: float) -> None:
        if result == "success":
            self.good_trials += 1
            if self.good_trials == self.rules.trials_to_close:
                self.go("closed", "trials_passed", now)
        elif result != "ignored":
            self.open({"failure": "trial_failed", "slow": "trial_slow"}[result], now, jitter)

    def verdict(self, now: int) -> str:
        results = [result for _, result in self.calls]
        run = len(list(takewhile(lambda r: r == "failure", reversed(results))))
        if run >= self.rules.consecutive_failures:
            return "consecutive_failures"
        width = self.rules.bucket_us
        oldest = now // width - self.rules.buckets + 1
        seen = [result for at, result in self.calls if at // width >= oldest]
        if len(seen) < self.rules.min_calls:
            return ""
        if Fraction(seen.count("failure"), len(seen)) * 100 >= self.rules.failure_percent:
            return "failure_ratio"
        too_slow = Fraction(seen.count("slow"), len(seen)) * 100 >= self.rules.slow_percent
        return "slow_ratio" if too_slow else ""

    def open(self, why: str, now: int, jitter: float) -> None:
        openings = self.openings
        wait = min(self.rules.open_us * 2**openings, self.rules.open_max_us)
        saved = int(Fraction(jitter) * (wait * self.rules.jitter_percent // 100))
        self.go("open", why, now, now + wait - saved)
        self.openings = openings + 1

    def forget(self, token: Token) -> None:
        self.out.pop(token, None)

    def give_up_on_those_behind(self) -> None:
        for token in self.behind:
            self.out.pop(token, None)

    def probe(self, began: int, now: int) -> None:
        self.pass_time(now)
        if self.mode == "half_open":
            self.behind |= {token for token in self.out if self.started[token] < began}
        if self.mode == "open":
            self.go("half_open", "good_probe", now)

    def hold(self, mode: str, now: int, until: int) -> None:
        self.pass_time(now)
        self.go(mode, "forced", now, until)

    def let_go(self, now: int) -> None:
        self.pass_time(now)
        if self.mode == "forced_open":
            self.go("half_open", "released", now)
        elif self.mode == "forced_closed":
            self.go("closed", "released", now)
