"""One breaker as a process holds it: its circuit, and what it owes to the store and has from it.

Linked, the circuit is a copy of the stored one that runs ahead by the moves noted here; trials
need a permit that the store gave. Alone (no store, or one that is away) it follows the same rules
by itself, under an era of its own, so that nothing of that time counts for the shared one.
Times are µs of the process's own clock. Nothing here waits or locks: the board does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from routing.core import circuit
from routing.core.circuit import (
    Circuit,
    CircuitSettings,
    Permit,
    PermitKind,
    Result,
    Timer,
    Transition,
    Why,
)
from routing.core.values import Breaker, EnvironmentName, Path

SHARED = 0  # the era of what all processes count together
USED_US = 60_000_000  # who routed over it this lately keeps a trial at hand
GRANT_US = 5_000_000  # a trial kept at hand goes back: its lease has to outlast the call yet
_KEPT_MOVES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a breaker guards; `target` is region and model, or the MCP server.

    A `private` one is this process's alone, such as one that a check walks through its states.
    """

    environment: EnvironmentName
    path: Path
    target: str
    private: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """That a copy left `generation`, and why."""

    generation: int
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a trial ended; `result` None gives its slot back without counting it."""

    permit: Permit
    result: Result | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A stored breaker with its terms in this process's time.

    `wanted`: somebody waits for a trial slot, and none is free.
    """

    circuit: Circuit = field(default_factory=Circuit)
    why: Why = Why.WAIT_OVER
    wanted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a process has to tell the store of one breaker, and how many trials it wants.

    `alone` is the circuit that went on from generation `base` while the store was away,
    `probed_us` when the last good probe began that trials under way are to hear of.
    """

    key: Key
    moves: tuple[Move, ...] = ()
    ends: tuple[End, ...] = ()
    want: int = 0
    alone: Circuit | None = None
    base: int = 0
    probed_us: int | None = None


@dataclass(slots=True, kw_only=True)
class Held:
    """One breaker of this process; `base` is the generation that the store was last seen in."""

    circuit: Circuit
    base: int = 0
    moves: list[Move] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    grants: list[tuple[Permit, int]] = field(default_factory=list)
    held_back: int = 0
    wanted: bool = False
    in_vain: bool = False
    probed_us: int | None = None  # when a good probe began that the store was not told of
    used_us: int = -USED_US
    settled: int | None = None  # the generation up to which the store knows what was done alone

    @property
    def linked(self) -> bool:
        """Tell whether the circuit is a copy of the stored one."""
        return self.circuit.era == SHARED

    def admit(self, settings: CircuitSettings, now_us: int) -> Permit | None:
        """Return leave for one call; a trial, while linked, out of those that the store gave."""
        self.used_us = now_us
        after, permit = circuit.admit(self.circuit, settings, now_us)
        if permit is None or permit.kind is PermitKind.NORMAL or not self.linked:
            self.put(after)
            return permit
        self.put(circuit.cancel(after, permit))
        while self.grants:
            granted, _ = self.grants.pop(0)
            if granted.generation == self.circuit.generation:
                return granted
        self.held_back += 1
        return None

    def settle(
        self,
        settings: CircuitSettings,
        permit: Permit,
        result: Result,
        now_us: int,
        jitter: Callable[[], float],
    ) -> None:
        """Count the call of `permit`; how a shared trial ended is the store's to count."""
        if _is_shared_trial(permit):
            self.ends.append(End(permit=permit, result=result))
            return
        self.put(circuit.settle(self.circuit, settings, permit, result, now_us, jitter()))

    def cancel(self, permit: Permit) -> None:
        """Give the slot of `permit` back without counting its call."""
        if _is_shared_trial(permit):
            self.ends.append(End(permit=permit, result=None))
            return
        self.put(circuit.cancel(self.circuit, permit))

    def probe_ok(self, began_us: int, now_us: int) -> None:
        """Let a good probe that began then end a wait; of shared trials the store is to hear."""
        before = self.circuit.generation
        self.put(circuit.probe_ok(self.circuit, began_us, now_us))
        half_open = self.circuit.stored is Breaker.HALF_OPEN
        if self.linked and half_open and self.circuit.generation == before:
            self.probed_us = began_us

    def put(self, after: Circuit) -> None:
        """Take `after` as the circuit; what moved is noted for the store while linked."""
        if after.generation != self.circuit.generation and self.linked:
            self.moves += [
                Move(generation=step.generation - 1, why=step.why)
                for step in circuit.news(self.circuit, after)
            ]
        self.circuit = after

    def part(self, era: int) -> None:
        """Go on alone: nobody can be asked for trials, so the process has its own."""
        if not self.linked:
            return
        self.ends += [End(permit=permit, result=None) for permit, _ in self.grants]
        self.grants, self.moves = [], []  # what was not told yet is part of what is done alone
        self.held_back, self.settled, self.probed_us = 0, None, None
        self.circuit = replace(self.circuit, era=era, leases=(), overtaken=(), passed=0)

    def leave(self) -> None:
        """Give all back that lies idle here, and want no more of it."""
        self.ends += [End(permit=permit, result=None) for permit, _ in self.grants]
        self.grants, self.held_back, self.used_us = [], 0, -USED_US

    def errand(self, key: Key, now_us: int) -> Errand | None:
        """Return what there is to tell and to ask, None when it is nothing."""
        if not self.linked:
            if self.circuit.generation in (self.base, self.settled) and not self.ends:
                return None
            moved = self.circuit.generation != self.base
            return Errand(
                key=key,
                ends=tuple(self.ends),
                alone=self.circuit if moved else None,
                base=self.base,
            )
        self._give_back(now_us)
        want = self._want(now_us)
        if not (self.moves or self.ends or want or self.probed_us is not None):
            return None
        return Errand(
            key=key,
            moves=tuple(self.moves),
            ends=tuple(self.ends),
            want=want,
            probed_us=self.probed_us,
        )

    def done(self, errand: Errand, grants: tuple[Permit, ...], now_us: int) -> None:
        """Forget what the store was told and keep the trials that it gave."""
        del self.moves[: len(errand.moves)]
        del self.ends[: len(errand.ends)]
        self.grants += [(permit, now_us) for permit in grants]
        if self.probed_us == errand.probed_us:
            self.probed_us = None
        if errand.alone is not None:
            self.settled = errand.alone.generation
        if errand.want:
            self.held_back = max(0, self.held_back - len(grants))
            self.in_vain = len(grants) < errand.want

    def take(self, copy: Copy, now_us: int) -> None:
        """Become the stored circuit, unless there is something that the store was not told."""
        self.wanted = copy.wanted
        if self.moves or not self._may_join():
            return
        fresh, old = copy.circuit, self.circuit
        self.base = fresh.generation
        same = (fresh.generation, fresh.stored) == (old.generation, old.stored)
        if same and self.linked:
            return  # its term goes on by our own clock, whatever became of the other one
        kept = fresh.stored is Breaker.CLOSED and (
            old.stored is Breaker.FORCED_CLOSED or fresh.generation == old.generation
        )
        self.circuit = replace(
            fresh,
            era=SHARED,
            leases=(),
            overtaken=(),
            window=old.window if kept else (),
            consecutive=old.consecutive if kept else 0,
            history=(*old.history, *_seen(old, copy, now_us))[-_KEPT_MOVES:],
        )
        self.held_back, self.in_vain, self.settled = 0, False, None

    def _may_join(self) -> bool:
        return self.linked or self.circuit.generation in (self.base, self.settled)

    def _give_back(self, now_us: int) -> None:
        """Let go of trials that are of no use here, or of more use elsewhere."""
        waited_for = self.wanted and not self.held_back
        kept = [
            (permit, given_us)
            for permit, given_us in self.grants
            if permit.generation == self.circuit.generation
            and now_us - given_us < GRANT_US
            and not waited_for
        ]
        gone = [permit for permit, _ in self.grants if permit not in {p for p, _ in kept}]
        self.ends += [End(permit=permit, result=None) for permit in gone]
        self.grants = kept

    def _want(self, now_us: int) -> int:
        if self.circuit.stored is not Breaker.HALF_OPEN:
            self.held_back = 0
            return 0
        eager = now_us - self.used_us <= USED_US and not self.wanted
        return max(0, max(self.held_back, int(eager)) - len(self.grants))


def local(found: Circuit, at_us: int, now_us: int) -> Circuit:
    """Return a stored circuit with its term in our time: `at_us` there is `now_us` here.

    What is left is at most the whole term, whichever clock was set back.
    """
    if found.timer is None:
        return found
    run_us = min(max(at_us - found.timer.since_us, 0), found.timer.lasts_us)
    return replace(found, timer=Timer(since_us=now_us - run_us, lasts_us=found.timer.lasts_us))


def _is_shared_trial(permit: Permit) -> bool:
    return permit.kind is PermitKind.TRIAL and permit.era == SHARED


def _seen(old: Circuit, copy: Copy, now_us: int) -> tuple[Transition, ...]:
    if copy.circuit.stored is old.stored:
        return ()
    return (
        Transition(
            generation=copy.circuit.generation,
            source=old.stored,
            target=copy.circuit.stored,
            why=copy.why,
            at_us=now_us,
        ),
    )
