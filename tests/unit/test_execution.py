"""Execution as a whole, against paths that do anything at any moment, in virtual time.

What may follow from a failure is written down here once more, so that a fault in the product's
table is not repeated.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.attempts import Attempts, Run
from routing.breakers.board import Board, Key
from routing.breakers.pace import Paces
from routing.breakers.reserve import LONGEST_SPARED_S, Patience
from routing.compliance.gate import Verdict
from routing.core.circuit import CircuitSettings
from routing.core.decision import Attempt, PathFacts, Request, State, decide
from routing.core.flags import defaults
from routing.core.matrix import DEFAULT
from routing.core.values import Breaker, Failure, Health, Operation, Path, Skip
from routing.paths.base import Answer, Call, PathError
from tests.unit import virtual
from tests.unit.stage import PRODUCTION, ask

DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
EMERGENCY, STANDARD = Operation.EMERGENCY, Operation.STANDARD
FINAL = {Failure.OUTCOME_UNKNOWN, Failure.VALIDATION, Failure.COMPLIANCE}
CALLERS_OWN = {Failure.VALIDATION, Failure.COMPLIANCE}
TRANSIENT = {Failure.THROTTLED, Failure.UNREACHABLE, Failure.PROVIDER}
BLAMELESS = CALLERS_OWN | {Failure.THROTTLED, Failure.TOOL_ERROR}
LATE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """What one call does: after `after_s` it answers or fails; None never ends by itself."""

    after_s: float | None = 0.0
    failure: Failure | None = None
    said_s: float | None = None


@dataclass(slots=True)
class Played:
    """A path that plays, then answers at once; `under_way` must be 0 in the end."""

    path: Path
    plays: list[Play]
    target: str = "played"
    under_way: int = 0
    calls: list[Call] = field(default_factory=list)

    async def call(self, call: Call) -> Answer:
        self.calls.append(call)
        play = self.plays.pop(0) if self.plays else Play()
        self.under_way += 1
        try:
            never = asyncio.get_running_loop().create_future()
            await asyncio.wait([never], timeout=play.after_s)
        finally:
            self.under_way -= 1
        if play.failure is not None:
            raise PathError(play.failure, "played", retry_after_s=play.said_s)
        return Answer(text="Well.", stop_reason="end_turn", model="played")


@dataclass(slots=True)
class Ground:
    """Attempts over two played paths, on the clock of the running loop."""

    direct: Played
    mcp: Played
    board: Board = field(init=False)
    paces: Paces = field(default_factory=Paces)
    attempts: Attempts = field(init=False)

    def __post_init__(self) -> None:
        self.board = Board(
            CircuitSettings(), clock=lambda: int(self.now_s() * 1_000_000), jitter=lambda: 0.0
        )
        paths = {DIRECT: self.direct, MCP: self.mcp}
        self.attempts = Attempts(
            client=lambda _, path: paths[path],  # type: ignore[arg-type,return-value]
            board=self.board,
            paces=self.paces,
        )

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def state(self, path: Path) -> Breaker:
        return self.board.state(Key(environment=PRODUCTION, path=path, target="played"))

    async def one(self, operation: Operation, **more: Any) -> tuple[Run, float]:
        """Carry one run out; return it with the seconds that it took."""
        facts = {path: PathFacts(health=Health.HEALTHY, breaker=self.state(path)) for path in Path}
        state = State(matrix=DEFAULT, flags=defaults(PRODUCTION), paths=facts)
        row = DEFAULT.rows[operation]
        request = Request(operation=operation, priority=row.default_priority, now_us=0)
        asked = ask(operation, **more)
        began = self.now_s()
        run = Run(
            ask=asked,
            request=request,
            state=state,
            decision=decide(request, state),
            decision_id="d1",
            verdict=Verdict(texts=asked.texts, classes=(), refusal=""),
            began=began,
            deadline=began + row.budget_ms / 1000,
            clock=self.now_s,
        )
        await self.attempts.carry_out(run)
        return run, self.now_s() - began


plays = st.builds(
    Play,
    after_s=st.none() | st.floats(0, 70),
    failure=st.none() | st.sampled_from(Failure),
    said_s=st.none() | st.floats(allow_nan=True, allow_infinity=True),
)
scripts = st.lists(plays, max_size=30)
operations = st.lists(st.sampled_from(Operation), min_size=1, max_size=12)


def broken(run: Run, took_s: float) -> list[str]:
    """Return which laws one run broke."""
    made, wrong = run.attempts, []
    paths = [attempt.path for attempt in made]
    budget_s = run.decision.row.budget_ms / 1000
    if took_s > budget_s + LATE_S:
        wrong.append(f"took {took_s:.2f} s of {budget_s:.0f}")
    if len(made) > len(set(paths)) + 1:
        wrong.append(f"{len(made)} attempts on {len(set(paths))} paths")
    if any(attempt.failure is None for attempt in made[:-1]):
        wrong.append("went on after an answer")
    if (run.answer is None) is bool(made and made[-1].failure is None):
        wrong.append("the answer is not that of the last attempt")
    return wrong + [w for pair in itertools.pairwise(made) for w in _step(run, *pair)]


def _step(run: Run, one: Attempt, then: Attempt) -> list[str]:
    came_back = one.path is not run.decision.intended and then.path is run.decision.intended
    if one.failure is Failure.VALIDATION and came_back:
        return []  # what another path cannot do, its own may, which was only slow
    if one.failure in FINAL:
        return [f"went on after {one.failure}"]
    if one.path is then.path and one.failure not in TRANSIENT:
        return [f"retried after {one.failure}"]
    return []


@given(operations, scripts, scripts)
def test_whatever_paths_do_each_request_ends_in_time_and_breaks_no_law(
    asked: Sequence[Operation], direct: list[Play], mcp: list[Play]
) -> None:
    async def all_of_them() -> None:
        ground = Ground(Played(DIRECT, list(direct)), Played(MCP, list(mcp)))
        for operation in asked:
            run, took_s = await ground.one(operation)
            assert broken(run, took_s) == []
        assert (ground.direct.under_way, ground.mcp.under_way) == (0, 0), "a loser goes on"

    virtual.run(all_of_them())


@given(operations, scripts, scripts)
def test_many_at_once_break_no_law_and_leave_no_trial_taken(
    asked: Sequence[Operation], direct: list[Play], mcp: list[Play]
) -> None:
    async def all_of_them() -> None:
        ground = Ground(Played(DIRECT, list(direct)), Played(MCP, list(mcp)))
        for run, took_s in await asyncio.gather(*(ground.one(one) for one in asked)):
            assert broken(run, took_s) == []
        assert (ground.direct.under_way, ground.mcp.under_way) == (0, 0)
        assert all(not held.circuit.leases for held in ground.board._helds.values())

    virtual.run(all_of_them())


@given(st.lists(st.sampled_from(sorted(BLAMELESS)), min_size=1, max_size=60))
def test_the_callers_faults_and_throttling_open_no_breaker(faults: list[Failure]) -> None:
    async def all_of_them() -> None:
        played = [Play(failure=fault) for fault in faults]
        ground = Ground(Played(DIRECT, played), Played(MCP, []))
        for _ in faults:
            await ground.one(EMERGENCY)
        assert ground.state(DIRECT) is Breaker.CLOSED

    virtual.run(all_of_them())


@pytest.mark.parametrize("failure", sorted(set(Failure) - BLAMELESS))
def test_what_never_called_the_path_does_not_open_it_and_all_else_does(failure: Failure) -> None:
    async def all_of_them() -> Breaker:
        ground = Ground(Played(DIRECT, [Play(failure=failure)] * 40), Played(MCP, []))
        for _ in range(5):
            await ground.one(EMERGENCY)
        return ground.state(DIRECT)

    uncalled = {Failure.DISABLED, Failure.BREAKER_OPEN, Failure.QUEUE_FULL}
    opened = virtual.run(all_of_them()) is Breaker.OPEN
    assert opened is (failure not in uncalled)


@given(st.integers(1, 120))
def test_retries_stay_within_a_tenth_of_the_requests_and_their_savings(count: int) -> None:
    async def all_of_them() -> None:
        ground = Ground(Played(DIRECT, [Play(failure=Failure.THROTTLED)] * 999), Played(MCP, []))
        runs = [await ground.one(EMERGENCY) for _ in range(count)]
        retries = sum(len(run.attempts) - 1 for run, _ in runs)
        assert retries <= 10 + count / 10

    virtual.run(all_of_them())


async def _throttled(count: int, said_s: float | None) -> tuple[int, list[Run]]:
    plays = [Play(failure=Failure.THROTTLED, said_s=said_s)] * 999
    ground = Ground(Played(DIRECT, []), Played(MCP, plays))
    runs = [(await ground.one(STANDARD))[0] for _ in range(count)]
    return len(ground.mcp.calls), runs


@pytest.mark.parametrize(("said_s", "calls"), [(None, 3), (5.0, 1)])
def test_a_path_that_throttles_is_spared_while_another_one_answers(
    said_s: float | None, calls: int
) -> None:
    made, runs = virtual.run(_throttled(50, said_s))
    assert made == calls
    assert all(run.answer is not None for run in runs)
    assert runs[-1].skips == {MCP: Skip.THROTTLED}


def test_a_spared_path_is_tried_again_when_its_time_has_come() -> None:
    async def all_of_them() -> None:
        ground = Ground(Played(DIRECT, []), Played(MCP, [Play(failure=Failure.THROTTLED)] * 3))
        for _ in range(4):
            await ground.one(STANDARD)
        assert len(ground.mcp.calls) == 3
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=1)
        run, _ = await ground.one(STANDARD)
        assert [a.path for a in run.attempts] == [MCP]
        assert not run.skips

    virtual.run(all_of_them())


def test_a_path_that_throttles_now_and_then_keeps_its_traffic() -> None:
    async def all_of_them() -> None:
        mixed = [Play(failure=Failure.THROTTLED), Play(failure=Failure.THROTTLED), Play()] * 20
        ground = Ground(Played(DIRECT, []), Played(MCP, mixed))
        for _ in range(60):
            await ground.one(STANDARD)
        assert len(ground.mcp.calls) == 60

    virtual.run(all_of_them())


def test_a_lone_path_is_tried_although_it_throttles() -> None:
    async def all_of_them() -> None:
        plays = [Play(failure=Failure.THROTTLED, said_s=9.0)] * 3
        ground = Ground(Played(DIRECT, plays), Played(MCP, []))
        for _ in range(3):
            await ground.one(EMERGENCY)
        assert len(ground.direct.calls) == 3

    virtual.run(all_of_them())


@given(st.floats(allow_nan=True, allow_infinity=True) | st.none())
def test_no_provider_has_itself_spared_for_long(said_s: float | None) -> None:
    patience = Patience()
    for _ in range(3):
        patience.throttled("k", said_s, 100.0)
    assert patience.spares("k", 100.5)
    assert not patience.spares("k", 100 + LONGEST_SPARED_S)
    patience.answered("k")
    assert not patience.spares("k", 100.5)


def test_answers_that_take_most_of_the_budget_open_the_breaker() -> None:
    async def of(after_s: float) -> Breaker:
        ground = Ground(Played(DIRECT, []), Played(MCP, [Play(after_s=after_s)] * 40))
        await asyncio.gather(*(ground.one(STANDARD) for _ in range(25)))
        return ground.state(MCP)

    budget_s = DEFAULT.rows[STANDARD].budget_ms / 1000
    assert virtual.run(of(budget_s * 0.55)) is Breaker.OPEN
    assert virtual.run(of(budget_s * 0.45)) is Breaker.CLOSED


def test_the_laws_object_to_every_kind_of_breach() -> None:
    """Take the protection away: each of these runs must be found out."""

    async def sound() -> tuple[Run, float]:
        return await Ground(Played(DIRECT, []), Played(MCP, [])).one(STANDARD)

    run, took_s = virtual.run(sound())
    assert broken(run, took_s) == []
    good = run.attempts[0]
    bad = {failure: replace(good, failure=failure) for failure in Failure}
    other = replace(good, path=DIRECT)
    breaches = [
        ([good, other], took_s),
        ([*[bad[failure] for failure in (Failure.PROVIDER,) * 2], good], took_s),
        ([bad[Failure.TIMEOUT], good], took_s),
        ([good], 31.0),
        ([bad[Failure.PROTOCOL]], took_s),
        *(([bad[failure], other], took_s) for failure in FINAL),
    ]
    for attempts, lasted_s in breaches:
        run.attempts = list(attempts)
        assert broken(run, lasted_s) != [], attempts
