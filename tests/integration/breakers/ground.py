"""Several boards as if each were a process: own clocks, one store between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from routing.breakers import store
from routing.breakers.board import AWAY_US, Board, Key
from routing.breakers.sharing import Sharing
from routing.breakers.store import Kept
from routing.changes import first_run
from routing.core.circuit import CircuitSettings, Permit, Result
from routing.core.rights import shell_actor
from routing.core.values import Breaker, EnvironmentName, Path

DEV = EnvironmentName.DEVELOPMENT
KEY = Key(environment=DEV, path=Path.MCP, target="local:mcp")
RULES = CircuitSettings()
SHELL = shell_actor(user="tests", host="here")
START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def lay() -> None:
    """Lay the environments that breakers belong to."""
    first_run.lay(by=SHELL, now=START, environments=tuple(EnvironmentName), embedded=True)


@dataclass(kw_only=True)
class Member:
    """One process of ours; its own clock begins somewhere else than any other's."""

    name: str
    wall: Callable[[], datetime]
    us: int = 0
    board: Board = field(init=False)
    sharing: Sharing = field(init=False)

    def __post_init__(self) -> None:
        self.board = Board(RULES, clock=lambda: self.us, jitter=lambda: 0.0)
        self.sharing = Sharing(
            board=self.board,
            environments=(DEV,),
            process=self.name,
            now=self.wall,
            jitter=lambda: 0.0,
        )

    @property
    def state(self) -> Breaker:
        return self.board.state(KEY)

    def fail(self, times: int = RULES.consecutive_failures) -> None:
        """Let calls fail, as many as trip it."""
        for _ in range(times):
            permit = self.board.admit(KEY)
            assert permit is not None
            self.board.settle(KEY, permit, Result.FAILURE)

    def permits(self, asked: int) -> list[Permit]:
        """Ask as often for leave; return what was given."""
        given = (self.board.admit(KEY) for _ in range(asked))
        return [permit for permit in given if permit is not None]


class Fleet:
    """Processes whose clocks all go on by the same steps."""

    def __init__(self, size: int) -> None:
        self.now = START
        self.members = [
            Member(name=f"p{number}", wall=lambda: self.now, us=number * 7_000_000_000)
            for number in range(size)
        ]
        self.rounds()

    def pass_time(self, seconds: float, *, away: bool = False) -> None:
        """Let time pass; everybody makes a round each second unless the store is away."""
        while seconds > 0:
            step = seconds if away else min(seconds, 1.0)
            self.now += timedelta(seconds=step)
            for member in self.members:
                member.us += int(step * 1_000_000)
            seconds -= step
            if not away:
                self.rounds(2)

    def lose_the_store(self) -> None:
        """Let so much time pass without a round that everybody takes the store for away."""
        self.pass_time(AWAY_US / 1_000_000 + 1, away=True)

    def rounds(self, times: int = 1) -> None:
        """Let everybody make its round, so often."""
        for _ in range(times):
            for member in self.members:
                member.sharing.round()

    def states(self) -> set[Breaker]:
        return {member.state for member in self.members}


def stored() -> Kept:
    """Return the breaker as the store has it."""
    return store.read(KEY)
