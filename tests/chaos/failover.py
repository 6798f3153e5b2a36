"""One path fails in every way there is, under a steady load: what callers notice, how long.

The figures are those of reliability P8. What the other sides were asked is counted in their own
journals.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routing.core.values import Breaker, EnvironmentName, Operation
from routing.paths import bedrock_patience
from tests.chaos import load, oracle
from tests.chaos.ground import Ground
from tests.chaos.load import Seen

RATE = 50.0
SHARE = 0.99  # of the requests under the fault must be answered
MOST_REQUESTS, MOST_S = 10, 2.0  # until traffic is on the other path
LATE_S = 1.0  # what a hang may add to the time that one attempt has, until the breaker opens
BACK_WITHIN_S = 15.0
STEADY_S = 1.0  # how long the primary must answer everything to be called back
MOST_ATTEMPTS = 1.1  # calls that reach an other side, per request
OVER_BUDGET_S = 0.1
REFUSED_WITHIN_S = 0.1
ATTEMPT_SHARE = 0.6  # of the budget
# How long a path may say nothing at all, where that is less.
SILENCE_S: Mapping[str, float] = {oracle.DIRECT: bedrock_patience.FIRST_S}
SLOW_SHARE = 0.55  # of the budget: answers that come, and too late to be called well

# What the stand-in is told; `slow` is filled in from the budget.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "503": {"kind": "error", "status": 503},
    "429": {"kind": "error", "status": 429},
    "reset": {"kind": "reset"},
    "garbage": {"kind": "malformed"},
    "truncated": {"kind": "cut"},
    "hang": {"kind": "hang"},
    "slow": {"kind": "latency"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of load before, under and after the fault, and its requests a second."""

    before_s: float
    fault_s: float
    after_s: float
    rate: float = RATE
    slow_share: float = SLOW_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen of one fault on one primary; times on the monotonic clock.

    `opened_s` is how long after the fault struck the primary's breaker opened first.
    """

    fault: str
    primary: str
    seen: Sequence[Seen]
    struck_s: float
    healed_s: float
    met: int
    opened_s: float | None

    @property
    def under(self) -> list[Seen]:
        return [s for s in self.seen if self.struck_s <= s.began_s < self.healed_s]

    @property
    def since(self) -> list[Seen]:
        """Those that began under the fault or later."""
        return [s for s in self.seen if s.began_s >= self.struck_s]

    @property
    def share(self) -> float:
        return sum(s.status == 200 for s in self.under) / max(1, len(self.under))

    @property
    def moved(self) -> tuple[int, float] | None:
        """Requests and seconds until one went to the other path without asking the primary."""
        for number, one in enumerate(self.under):
            if one.effective is not None and self.primary not in one.paths:
                return number, one.began_s - self.struck_s
        return None

    @property
    def back_s(self) -> float | None:
        """Seconds after the healing from which on the primary answers everything."""
        later = [s for s in self.seen if s.began_s >= self.healed_s]
        if not later:
            return None
        last_elsewhere = max(
            (n for n, s in enumerate(later) if s.effective != self.primary), default=-1
        )
        steady = later[last_elsewhere + 1 :]
        if not steady or steady[-1].began_s - steady[0].began_s < STEADY_S:
            return None
        return steady[0].began_s - self.healed_s

    @property
    def amplification(self) -> float:
        return self.met / max(1, len(self.since))

    def line(self) -> str:
        moved = (
            "never" if self.moved is None else f"{self.moved[0]} requests, {self.moved[1]:.2f} s"
        )
        back = "never" if self.back_s is None else f"{self.back_s:.1f} s"
        took = load.rank([s.took_s for s in self.under], 99)
        opened = "never" if self.opened_s is None else f"after {self.opened_s:.2f} s"
        return (
            f"{self.fault} on {self.primary}: {len(self.under)} requests, "
            f"{self.share:.2%} answered, moved after {moved}, breaker opened {opened}, "
            f"p99 {took:.2f} s, "
            f"calls per request {self.amplification:.3f}, back after {back}"
        )


async def run(
    ground: Ground,
    where: tuple[EnvironmentName, Operation],
    fault: str,
    times: Times,
    seed: int,
) -> Outcome:
    """Load an operation in a place while its primary path fails there; return what was seen."""
    place, operation = where
    rng = random.Random(f"{seed}/{fault}/{operation}")
    primary = oracle.PRIMARY[str(operation)]
    stand_in = ground.stand_ins[primary]
    send = load.caller(ground.router, place, lambda: (operation, None))
    seconds = times.before_s + times.fault_s + times.after_s
    loading = asyncio.create_task(load.open_loop(send, times.rate, seconds, rng))
    await load.pass_time(times.before_s)
    budget_s = ground.matrix.rows[operation].budget_ms / 1000
    told = {**FAULTS[fault], "environment": str(place), "seconds": times.fault_s + 60}
    if fault == "slow":
        told["ms"] = int(budget_s * 1000 * times.slow_share)
    await asyncio.to_thread(stand_in.fault, **told)
    struck = time.monotonic()
    await load.pass_time(times.fault_s)
    await asyncio.to_thread(stand_in.ask, do="clear")
    healed = time.monotonic()
    seen = await loading
    since = {s.decision_id for s in seen if s.began_s >= struck}
    return Outcome(
        fault=fault,
        primary=primary,
        seen=seen,
        struck_s=struck,
        healed_s=healed,
        met=await asyncio.to_thread(_met, ground, place, since),
        opened_s=_opened(ground, place, primary, struck),
    )


def _opened(ground: Ground, place: EnvironmentName, primary: str, struck_s: float) -> float | None:
    found = [
        step.at_us / 1_000_000 - struck_s
        for view in ground.board.views()
        if view.key.environment is place and view.key.path == primary
        for step in view.history
        if step.target is Breaker.OPEN
    ]
    return min([after for after in found if after >= 0], default=None)


def _met(ground: Ground, place: EnvironmentName, since: set[str]) -> int:
    """Return how many calls of those decisions arrived at the other sides."""
    return sum(
        1
        for one in ground.stand_ins.values()
        for entry in one.journal(str(place))
        if entry["event"] == "arrived" and entry["decision"] in since
    )


def problems(outcome: Outcome) -> list[str]:
    """Return which of the promises the outcome breaks."""
    wrong = []
    if outcome.share < SHARE:
        wrong.append(f"only {outcome.share:.2%} were answered under the fault")
    wrong += _moved(outcome)
    over = [s for s in outcome.seen if s.took_s > s.budget_s + OVER_BUDGET_S]
    if over:
        worst = max(s.took_s - s.budget_s for s in over)
        wrong.append(f"{len(over)} were over their budget, by {worst:.2f} s at most")
    if outcome.amplification > MOST_ATTEMPTS:
        wrong.append(f"the other sides were called {outcome.amplification:.3f} times a request")
    if outcome.back_s is None or outcome.back_s > BACK_WITHIN_S:
        wrong.append(f"back on the primary after {outcome.back_s} s")
    return wrong


def _moved(outcome: Outcome) -> list[str]:
    if outcome.moved is None:
        return ["traffic never moved to the other path"]
    wrong = []
    requests, seconds = outcome.moved
    if requests > MOST_REQUESTS and seconds > MOST_S:
        wrong.append(f"traffic moved after {requests} requests and {seconds:.2f} s")
    if outcome.fault == "hang":
        attempt_s = outcome.under[0].budget_s * ATTEMPT_SHARE
        most_s = min(attempt_s, SILENCE_S.get(outcome.primary, attempt_s)) + LATE_S
        if outcome.opened_s is None or outcome.opened_s > most_s:
            wrong.append(f"its breaker opened after {outcome.opened_s} s")
    return wrong


async def both_down(
    ground: Ground,
    place: EnvironmentName,
    times: Times,
    seed: int,
    within_s: float = REFUSED_WITHIN_S,
) -> str:
    """Take both paths away; return a line of figures, raises AssertionError for a slow no."""
    for one in ground.stand_ins.values():
        await asyncio.to_thread(
            one.fault, kind="error", status=503, environment=str(place), seconds=times.fault_s + 60
        )
    send = load.caller(ground.router, place, lambda: (Operation.STANDARD, None))
    seen = await load.open_loop(send, times.rate, times.fault_s, random.Random(seed))
    for one in ground.stand_ins.values():
        await asyncio.to_thread(one.ask, do="clear")
    took = [s.took_s for s in seen]
    p99 = load.rank(took, 99)
    assert {(s.status, s.code) for s in seen} == {(503, "no_path")}
    assert all(s.retry_after_s and 1 <= s.retry_after_s <= 60 for s in seen)
    assert p99 <= within_s, f"both down: told so within {p99 * 1000:.0f} ms at p99"
    return f"both down: {len(seen)} refused, p99 {p99 * 1000:.1f} ms, at most {max(took):.3f} s"
