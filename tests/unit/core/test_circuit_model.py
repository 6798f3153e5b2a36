"""The circuit against `circuit_reference`, which shares nothing with it, over random histories.

Hypothesis finds and shrinks what differs; its count follows HYBRIDOPS_EXAMPLES. Ten thousand
longer histories are drawn from the run's seed in every run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from routing.core import circuit as real
from routing.core.circuit import Circuit, CircuitSettings, Permit, PermitKind, Result, Why
from routing.core.values import Breaker
from tests.unit.core import circuit_reference
from tests.unit.core.circuit_reference import Reference, Token

SECOND = 1_000_000
HISTORIES = 10_000


@dataclass(frozen=True)
class Machine:
    """The functions under test; a control swaps one of them for a broken one."""

    admit: Callable[..., tuple[Circuit, Permit | None]] = real.admit
    settle: Callable[..., Circuit] = real.settle
    cancel: Callable[[Circuit, Permit], Circuit] = real.cancel
    probe_ok: Callable[[Circuit, int, int], Circuit] = real.probe_ok
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

    def do_probe(self, took_us: int) -> None:
        began = self.now - took_us
        self.take(self.machine.probe_ok(self.circuit, began, self.now))
        self.reference.probe(began, self.now)

    def do_overtake(self, pick: int, took_us: int, result: Result) -> None:
        """Trials hang; a probe is good that began with the last of them or after it; then one
        of them comes back, before or after a newer one has passed."""
        self.do_ask(4)
        self.now += 1
        self.do_probe(took_us)
        if pick % 2:
            self.do_tell(pick, result, 0.0)
        self.do_burst(1, Result.SUCCESS, 0.0)
        self.do_tell(pick + 1, result, 0.0)

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
probes = st.tuples(st.just("probe"), st.sampled_from([0, 1, 250_000, 3 * SECOND]))
rare = st.one_of(
    st.tuples(
        st.just("force"),
        st.sampled_from([Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED]),
        st.sampled_from([1, 2 * SECOND, 20 * SECOND]),
    ),
    st.tuples(st.just("release")),
    st.tuples(st.just("look")),
)
overtakes = st.tuples(st.just("overtake"), picks, st.integers(0, 1), results)
acts = st.one_of(
    asks, asks, tells, tells, tells, bursts, bursts, cancels, cancels, probes, overtakes, rare
)
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


GAPS = (0, 0, 0, 1, 250_000, SECOND, 3 * SECOND, 5 * SECOND, 70 * SECOND)
RESULTS = (*Result, Result.SUCCESS, Result.FAILURE)
JITTERS = (0.0, 0.25, 0.5)
FORCED = (Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED)


def draw_rules(dice: Random) -> CircuitSettings:
    if dice.random() < 0.3:
        return CircuitSettings()
    return CircuitSettings(
        buckets=dice.randint(1, 10),
        min_calls=dice.randint(2, 9),
        failure_percent=dice.choice((34, 50, 100)),
        slow_percent=dice.choice((50, 80)),
        consecutive_failures=dice.choice((2, 5, 99)),
        open_max_us=dice.choice((5, 15, 60)) * SECOND,
        jitter_percent=dice.choice((0, 20, 100)),
        trial_slots=dice.randint(1, 3),
        trials_to_close=dice.randint(1, 4),
        lease_us=dice.choice((1, 4, 65)) * SECOND,
    )


def draw_act(dice: Random) -> tuple[Any, ...]:
    kind = dice.choices(
        ("ask", "tell", "burst", "cancel", "probe", "overtake", "force", "release", "look"),
        (4, 6, 4, 2, 1, 1, 1, 1, 1),
    )[0]
    if kind == "ask":
        return kind, dice.randint(1, 4)
    if kind == "tell":
        return kind, dice.randint(0, 8), dice.choice(RESULTS), dice.choice(JITTERS)
    if kind == "burst":
        return kind, dice.randint(1, 7), dice.choice(RESULTS), dice.choice(JITTERS)
    if kind == "cancel":
        return kind, dice.randint(0, 8)
    if kind == "overtake":
        return kind, dice.randint(0, 8), dice.randint(0, 1), dice.choice(RESULTS)
    if kind == "probe":
        return kind, dice.choice((0, 1, 250_000, 3 * SECOND))
    if kind == "force":
        return kind, dice.choice(FORCED), dice.choice((1, 2 * SECOND, 20 * SECOND))
    return (kind,)


def draw(dice: Random) -> tuple[CircuitSettings, list[Any]]:
    steps = dice.randint(10, 40)
    return draw_rules(dice), [(dice.choice(GAPS), draw_act(dice)) for _ in range(steps)]


def test_the_reference_imports_nothing_of_the_product() -> None:
    source = Path(str(circuit_reference.__file__)).read_text()
    names = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert names and not any("routing" in name for name in names)


def test_agrees_with_the_reference_on_ten_thousand_histories(seed: int) -> None:
    seen = set()
    for number in range(HISTORIES):
        rule, history = draw(Random(f"{seed}/{number}"))
        run = Run(Machine(), rule)
        for gap_us, act in history:
            run.step(gap_us, act)
        seen |= {why for _, _, why, _ in run.log}
    assert seen == {str(why) for why in Why}, "the histories reach every way to move"


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


def _probe_closes(circuit: Circuit, began: int, now: int) -> Circuit:
    after = real.probe_ok(circuit, began, now)
    return replace(after, stored=Breaker.CLOSED) if after is not circuit else after


def _probe_drops(circuit: Circuit, began: int, now: int) -> Circuit:
    return replace(real.probe_ok(circuit, began, now), overtaken=())


def _never_gives_up(
    circuit: Circuit, rule: Any, permit: Any, result: Any, now: int, **m: Any
) -> Circuit:
    before = real.aged(circuit, now).overtaken
    after = real.settle(circuit, rule, permit, result, now, **m)
    same = after.generation == circuit.generation
    late = tuple(lease for lease in before if lease.number != permit.number)
    return replace(after, overtaken=late) if same else after


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
    "waits for trials that a probe overtook": Machine(
        probe_ok=lambda circuit, _, now: real.probe_ok(circuit, -(10**15), now)
    ),
    "lets a probe overtake what is newer": Machine(
        probe_ok=lambda circuit, _, now: real.probe_ok(circuit, 10**15, now)
    ),
    "forgets the trials that a probe overtook": Machine(probe_ok=_probe_drops),
    "hears late trials after newer ones passed": Machine(settle=_never_gives_up),
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
