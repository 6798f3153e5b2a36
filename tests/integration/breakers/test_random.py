"""Random histories of four processes on one store, some of them away: what holds in all."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from django.db import transaction

from routing.breakers import store
from routing.breakers.held import SHARED, Held
from routing.breakers.models import BreakerMove, SharedBreaker
from routing.breakers.store import Forcing
from routing.core import circuit
from routing.core.circuit import Circuit, Forced, Permit, PermitKind, Result, Why
from routing.core.values import Breaker
from routing.fleet import clock
from tests.integration.breakers.ground import KEY, RULES, Fleet, Member, lay, stored

pytestmark = pytest.mark.django_db(transaction=True)
HISTORIES, STEPS, SIZE = 24, 60, 4
RESULTS = (Result.SUCCESS, Result.SUCCESS, Result.FAILURE, Result.SLOW, Result.IGNORED)
FORCED: tuple[Forced, Forced] = (Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED)
STEPPED = (
    "ask", "tell", "fail", "probe", "round", "time", "together", "mend",
    "away", "force", "release",
)  # fmt: skip
LIKELY = (8, 8, 2, 1, 14, 2, 2, 2, 1, 0.5, 0.5)
COMMON = {Why.CONSECUTIVE_FAILURES, Why.WAIT_OVER, Why.FORCED}


class History:
    """One history; it holds the permits that callers have in hand, and what must be true."""

    def __init__(self, dice: Random) -> None:
        SharedBreaker.objects.all().delete()
        self.dice = dice
        self.fleet = Fleet(SIZE)
        self.out: list[tuple[Member, Permit]] = []
        self.generation = 0
        self.probed = False  # whether a good probe is still to be told of
        self.overtakable = 0  # the number of the last trial that one may have overtaken

    def step(self) -> None:
        name = self.dice.choices(STEPPED, LIKELY)[0]
        getattr(self, name)(self.dice.choice(self.fleet.members))
        self.check()

    def ask(self, member: Member) -> None:
        self.out += [(member, permit) for permit in member.permits(self.dice.randint(1, 3))]

    def tell(self, _: Member) -> None:
        if not self.out:
            return
        member, permit = self.out.pop(self.dice.randrange(len(self.out)))
        if self.dice.random() < 0.2:
            member.board.cancel(KEY, permit)
        else:
            member.board.settle(KEY, permit, self.dice.choice(RESULTS))

    def fail(self, member: Member) -> None:
        for permit in member.permits(RULES.consecutive_failures):
            member.board.settle(KEY, permit, Result.FAILURE)

    def probe(self, member: Member) -> None:
        member.board.probe_ok(KEY)

    def round(self, member: Member) -> None:
        member.sharing.round()

    def time(self, _: Member) -> None:
        self.fleet.pass_time(self.dice.choice((0.2, 1.0, 3.0)), away=True)

    def together(self, _: Member) -> None:
        self.fleet.pass_time(self.dice.choice((1.0, 5.0)))

    def mend(self, member: Member) -> None:
        """Let the path be well for a while, as `member` finds it."""
        for _ in range(2 * RULES.trials_to_close):
            for permit in member.permits(1):
                member.board.settle(KEY, permit, Result.SUCCESS)
            member.sharing.round()

    def away(self, member: Member) -> None:
        member.board.part()

    def force(self, _: Member) -> None:
        seconds = self.dice.choice((2, 60))
        self.write(
            lambda found, at_us: circuit.force(
                found, self.dice.choice(FORCED), at_us + seconds * 1_000_000, at_us
            )
        )

    def release(self, _: Member) -> None:
        self.write(circuit.release)

    def write(self, move: Callable[[Circuit, int], Circuit]) -> None:
        with transaction.atomic():
            kept = stored()
            after = move(kept.circuit, store.at_us(clock.read(self.fleet.now)))
            store.swap(kept, after, forcing=Forcing(by="user:x", reason="drawn"))

    def check(self) -> None:
        kept = stored().circuit
        assert kept.generation >= self.generation, "generations only grow"
        self.generation = kept.generation
        assert len(kept.leases) <= RULES.trial_slots
        untold = any(held.probed_us is not None for held in self.helds())
        if untold or self.probed:
            self.overtakable = kept.issued
        self.probed = untold
        held = {
            permit.number
            for _, permit in self.out
            if permit.kind is PermitKind.TRIAL
            and (permit.era, permit.generation) == (SHARED, kept.generation)
        }
        slots = {lease.number for lease in kept.leases}
        late = {number for number in held - slots if number <= self.overtakable}
        assert held - late <= slots, "each trial out has its own slot, unless a probe overtook it"

    def helds(self) -> list[Held]:
        found = (member.board._helds.get(KEY) for member in self.fleet.members)
        return [held for held in found if held is not None]

    def settle_down(self) -> None:
        """Let everybody be back and hear everybody."""
        self.fleet.rounds(4)
        found = stored().circuit
        at_us = store.at_us(clock.read(self.fleet.now))
        assert self.fleet.states() == {circuit.state(found, at_us)}
        assert all(view.shared for m in self.fleet.members for view in m.board.views())


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()


def test_any_history_keeps_the_bounds_and_ends_in_agreement(seed: int) -> None:
    for number in range(HISTORIES):
        history = History(Random(f"{seed}/{number}"))
        for _ in range(STEPS):
            history.step()
        history.settle_down()
    seen = set(BreakerMove.objects.filter(alone=False).values_list("why", flat=True))
    assert {str(why) for why in COMMON} <= seen, "the histories reach what they are about"
