"""Five times what the process takes: who is served, who is sent away and how soon, and the end.

The capacity is set low on purpose, so that the line is what is tried and not the machine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path as Folder

from routing.core.admission import QueueSettings
from routing.core.values import EnvironmentName, Operation, Priority
from tests.chaos import load
from tests.chaos.ground import Ground, Terms
from tests.chaos.load import Seen

TIMES, FULL = 5, 1.5
ONSET_S = 1.0  # a burst may wait for half a second; only then it is known for an overload
URGENT_SHARE = 0.02
GOODPUT = 0.8
REFUSED_WITHIN_S = 0.1
NORMAL_WITHIN_S = 10.0
MOST_GROWTH_MB = 32.0  # while the overload lasts; the list of what was seen is in it
PLACE = EnvironmentName.PRODUCTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """So many places, each taken for so long; `rate` is what they serve if nothing else cost."""

    capacity: int
    latency_ms: int

    @property
    def rate(self) -> float:
        return self.capacity * 1000 / self.latency_ms

    @property
    def terms(self) -> Terms:
        queue = QueueSettings(capacity=self.capacity, reserved=4, room=2 * self.capacity)
        return Terms(queue=queue, latency_ms=self.latency_ms, budget_ms=5000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was seen at 5 x the capacity, and at half of it afterwards.

    `peak` and `goodput` are answers a second, to the same mixture at 1.5 x and at 5 x.
    """

    peak: float
    seen: Sequence[Seen]
    after: Sequence[Seen]
    goodput: float
    grew_mb: float

    @property
    def calm(self) -> list[Seen]:
        return [s for s in self.seen if s.operation is not Operation.EMERGENCY]

    @property
    def urgent(self) -> list[Seen]:
        return [s for s in self.seen if s.operation is Operation.EMERGENCY]

    @property
    def refused(self) -> list[Seen]:
        return [s for s in self.calm if s.status != 200]

    @property
    def refused_s(self) -> list[float]:
        """How long those had to wait who came once the overload was one."""
        since = self.seen[0].began_s + ONSET_S
        return [s.took_s for s in self.refused if s.began_s >= since]

    @property
    def normal_s(self) -> float | None:
        """Seconds after the overload from which on nobody was refused."""
        refused = [n for n, s in enumerate(self.after) if s.status != 200]
        rest = self.after[refused[-1] + 1 :] if refused else self.after
        return rest[0].began_s - self.after[0].began_s if rest else None

    def line(self) -> str:
        refused = [s * 1000 for s in self.refused_s]
        urgent = [s.took_s for s in self.urgent]
        normal = "never" if self.normal_s is None else f"{self.normal_s:.1f} s"
        return (
            f"overload: peak {self.peak:.0f}/s, {len(self.seen)} requests at {TIMES} x, "
            f"goodput {self.goodput / self.peak:.0%}; {len(self.refused)} refused, after the "
            f"onset within {load.rank(refused, 50):.0f} ms p50, {load.rank(refused, 99):.0f} p99, "
            f"{max(refused, default=0):.0f} at most, in the onset {self.onset_ms:.0f} at most; "
            f"{len(urgent)} emergencies p99 {load.rank(urgent, 99):.2f} s; "
            f"memory {self.grew_mb:+.1f} MiB; normal after {normal}"
        )

    @property
    def onset_ms(self) -> float:
        return max((s.took_s * 1000 for s in self.refused), default=0.0)


async def run(ground: Ground, size: Size, times: tuple[float, float], seed: int) -> Outcome:
    """Measure the peak, then five times as much, then half of it; seconds of calm and overload."""
    calm_s, overload_s = times
    rng = random.Random(seed)
    send = load.caller(ground.router, PLACE, _mixed(rng))
    usual = load.caller(ground.router, PLACE, lambda: (Operation.STANDARD, None))
    at_peak = await load.open_loop(send, size.rate * FULL, calm_s, rng)
    before = _resident_mb()
    seen = await load.open_loop(send, size.rate * TIMES, overload_s, rng)
    grew_mb = _resident_mb() - before
    after = await load.open_loop(usual, size.rate / 2, calm_s, rng)
    return Outcome(
        peak=_answers(at_peak, size, calm_s),
        goodput=_answers(seen, size, overload_s),
        seen=seen,
        after=after,
        grew_mb=grew_mb,
    )


def _answers(seen: Sequence[Seen], size: Size, lasted_s: float) -> float:
    """Return the answers a second while it was full: from one latency after the beginning on."""
    since = seen[0].began_s + size.latency_ms / 1000
    until = seen[0].began_s + lasted_s
    counted = sum(s.status == 200 and since <= s.began_s + s.took_s < until for s in seen)
    return counted / (until - since)


def problems(
    outcome: Outcome, within_s: float = REFUSED_WITHIN_S, percent: float = 99
) -> list[str]:
    """Return which of the promises the outcome breaks; so many per cent are refused in time."""
    wrong = []
    if outcome.goodput < GOODPUT * outcome.peak:
        wrong.append(f"goodput fell to {outcome.goodput / outcome.peak:.0%} of the peak")
    late_s = load.rank(outcome.refused_s, percent)
    if not outcome.refused_s or late_s > within_s:
        wrong.append(f"{len(outcome.refused_s)} were refused, within {late_s:.2f} s")
    untold = [s for s in outcome.refused if not s.retry_after_s]
    if untold or {s.code for s in outcome.refused} - {"shed"}:
        wrong.append("somebody was refused without the word or the time to come back")
    urgent = outcome.urgent
    if any(s.status != 200 or s.took_s > s.budget_s for s in urgent) or not urgent:
        wrong.append("an emergency was not answered within its budget")
    if outcome.grew_mb > MOST_GROWTH_MB:
        wrong.append(f"memory grew by {outcome.grew_mb:.0f} MiB")
    if outcome.normal_s is None or outcome.normal_s > NORMAL_WITHIN_S:
        wrong.append(f"normal again after {outcome.normal_s} s")
    return wrong


def _mixed(rng: random.Random) -> Callable[[], tuple[Operation, Priority | None]]:
    def draw() -> tuple[Operation, Priority | None]:
        if rng.random() < URGENT_SHARE:
            return Operation.EMERGENCY, None
        return Operation.STANDARD, rng.choice(list(Priority))

    return draw


def _resident_mb() -> float:
    pages = int(Folder("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1024**2
