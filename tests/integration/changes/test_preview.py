"""The effect that is shown before a change is what the change then does, request by request."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path as Folder
from random import Random

import pytest

from routing.breakers.board import Board
from routing.changes import preview
from routing.compliance.gate import Policy
from routing.core import replay
from routing.core.decision import PathFacts, State, Versions
from routing.core.flags import NOBODY, FlagName
from routing.core.matrix import DEFAULT
from routing.core.replay import Proposal
from routing.core.values import Failure, Health, Operation, Path
from routing.decisions import replay as stored
from routing.decisions.log import DecisionLog
from routing.decisions.record import Caller
from routing.decisions.shipper import Shipper
from routing.flags import snapshot
from routing.paths.base import Message
from routing.paths.scripted import ScriptedClient, fails
from routing.router import Ask, IntelligentRouter, Routed
from tests.integration.changes.ground import PROVEN, STG, apply, lay, to
from tests.unit.stage import NOW

pytestmark = pytest.mark.django_db(transaction=True)
MCP, FALLBACK = FlagName.MCP_INTEGRATION, FlagName.DIRECT_FALLBACK
CALLER = Caller(environment=STG, token="tok_1", tenant="acme")
COUNT = 60


class Traffic:
    """The same requests, over paths that do the same each time, under the flags in force."""

    def __init__(self, seed: int) -> None:
        rng = Random(seed)
        self.operations = [rng.choice(list(Operation)) for _ in range(COUNT)]
        failing = fails(Failure.UNREACHABLE)
        self._answers = [rng.random() < 0.8 for _ in range(COUNT)]
        self._broken = failing

    def route(self, log: DecisionLog) -> list[Routed]:
        """Route all of them one after the other; return what became of each."""

        async def all_of_them() -> list[Routed]:
            return [await self._one(number, log) for number in range(COUNT)]

        return asyncio.run(all_of_them())

    async def _one(self, number: int, log: DecisionLog) -> Routed:
        mcp = ScriptedClient(path=Path.MCP)
        if not self._answers[number]:
            mcp = ScriptedClient(path=Path.MCP, otherwise=self._broken)
        clients = {Path.MCP: mcp, Path.DIRECT_BEDROCK: ScriptedClient(path=Path.DIRECT_BEDROCK)}
        router = IntelligentRouter(
            situation=lambda *_: situation(),
            client=lambda _, path: clients[path],
            board=Board(),
            log=log,
            clock=lambda: NOW,
            policy=Policy(),
        )
        words = (Message(role="user", text=f"Request {number}"),)
        return await router.route(
            Ask(caller=CALLER, operation=self.operations[number], messages=words)
        )


def situation() -> State:
    kept = snapshot.current()
    return State(
        matrix=DEFAULT,
        flags=kept.evaluate(STG, NOBODY),
        paths=dict.fromkeys(Path, PathFacts(health=Health.HEALTHY)),
        versions=Versions(flags=kept.environments[STG].version),
    )


@pytest.fixture
def log(tmp_path: Folder) -> Iterator[DecisionLog]:
    opened = DecisionLog(tmp_path, process="p", boot="preview")
    opened.open(NOW)
    yield opened
    opened.close(NOW)


def ship(log: DecisionLog) -> None:
    Shipper(log.path.parent, live=log.stream, synced=lambda: 10**6).ship()


@pytest.mark.parametrize(
    "sets",
    [[(MCP, False)], [(MCP, False), (FALLBACK, False)]],
    ids=["mcp off", "both in one set"],
)
def test_the_effect_shown_is_what_the_change_then_does_to_each_request(
    log: DecisionLog, seed: int, sets: list[tuple[FlagName, bool]]
) -> None:
    lay()
    snapshot.refresh()
    traffic = Traffic(seed)
    before = traffic.route(log)
    ship(log)
    wishes = [to(flag, on) for flag, on in sets]
    proposal = Proposal(flags=dict(sets))
    told = {str(body["id"]): replay.replay([body], proposal) for body in stored.stored(STG, COUNT)}
    whole = preview.of_flags(STG, wishes)
    apply(wishes, confirmed=True, health=PROVEN)
    after = traffic.route(log)
    moved = lost = 0
    for old, new in zip(before, after, strict=True):
        was, is_now = old.conclusion.effective, new.conclusion.effective
        effect = told[old.decision_id]
        assert (effect.total, effect.mismatched, effect.unreadable) == (1, (), ())
        assert (effect.cells[0][0].after if effect.cells else was) is is_now
        moved += was is not is_now
        lost += was is not None and is_now is None
    assert len(told) == COUNT
    assert (whole.effect.changed, whole.effect.stranded) == (moved, lost)
    assert (whole.in_time, whole.older) == (True, 0)
    assert moved > 0, "a change without an effect would show nothing"
    assert preview.told(whole)[0].endswith(f"{moved} would change path.")


def test_what_was_decided_under_other_flags_is_said(log: DecisionLog, seed: int) -> None:
    lay()
    snapshot.refresh()
    Traffic(seed).route(log)
    ship(log)
    apply([to(FlagName.CACHING, False)])
    found = preview.of_flags(STG, [to(MCP, False)])
    assert found.older == COUNT
    assert any("other versions of flags or matrix" in one for one in preview.told(found))


def test_it_ends_when_its_time_is_up_and_says_so(log: DecisionLog, seed: int) -> None:
    lay()
    snapshot.refresh()
    Traffic(seed).route(log)
    ship(log)
    ticks = itertools.count()
    found = preview.of_flags(
        STG, [to(MCP, False)], within_s=31.0, clock=lambda: float(next(ticks))
    )
    assert (found.effect.total, found.in_time) == (30, False)
    assert preview.told(found)[-1] == "Older ones were not looked at: the time for this was up."


def test_nothing_stored_is_said_to_say_nothing() -> None:
    lay()
    found = preview.of_flags(STG, [to(MCP, False)])
    assert preview.told(found) == (
        "No decision is stored yet, so nothing can be said of the effect.",
    )
