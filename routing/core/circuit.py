"""The circuit breaker as a state machine: values in, values out.

Ask `admit` for a permit, make the call outside any lock, hand the permit back with `settle` or
`cancel`. All times are integer µs of one clock that the shell chooses; a clock that is set back
restarts the running terms, so it can never keep a circuit open for longer than they last.
Jitter is an argument in [0, 1). Who shares a Circuit stores it by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from routing.core import window
from routing.core.circuit_state import (
    Circuit,
    CircuitSettings,
    Forced,
    Lease,
    Permit,
    PermitKind,
    Result,
    Timer,
    Transition,
    Why,
    check,
)
from routing.core.errors import Invalid
from routing.core.values import Breaker

__all__ = [
    "Circuit",
    "CircuitSettings",
    "Forced",
    "Lease",
    "Permit",
    "PermitKind",
    "Result",
    "Timer",
    "Transition",
    "Why",
    "admit",
    "aged",
    "cancel",
    "check",
    "follow",
    "force",
    "news",
    "probe_ok",
    "release",
    "settle",
    "state",
    "wait_us",
]

KEPT_TRANSITIONS = 32

# Where a state goes when its term ends. A path that was kept shut is unproven, so it is tried
# first; one that was kept open to traffic has been counting all along and is judged on that.
_AFTER: Mapping[Breaker, Breaker] = {
    Breaker.OPEN: Breaker.HALF_OPEN,
    Breaker.FORCED_OPEN: Breaker.HALF_OPEN,
    Breaker.FORCED_CLOSED: Breaker.CLOSED,
}
_COUNTING = frozenset({Breaker.CLOSED, Breaker.FORCED_CLOSED})
_FORCED = frozenset({Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED})
_ENDS = frozenset({Why.WAIT_OVER, Why.FORCE_ENDED})
_TRIPS = frozenset({Why.FAILURE_RATIO, Why.SLOW_RATIO, Why.CONSECUTIVE_FAILURES})


def admit(
    circuit: Circuit, settings: CircuitSettings, now_us: int
) -> tuple[Circuit, Permit | None]:
    """Return a permit for one call at `now_us`, or None where the circuit holds it back."""
    circuit = aged(circuit, now_us)
    if circuit.stored in _COUNTING:
        return circuit, _permit(circuit, PermitKind.NORMAL)
    if circuit.stored is not Breaker.HALF_OPEN or len(circuit.leases) >= settings.trial_slots:
        return circuit, None
    number = circuit.issued + 1
    lease = Lease(number=number, timer=Timer(since_us=now_us, lasts_us=settings.lease_us))
    permit = _permit(circuit, PermitKind.TRIAL, number)
    return replace(circuit, issued=number, leases=(*circuit.leases, lease)), permit


def _permit(circuit: Circuit, kind: PermitKind, number: int = 0) -> Permit:
    return Permit(generation=circuit.generation, kind=kind, number=number, era=circuit.era)


def settle(  # noqa: PLR0917 - one fact each, in the order of a call
    circuit: Circuit,
    settings: CircuitSettings,
    permit: Permit,
    result: Result,
    now_us: int,
    jitter: float,
) -> Circuit:
    """Return `circuit` after the call of `permit` ended in `result`; `jitter` is in [0, 1).

    A result of an older generation or of another era, or of a trial whose lease lapsed or that
    was settled before, changes nothing. A slow trial is no proof of recovery: it opens the
    circuit like a failed one.
    """
    circuit = aged(circuit, now_us)
    if (permit.generation, permit.era) != (circuit.generation, circuit.era):
        return circuit
    take = _tried if permit.kind is PermitKind.TRIAL else _counted
    circuit, why = take(circuit, settings, permit, result, now_us)
    return circuit if why is None else _open(circuit, settings, why, now_us, jitter)


def cancel(circuit: Circuit, permit: Permit) -> Circuit:
    """Return `circuit` with the slot of `permit` free again; the call counts for nothing."""
    if permit.era != circuit.era:
        return circuit
    left = tuple(lease for lease in circuit.leases if lease.number != permit.number)
    late = tuple(lease for lease in circuit.overtaken if lease.number != permit.number)
    if (len(left), len(late)) == (len(circuit.leases), len(circuit.overtaken)):
        return circuit
    return replace(circuit, leases=left, overtaken=late)


def probe_ok(circuit: Circuit, began_us: int, now_us: int) -> Circuit:
    """Return `circuit` after a good synthetic probe that began then: open becomes half-open.

    It never closes. In half-open, trials that began before the probe give up their slots, for
    they may hang in a fault that is over. Their results count all the same, until a trial that
    was not overtaken passes. A forced circuit stays as the person left it. Report only probes
    that made a real call here; that a connection can be made says little about the calls that
    tripped the circuit.
    """
    circuit = aged(circuit, now_us)
    if circuit.stored is Breaker.OPEN:
        return _move(circuit, Breaker.HALF_OPEN, Why.GOOD_PROBE, now_us)
    late = tuple(lease for lease in circuit.leases if lease.timer.since_us < began_us)
    if not late:
        return circuit
    left = tuple(lease for lease in circuit.leases if lease not in late)
    return replace(circuit, leases=left, overtaken=(*circuit.overtaken, *late))


def follow(  # noqa: PLR0917 - one fact each, in the order of a call
    circuit: Circuit,
    settings: CircuitSettings,
    generation: int,
    why: Why,
    now_us: int,
    jitter: float,
) -> Circuit:
    """Return `circuit` after a move that some process saw in its own copy of `generation`.

    A copy that is behind or was elsewhere moves nothing. That a term is over is believed whatever
    `now_us` says: the process measured it itself, and a clock that is set back must not make it
    longer.
    """
    if generation != circuit.generation:
        return circuit
    if why in _TRIPS and circuit.stored is Breaker.CLOSED:
        return _open(circuit, settings, why, now_us, jitter)
    if why is Why.GOOD_PROBE and circuit.stored is Breaker.OPEN:
        return probe_ok(circuit, now_us, now_us)
    ended = circuit.stored is Breaker.OPEN if why is Why.WAIT_OVER else circuit.stored in _FORCED
    if why in _ENDS and ended:
        return _move(circuit, _AFTER[circuit.stored], why, now_us)
    return circuit


def force(circuit: Circuit, target: Forced, until_us: int, now_us: int) -> Circuit:
    """Return `circuit` held in `target` until `until_us`; raises Invalid for an end in the past.

    Under force-closed results are counted and trip nothing; the first one after it may.
    """
    if until_us <= now_us:
        raise Invalid("A forced breaker needs an end in the future; choose a later end.")
    timer = Timer(since_us=now_us, lasts_us=until_us - now_us)
    return _move(aged(circuit, now_us), target, Why.FORCED, now_us, timer=timer)


def release(circuit: Circuit, now_us: int) -> Circuit:
    """Return `circuit` as if its forced state had ended now; unforced it stays as it is."""
    circuit = aged(circuit, now_us)
    if circuit.stored not in _FORCED:
        return circuit
    return _move(circuit, _AFTER[circuit.stored], Why.RELEASED, now_us)


def state(circuit: Circuit, now_us: int) -> Breaker:
    """Return the state at `now_us`: one whose wait is over is half-open, asked or not."""
    return aged(circuit, now_us).stored


def wait_us(circuit: Circuit, now_us: int) -> int:
    """Return how long until an open or forced state ends, 0 where none runs."""
    timer = aged(circuit, now_us).timer
    return 0 if timer is None else timer.ends_us - now_us


def news(before: Circuit, after: Circuit) -> tuple[Transition, ...]:
    """Return the transitions that led from `before` to `after`, oldest first, to be stored."""
    return tuple(step for step in after.history if step.generation > before.generation)


def aged(circuit: Circuit, now_us: int) -> Circuit:
    """Let end what has ended by `now_us`: waits, forced states, the leases of lost trials."""
    if circuit.timer is not None:
        timer = circuit.timer.seen(now_us)
        if timer.ends_us > now_us:
            return circuit if timer is circuit.timer else replace(circuit, timer=timer)
        why = Why.WAIT_OVER if circuit.stored is Breaker.OPEN else Why.FORCE_ENDED
        return _move(circuit, _AFTER[circuit.stored], why, timer.ends_us)
    if not circuit.leases and not circuit.overtaken:
        return circuit
    left, late = _held(circuit.leases, now_us), _held(circuit.overtaken, now_us)
    return replace(circuit, leases=left, overtaken=late)


def _held(leases: tuple[Lease, ...], now_us: int) -> tuple[Lease, ...]:
    seen = (replace(lease, timer=lease.timer.seen(now_us)) for lease in leases)
    return tuple(lease for lease in seen if lease.timer.ends_us > now_us)


def _move(
    circuit: Circuit,
    target: Breaker,
    why: Why,
    at_us: int,
    *,
    timer: Timer | None = None,
    backoff_us: int | None = None,
) -> Circuit:
    """Begin a new generation in `target`; only what was counted under force-closed goes along."""
    generation = circuit.generation + 1
    step = Transition(
        generation=generation, source=circuit.stored, target=target, why=why, at_us=at_us
    )
    counted = circuit.stored is Breaker.FORCED_CLOSED and target is Breaker.CLOSED
    kept = 0 if target in _COUNTING else circuit.backoff_us
    return Circuit(
        stored=target,
        generation=generation,
        timer=timer,
        window=circuit.window if counted else (),
        consecutive=circuit.consecutive if counted else 0,
        backoff_us=kept if backoff_us is None else backoff_us,
        issued=circuit.issued,
        era=circuit.era,
        history=(*circuit.history, step)[-KEPT_TRANSITIONS:],
    )


def _open(
    circuit: Circuit, settings: CircuitSettings, why: Why, now_us: int, jitter: float
) -> Circuit:
    backoff = min(max(circuit.backoff_us * 2, settings.open_us), settings.open_max_us)
    spread = backoff * settings.jitter_percent // 100
    shorter = int(spread * min(max(jitter, 0.0), 1.0))
    timer = Timer(since_us=now_us, lasts_us=backoff - shorter)
    return _move(circuit, Breaker.OPEN, why, now_us, timer=timer, backoff_us=backoff)


def _tried(
    circuit: Circuit, settings: CircuitSettings, permit: Permit, result: Result, now_us: int
) -> tuple[Circuit, Why | None]:
    """Return the circuit with the result of a trial, and why it has to open, if it has to."""
    freed = cancel(circuit, permit)
    if freed is circuit or result is Result.IGNORED:
        return freed, None
    if result is not Result.SUCCESS:
        return freed, Why.TRIAL_FAILED if result is Result.FAILURE else Why.TRIAL_SLOW
    if freed.passed + 1 < settings.trials_to_close:
        # Nothing that an older trial still has to tell says more than this newer one.
        late = freed.overtaken if len(freed.leases) == len(circuit.leases) else ()
        return replace(freed, passed=freed.passed + 1, overtaken=late), None
    return _move(freed, Breaker.CLOSED, Why.TRIALS_PASSED, now_us), None


def _counted(
    circuit: Circuit, settings: CircuitSettings, _: Permit, result: Result, now_us: int
) -> tuple[Circuit, Why | None]:
    """Return the circuit with one more call in its window, and why it has to open, if so."""
    if result is Result.IGNORED:
        return circuit, None
    failed = result is Result.FAILURE
    counted = Circuit(  # `replace` takes three times as long, and every call is counted here
        stored=circuit.stored,
        generation=circuit.generation,
        timer=circuit.timer,
        window=window.add(
            circuit.window,
            now_us=now_us,
            width_us=settings.bucket_us,
            span=settings.buckets,
            failed=failed,
            slow=result is Result.SLOW,
        ),
        consecutive=circuit.consecutive + 1 if failed else 0,
        backoff_us=circuit.backoff_us,
        leases=circuit.leases,
        overtaken=circuit.overtaken,
        issued=circuit.issued,
        passed=circuit.passed,
        era=circuit.era,
        history=circuit.history,
    )
    forced = counted.stored is Breaker.FORCED_CLOSED
    return counted, None if forced else _trips(counted, settings)


def _trips(circuit: Circuit, settings: CircuitSettings) -> Why | None:
    if circuit.consecutive >= settings.consecutive_failures:
        return Why.CONSECUTIVE_FAILURES
    seen = window.totals(circuit.window)
    if seen.calls < settings.min_calls:
        return None
    if seen.failures * 100 >= seen.calls * settings.failure_percent:
        return Why.FAILURE_RATIO
    return Why.SLOW_RATIO if seen.slow * 100 >= seen.calls * settings.slow_percent else None
