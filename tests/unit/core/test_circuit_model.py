"""The circuit against a reference that keeps every event and works everything out from the log.

The reference shares no code with `routing.core.circuit` but its settings and words. Histories
are random; the count follows HYBRIDOPS_EXAMPLES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from routing.core import circuit as real
from routing.core.circuit import Circuit, CircuitSettings, Permit, PermitKind, Result
from routing.core.values import Breaker

SECOND = 1_000_000
Token = tuple[int, int]


@dataclass
class Reference:
    """A naive breaker: a log of events, scanned again for every question."""

    rules: CircuitSettings
    mode: str = "closed"
    until: int | None = None
    epoch: int = 0
    calls: list[tuple[int, str]] = field(default_factory=list)
    out: dict[Token, int] = field(default_factory=dict)
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
        if self.mode == "half_open" and len(self.out) < self.rules.trial_slots:
            self.out[(self.epoch, name)] = now + self.rules.lease_us
            return (self.epoch, name)
        return None

    def tell(self, token: Token, result: str, now: int, jitter: float) -> None:
        self.pass_time(now)
        if token[0] != self.epoch:
            return
        if self.mode == "half_open":
            if self.out.pop(token, None) is not None:
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

    def probe(self, now: int) -> None:
        self.pass_time(now)
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


@dataclass(frozen=True)
class Machine:
    """The functions under test; a control swaps one of them for a broken one."""

    admit: Callable[..., tuple[Circuit, Permit | None]] = real.admit
    settle: Callable[..., Circuit] = real.settle
    cancel: Callable[[Circuit, Permit], Circuit] = real.cancel
    probe_ok: Callable[[Circuit, int], Circuit] = real.probe_ok
    force: Callable[..., Circuit] = real.force
    release: Callable[[Circuit, int], Circuit] = real.release


class Run:
    """Drive both through one history and compare them after every step."""

    def __init__(self, machine: Machine, rules: CircuitSettings) -> None:
        self.machine, self.rules = machine, rules
        self.circuit, self.reference = Circuit(), Reference(rules)
        self.now = 0
        self.log: list[tuple[str, str, str, int]] = []
        self.out: list[tuple[Permit, Token]] = []
        self.asked = 0

    def step(self, gap_us: int, act: tuple[Any, ...]) -> None:
        self.now += gap_us
        getattr(self, f"do_{act[0]}")(*act[1:])
        self.compare()

    def take(self, circuit: Circuit) -> None:
        self.log += [
            (str(t.source), str(t.target), str(t.why), t.at_us)
            for t in real.news(self.circuit, circuit)
        ]
        self.circuit = circuit

    def do_ask(self, count: int) -> None:
        for _ in range(count):
            self.ask()

    def ask(self) -> None:
        self.asked += 1
        circuit, permit = self.machine.admit(self.circuit, self.rules, self.now)
        self.take(circuit)
        token = self.reference.ask(self.now, self.asked)
        assert (permit is None) == (token is None), "one admits, the other does not"
        if permit is not None and token is not None:
            self.out.append((permit, token))

    def do_tell(self, pick: int, result: Result, jitter: float) -> None:
        if not self.out:
            return
        permit, token = self.out[pick % len(self.out)]
        # A trial may be settled twice: the second one has to change nothing.
        if permit.kind is PermitKind.NORMAL or pick % 3:
            self.out.remove((permit, token))
        self.take(
            self.machine.settle(self.circuit, self.rules, permit, result, self.now, jitter=jitter)
        )
        self.reference.tell(token, str(result), self.now, jitter)

    def do_burst(self, count: int, result: Result, jitter: float) -> None:
        for _ in range(count):
            asked = len(self.out)
            self.ask()
            if len(self.out) > asked:
                self.do_tell(len(self.out) - 1, result, jitter)

    def do_cancel(self, pick: int) -> None:
        if self.out:
            permit, token = self.out.pop(pick % len(self.out))
            self.take(self.machine.cancel(self.circuit, permit))
            self.reference.forget(token)

    def do_probe(self) -> None:
        self.take(self.machine.probe_ok(self.circuit, self.now))
        self.reference.probe(self.now)

    def do_force(self, target: Breaker, lasts_us: int) -> None:
        until = self.now + lasts_us
        self.take(self.machine.force(self.circuit, target, until, self.now))
        self.reference.hold(str(target), self.now, until)

    def do_release(self) -> None:
        self.take(self.machine.release(self.circuit, self.now))
        self.reference.let_go(self.now)

    def do_look(self) -> None:
        """Only time passes."""

    def compare(self) -> None:
        self.reference.pass_time(self.now)
        assert str(real.state(self.circuit, self.now)) == self.reference.mode
        until = self.reference.until
        left = 0 if until is None else until - self.now
        assert real.wait_us(self.circuit, self.now) == left
        # What only time has changed is stored at the next touch; the reference is ahead of it.
        ahead = len(self.reference.log) - len(self.log)
        assert self.log == self.reference.log[: len(self.log)] and 0 <= ahead <= 1


results = st.sampled_from([*Result, Result.SUCCESS, Result.FAILURE])
jitters = st.sampled_from([0.0, 0.25, 0.5])
picks = st.integers(0, 8)
gaps = st.sampled_from([0, 0, 0, 1, 250_000, SECOND, 3 * SECOND, 5 * SECOND, 70 * SECOND])
asks = st.tuples(st.just("ask"), st.integers(1, 4))
tells = st.tuples(st.just("tell"), picks, results, jitters)
bursts = st.tuples(st.just("burst"), st.integers(1, 7), results, jitters)
cancels = st.tuples(st.just("cancel"), picks)
rare = st.one_of(
    st.tuples(st.just("probe")),
    st.tuples(
        st.just("force"),
        st.sampled_from([Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED]),
        st.sampled_from([1, 2 * SECOND, 20 * SECOND]),
    ),
    st.tuples(st.just("release")),
    st.tuples(st.just("look")),
)
acts = st.one_of(asks, asks, tells, tells, tells, bursts, bursts, cancels, rare)
histories = st.lists(st.tuples(gaps, acts), min_size=30, max_size=60)
small = st.builds(
    CircuitSettings,
    buckets=st.integers(1, 10),
    min_calls=st.integers(2, 9),
    failure_percent=st.sampled_from([34, 50, 100]),
    slow_percent=st.sampled_from([50, 80]),
    consecutive_failures=st.sampled_from([2, 5, 99]),
    open_max_us=st.sampled_from([5 * SECOND, 15 * SECOND, 60 * SECOND]),
    jitter_percent=st.sampled_from([0, 20, 100]),
    trial_slots=st.integers(1, 3),
    trials_to_close=st.integers(1, 4),
    lease_us=st.sampled_from([SECOND, 4 * SECOND, 65 * SECOND]),
)
rules = st.one_of(st.just(CircuitSettings()), small, small)


def follow(machine: Machine, rule: CircuitSettings, history: list[Any]) -> None:
    run = Run(machine, rule)
    for gap_us, act in history:
        run.step(gap_us, act)


@given(rules, histories)
def test_agrees_with_the_reference_on_any_history(
    rule: CircuitSettings, history: list[Any]
) -> None:
    follow(Machine(), rule, history)


def _settle(change: Callable[..., dict[str, Any]]) -> Callable[..., Circuit]:
    """Return a settle that is told something else than what happened."""

    def settle(circuit: Any, rule: Any, permit: Any, result: Any, now: int, **m: Any) -> Circuit:
        told: dict[str, Any] = {
            "circuit": circuit,
            "rule": rule,
            "permit": permit,
            "result": result,
        }
        told |= change(**told)
        args = (told["circuit"], told["rule"], told["permit"], told["result"])
        return real.settle(*args, now, **m)

    return settle


def _forgives_nothing(circuit: Circuit, result: Result, **_: Any) -> dict[str, Any]:
    return {"result": Result.FAILURE if result is Result.IGNORED else result}


def _takes_late_results(circuit: Circuit, permit: Permit, **_: Any) -> dict[str, Any]:
    return {"permit": replace(permit, generation=circuit.generation)}


def _never_doubles(circuit: Circuit, **_: Any) -> dict[str, Any]:
    return {"circuit": replace(circuit, backoff_us=0)}


def _trips_one_late(rule: CircuitSettings, **_: Any) -> dict[str, Any]:
    return {"rule": replace(rule, min_calls=rule.min_calls + 1)}


def _closes_one_early(rule: CircuitSettings, **_: Any) -> dict[str, Any]:
    return {"rule": replace(rule, trials_to_close=max(1, rule.trials_to_close - 1))}


def _keeps_the_run(
    circuit: Circuit, rule: Any, permit: Any, result: Any, now: int, **m: Any
) -> Circuit:
    after = real.settle(circuit, rule, permit, result, now, **m)
    same = after.generation == circuit.generation
    kept = max(circuit.consecutive, after.consecutive)
    return replace(after, consecutive=kept) if same else after


def _admit(**changed: int) -> Callable[..., tuple[Circuit, Permit | None]]:
    return lambda circuit, rule, now: real.admit(circuit, replace(rule, **changed), now)


def _probe_closes(circuit: Circuit, now: int) -> Circuit:
    after = real.probe_ok(circuit, now)
    return replace(after, stored=Breaker.CLOSED) if after is not circuit else after


BROKEN = {
    "counts the caller's faults": Machine(settle=_settle(_forgives_nothing)),
    "takes late results": Machine(settle=_settle(_takes_late_results)),
    "never doubles its wait": Machine(settle=_settle(_never_doubles)),
    "trips one call late": Machine(settle=_settle(_trips_one_late)),
    "closes one trial early": Machine(settle=_settle(_closes_one_early)),
    "lets no success end a run": Machine(settle=_keeps_the_run),
    "leaks the slot of a cancelled trial": Machine(cancel=lambda circuit, _: circuit),
    "never gives up a lost trial": Machine(admit=_admit(lease_us=10**15)),
    "bounds no trials": Machine(admit=_admit(trial_slots=10**6)),
    "closes on a good probe": Machine(probe_ok=_probe_closes),
    "forces for ever": Machine(
        force=lambda circuit, to, until, now: real.force(circuit, to, until + 10**12, now)
    ),
    "cannot be released": Machine(release=lambda circuit, _: circuit),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_the_reference_catches_a_breaker_that(fault: str) -> None:
    """The negative control: the comparison has to see each of these faults."""

    @hypothesis_settings(
        max_examples=1500,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(rules, histories)
    def compare(rule: CircuitSettings, history: list[Any]) -> None:
        follow(BROKEN[fault], rule, history)

    with pytest.raises(AssertionError):
        compare()
