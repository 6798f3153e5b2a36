"""How well a path is: judged from what was measured lately, the worse of probes and traffic.

Rules and figures: product.md section 5. Not knowing is a state: without a fresh measurement a
path is `unknown`, never healthy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from routing.core.values import Breaker, Health, Operation, Path

WINDOW_US = 60_000_000
LEAST_REAL = 20
DEGRADED_SUCCESS = 95
UNHEALTHY_SUCCESS = 90
SLOW_SHARE = 5
UNHEALTHY_AFTER = 3
HEALTHY_AFTER = 2

# The score's parts, in points of 100, and what a status lets it reach at most.
PROBE_POINTS, SUCCESS_POINTS, BUDGET_POINTS = 60, 30, 10
_CEILING = {Health.HEALTHY: 100, Health.DEGRADED: 79, Health.UNHEALTHY: 49}
FORMULA = (
    f"{PROBE_POINTS} x share of good probes + {SUCCESS_POINTS} x success of real requests + "
    f"{BUDGET_POINTS} x share within budget, over {WINDOW_US // 1_000_000} s; with fewer than "
    f"{LEAST_REAL} real requests the probes stand in for them; degraded reaches at most "
    f"{_CEILING[Health.DEGRADED]}, unhealthy {_CEILING[Health.UNHEALTHY]}, unknown has no score."
)

_WORSE: Sequence[Health] = (
    Health.HEALTHY,
    Health.OFF,
    Health.NOT_CONFIGURED,
    Health.MAINTENANCE,
    Health.UNKNOWN,
    Health.DEGRADED,
    Health.UNHEALTHY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One probe: when it ended (µs of wall time) and whether every stage held."""

    at_us: int
    ok: bool
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Real requests on a path in the window; `failed` are the path's faults, not the callers'."""

    calls: int = 0
    failed: int = 0
    slow: int = 0
    newest_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """That `in_a_row` calls of one operation were silent for `silent_s` s, so others go elsewhere.

    `usual_s` is the median of such calls before, None where too few are known.
    """

    in_a_row: int
    silent_s: float
    usual_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything that the status of one path is judged from.

    `breach` says why compliance shuts the path, empty where it does not: such a path is off and
    red, whatever else is known. `since_us` is when the breaker last went half-open (or closed
    from there), 0 if it never did: older traffic leaves the status, and older probes do once one
    has succeeded since. `traffic` is counted by the caller over the window: what began since
    `since_us`. `lags` are the operations that spare the path now because it is slow.
    """

    path: Path
    configured: bool = True
    switched_on: bool = True
    monitored: bool = True
    maintenance: bool = False
    breach: str = ""
    breaker: Breaker = Breaker.CLOSED
    probes: Sequence[Looked] = ()
    traffic: Traffic = field(default_factory=Traffic)
    lags: Mapping[Operation, Lag] = field(default_factory=dict)
    since_us: int = 0
    interval_us: int = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A status with the sentences that led to it; `score` is None where nothing was measured."""

    status: Health
    score: int | None
    why: tuple[str, ...]


def judge(known: Known, now_us: int) -> Judged:
    """Return the health of one path at `now_us` (µs of wall time)."""
    fixed = _fixed(known)
    if fixed is not None:
        return fixed
    probes = _counted(known, now_us)
    newest = max([p.at_us for p in probes], default=0)
    if known.traffic.calls >= LEAST_REAL:
        newest = max(newest, known.traffic.newest_us)
    if now_us - newest > 2 * known.interval_us:
        seconds = 2 * known.interval_us // 1_000_000
        return Judged(
            status=Health.UNKNOWN, score=None, why=(f"No measurement in the last {seconds} s.",)
        )
    found = [
        _by_probes(probes),
        *_by_traffic(known.traffic),
        *[(Health.DEGRADED, _slow(which, lag)) for which, lag in known.lags.items()],
        _by_breaker(known.breaker, failed=0 if not probes or probes[-1].ok else _run(probes)),
    ]
    status = worst([health for health, _ in found])
    why = tuple(words for health, words in found if health is status and words)
    return Judged(status=status, score=_score(known, probes, status), why=why)


def worst(healths: Sequence[Health]) -> Health:
    """Return the worst of `healths`; of none, unknown."""
    return max(healths, key=_WORSE.index, default=Health.UNKNOWN)


def _fixed(known: Known) -> Judged | None:
    states = (
        (not known.configured, Health.NOT_CONFIGURED, "No settings for this path."),
        (bool(known.breach), Health.UNHEALTHY, known.breach),
        (not known.switched_on, Health.OFF, "Switched off by its flag."),
        (known.maintenance, Health.MAINTENANCE, "In maintenance."),
        (not known.monitored, Health.UNKNOWN, "Monitoring is switched off: nothing is measured."),
    )
    for applies, status, words in states:
        if applies:
            return Judged(status=status, score=None, why=(words,))
    return None


def _counted(known: Known, now_us: int) -> list[Looked]:
    """Return the probes of the window that count, oldest first.

    A wait that is over proves nothing: failures that no success has ended stay, however often the
    breaker went half-open among them.
    """
    lately = [p for p in known.probes if now_us - WINDOW_US <= p.at_us <= now_us]
    lately.sort(key=lambda p: p.at_us)
    unended = len(lately) - (_run(lately) if lately and not lately[-1].ok else 0)
    return [p for n, p in enumerate(lately) if p.at_us >= known.since_us or n >= unended]


def _run(ordered: Sequence[Looked]) -> int:
    """Return how many probes at the end agree with the last one."""
    run = 0
    for probe in reversed(ordered):
        if probe.ok is not ordered[-1].ok:
            break
        run += 1
    return run


def _by_probes(ordered: Sequence[Looked]) -> tuple[Health, str]:
    if not ordered:
        return Health.HEALTHY, ""
    run, last = _run(ordered), ordered[-1]
    if not last.ok:
        status = Health.UNHEALTHY if run >= UNHEALTHY_AFTER else Health.DEGRADED
        times = "The last probe" if run == 1 else f"{run} probes in a row"
        return status, f"{times} failed: {last.problem.rstrip('.') or 'no words'}."
    if run >= HEALTHY_AFTER or run == len(ordered):
        return Health.HEALTHY, ""
    return Health.DEGRADED, f"{run} good probe after a failure; {HEALTHY_AFTER} make it healthy."


def _by_traffic(traffic: Traffic) -> list[tuple[Health, str]]:
    if traffic.calls < LEAST_REAL:
        return []
    good = (traffic.calls - traffic.failed) * 100 / traffic.calls
    slow = traffic.slow * 100 / traffic.calls
    found = []
    if good < DEGRADED_SUCCESS:
        status = Health.UNHEALTHY if good < UNHEALTHY_SUCCESS else Health.DEGRADED
        words = f"{traffic.failed} of {traffic.calls} real requests failed ({good:.1f} % good)."
        found.append((status, words))
    if slow > SLOW_SHARE:
        words = f"{traffic.slow} of {traffic.calls} requests were beyond their budget."
        found.append((Health.DEGRADED, words))
    return found or [(Health.HEALTHY, "")]


def _slow(operation: Operation, lag: Lag) -> str:
    usual = "" if lag.usual_s is None else f" ({lag.usual_s * 1000:.0f} ms are usual)"
    return (
        f"{lag.in_a_row} {operation} calls in a row were silent for over {lag.silent_s:.3g} s"
        f"{usual}: those with another path go there."
    )


def _by_breaker(breaker: Breaker, *, failed: int) -> tuple[Health, str]:
    """Judge a breaker beside the probes: how many `failed` in a row up to the last one."""
    if breaker is Breaker.FORCED_OPEN:
        return Health.UNHEALTHY, "A person holds the breaker open."
    if breaker is Breaker.OPEN:
        return Health.UNHEALTHY, "The breaker is open."
    if breaker is Breaker.HALF_OPEN and failed:
        told = "" if failed >= UNHEALTHY_AFTER else ", and the last probe failed"
        return Health.UNHEALTHY, f"The breaker is half-open{told}."
    if breaker is Breaker.HALF_OPEN:
        return Health.DEGRADED, "The breaker is half-open: trials decide."
    return Health.HEALTHY, ""


def _score(known: Known, probes: Sequence[Looked], status: Health) -> int:
    traffic = known.traffic
    counted = traffic.calls >= LEAST_REAL
    good_calls = 1 - traffic.failed / traffic.calls if counted else 1.0
    in_time = 1 - traffic.slow / traffic.calls if counted else 1.0
    looks = sum(p.ok for p in probes) / len(probes) if probes else good_calls
    if not counted:
        good_calls = in_time = looks
    points = PROBE_POINTS * looks + SUCCESS_POINTS * good_calls + BUDGET_POINTS * in_time
    return min(round(points), _CEILING[status])
