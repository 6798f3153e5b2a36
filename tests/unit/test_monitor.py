"""A path that is down looks down for as long as nothing answers, whatever its breaker does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path as Folder

from routing.breakers.board import Board, Key
from routing.breakers.pace import Paces
from routing.core.circuit import Result
from routing.core.flags import defaults
from routing.core.health import LEAST_REAL
from routing.core.values import Breaker, EnvironmentName, Failure, Health, Operation, Path
from routing.health.store import Measured
from routing.monitor import HybridHealthMonitor
from routing.paths.base import Probe, Stage
from routing.paths.scripted import ScriptedClient, fails
from tests.unit import stage

PRODUCTION = EnvironmentName.PRODUCTION
BEGAN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
KEY = Key(environment=PRODUCTION, path=Path.MCP, target="scripted")
DEAD = Probe(stages=(Stage(name="connect", ok=False, ms=0.1, detail="refused"),))


@dataclass(slots=True)
class Watched:
    """A real monitor and board over scripted probes; both clocks move when they are told."""

    probes: list[Probe]
    passed_s: float = 0.0
    board: Board = field(init=False)
    paces: Paces = field(init=False)
    monitor: HybridHealthMonitor = field(init=False)

    def __post_init__(self) -> None:
        self.board = Board(clock=lambda: int(self.passed_s * 1_000_000), jitter=lambda: 0.0)
        self.paces = Paces(lambda _after_s, _what: None)
        mcp = ScriptedClient(path=Path.MCP, probes=self.probes)
        direct = ScriptedClient(path=Path.DIRECT_BEDROCK)
        self.monitor = HybridHealthMonitor(
            client=lambda _, path: mcp if path is Path.MCP else direct,
            flags=defaults,
            board=self.board,
            paces=self.paces,
            uptime=self.time,
            clock=self.now,
            interval_s=5,
        )

    def time(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.passed_s)

    async def at(self, passed_s: float) -> Measured:
        """Return what is judged of mcp in the round at that second."""
        self.passed_s = passed_s
        measured = await self.monitor.round((PRODUCTION,))
        return next(one for one in measured if one.path is Path.MCP)

    def lose(self, passed_s: float, calls: int = 1) -> None:
        """Let calls fail at that second, as far as the breaker lets them through."""
        self.passed_s = passed_s
        for _ in range(calls):
            permit = self.board.admit(KEY)
            if permit is not None:
                self.board.settle(KEY, permit, Result.FAILURE)


async def test_a_request_that_began_before_the_breaker_tried_again_tells_of_the_fault_only(
    tmp_path: Folder,
) -> None:
    with stage.raised(tmp_path) as place:
        place.mcp.otherwise = fails(Failure.TIMEOUT)
        lost = await place.router.route(stage.ask(Operation.STANDARD))
    back = Watched([DEAD] * 2)
    await back.at(0)
    back.lose(6, calls=5)
    await back.at(7)
    assert (await back.at(12)).breaker is Breaker.HALF_OPEN
    for _ in range(LEAST_REAL):
        back.monitor.take(replace(lost, duration_us=15_000_000), back.now())
    assert (await back.at(20)).judged.status is Health.DEGRADED
    for _ in range(LEAST_REAL):
        back.monitor.take(replace(lost, duration_us=1_000_000), back.now())
    assert (await back.at(20.1)).judged.status is Health.UNHEALTHY


async def test_stays_unhealthy_while_every_probe_fails_and_the_breaker_comes_and_goes() -> None:
    dead = Watched([DEAD] * 21)
    assert (await dead.at(1.9)).judged.status is Health.DEGRADED
    dead.lose(2.2, calls=5)
    breakers, found = [], []
    for second in range(20):
        dead.lose(6.9 + 5 * second - 0.1)
        measured = await dead.at(6.9 + 5 * second)
        if second % 3 == 2:
            dead.lose(6.9 + 5 * second + 0.1)
        breakers.append(measured.breaker)
        found.append(measured.judged.status)
    assert {Breaker.OPEN, Breaker.HALF_OPEN} <= set(breakers), "the breaker must come and go"
    assert set(found) == {Health.UNHEALTHY}


async def test_half_open_after_two_failed_probes_is_no_better_than_open() -> None:
    dead = Watched([DEAD] * 4)
    await dead.at(1.9)
    dead.lose(2.0, calls=5)
    found = [await dead.at(second) for second in (5.9, 7.1, 9.9)]
    assert [one.breaker for one in found] == [Breaker.OPEN, Breaker.HALF_OPEN, Breaker.HALF_OPEN]
    assert {one.judged.status for one in found} == {Health.UNHEALTHY}


async def test_one_good_probe_ends_unhealthy_and_lets_trials_through() -> None:
    back = Watched([DEAD] * 5)
    for second in (0, 5, 10):
        await back.at(second)
    back.lose(10.5, calls=5)
    for second in (15, 20):
        assert (await back.at(second)).judged.status is Health.UNHEALTHY
    measured = await back.at(25)
    assert (measured.breaker, measured.judged.status) == (Breaker.HALF_OPEN, Health.DEGRADED)
    for _ in range(3):
        permit = back.board.admit(KEY)
        assert permit is not None
        back.board.settle(KEY, permit, Result.SUCCESS)
    assert (await back.at(30)).judged.status is Health.HEALTHY


async def test_a_path_whose_calls_are_silent_is_degraded_while_its_probes_are_good() -> None:
    watched = Watched([Probe(stages=(Stage(name="connect", ok=True, ms=0.1),))] * 9)
    assert (await watched.at(0)).judged.status is Health.HEALTHY
    pace = watched.paces.of(KEY, Operation.STANDARD)
    pace.begin(watched.time, 0.5)
    for passed_s in (0.1, 0.2, 0.3, 0.4):
        watched.passed_s = passed_s
        pace.begin(watched.time, 0.5)
    for passed_s in (1.0, 1.1):  # the timers that a loop would keep
        watched.passed_s = passed_s
        pace._look()
    judged = (await watched.at(1.2)).judged
    assert judged.status is Health.DEGRADED
    assert judged.why[0].startswith("5 standard calls in a row were silent for over 0.5 s:")
    assert (await watched.at(60)).judged.status is Health.HEALTHY, "nobody asks any more"
