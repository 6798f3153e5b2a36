"""A real router, board and log over two scripted paths, and what the log then holds."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path as Folder
from typing import Any

from routing.admission import Admission
from routing.breakers.board import Board, Key
from routing.breakers.pace import Paces
from routing.compliance.gate import InForce, Policy
from routing.core import chain
from routing.core.admission import QueueSettings
from routing.core.budget import Limit, Period, Sums, Unit
from routing.core.circuit import Result
from routing.core.decision import Kill, Override, PathFacts, State, Versions
from routing.core.flags import FlagName, Subject, defaults
from routing.core.matrix import DEFAULT, Matrix
from routing.core.values import Breaker, EnvironmentName, Health, Operation, Path
from routing.cost.meter import Meter
from routing.cost.policy import Policy as Prices
from routing.decisions import segment
from routing.decisions.log import DecisionLog
from routing.decisions.record import Caller
from routing.flags.snapshot import Snapshot
from routing.flow import Limits
from routing.paths.base import Message
from routing.paths.scripted import ScriptedClient
from routing.router import Ask, IntelligentRouter, Routed

PRODUCTION = EnvironmentName.PRODUCTION
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CALLER = Caller(environment=PRODUCTION, token="tok_1", tenant="acme", request_id="r1")
BOTH = (Path.DIRECT_BEDROCK, Path.MCP)


@dataclass(slots=True)
class Clock:
    """A monotonic clock in µs that moves when it is told."""

    now_us: int = 1_000_000

    def __call__(self) -> int:
        return self.now_us


@dataclass(slots=True)
class Stage:
    """What the router sees can be changed between asks; breakers show as they are, or as said."""

    log: DecisionLog
    direct: ScriptedClient = field(
        default_factory=lambda: ScriptedClient(path=Path.DIRECT_BEDROCK)
    )
    mcp: ScriptedClient = field(default_factory=lambda: ScriptedClient(path=Path.MCP))
    matrix: Matrix = DEFAULT
    flags: dict[FlagName, bool] = field(default_factory=lambda: defaults(PRODUCTION))
    health: dict[Path, Health] = field(default_factory=dict)
    breakers: dict[Path, Breaker] = field(default_factory=dict)
    facts: dict[Path, dict[str, Any]] = field(default_factory=dict)
    kill: Kill | None = None
    versions: Versions = field(default_factory=Versions)
    overrides: tuple[Override, ...] = ()
    policy: InForce = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    clock: Clock = field(default_factory=Clock)
    seen: list[Routed] = field(default_factory=list)
    snapshot: Snapshot | None = None  # its flags count in place of `flags`
    subjects: list[Subject] = field(default_factory=list)
    queue: QueueSettings = field(default_factory=QueueSettings)
    meter: Meter = field(default_factory=Meter)
    paces: Paces = field(default_factory=Paces)
    admission: Admission = field(init=False)
    board: Board = field(init=False)
    router: IntelligentRouter = field(init=False)

    def __post_init__(self) -> None:
        self.board = Board(clock=self.clock, jitter=lambda: 0.0)
        self.admission = Admission(self.queue)
        self.router = IntelligentRouter(
            situation=self.situation,
            client=lambda _, path: self.client(path),
            board=self.board,
            log=self.log,
            clock=lambda: NOW,
            policy=self.policy,
            admission=self.admission,
            paces=self.paces,
            listeners=(lambda routed, _: self.seen.append(routed),),
            limits=self.limits,
            meter=self.meter,
        )

    def client(self, path: Path) -> ScriptedClient:
        return self.direct if path is Path.DIRECT_BEDROCK else self.mcp

    def situation(self, place: EnvironmentName, subject: Subject) -> State:
        self.subjects.append(subject)
        return State(
            matrix=self.matrix,
            flags=self.snapshot.evaluate(place, subject) if self.snapshot else self.flags,
            paths={path: self._facts(path) for path in Path},
            kill=self.kill,
            overrides=self.overrides,
            versions=self.versions,
        )

    def _facts(self, path: Path) -> PathFacts:
        seen = self.breakers.get(path) or self.board.state(self.key(path))
        health = self.health.get(path, Health.HEALTHY)
        return replace(PathFacts(health=health, breaker=seen), **self.facts.get(path, {}))

    def key(self, path: Path) -> Key:
        return Key(environment=PRODUCTION, path=path, target=self.client(path).target)

    def budget(self, ms: int) -> None:
        """Give every operation that much time."""
        rows = {op: replace(row, budget_ms=ms) for op, row in self.matrix.rows.items()}
        self.matrix = Matrix(version=self.matrix.version, rows=rows)

    def spend_all(self) -> None:
        """Let a hard stop of this environment be reached for the day."""
        limit = Limit(period=Period.DAY, unit=Unit.TOKENS, amount=1, hard_stop=True)
        spent = {("", Period.DAY): Sums(tokens=1)}
        self.meter.learn(PRODUCTION, Prices(limits=(limit,)), spent, upto=0, now=NOW)

    def trip(self, path: Path) -> None:
        """Open the breaker of `path`."""
        for _ in range(5):
            permit = self.board.admit(self.key(path))
            assert permit is not None
            self.board.settle(self.key(path), permit, Result.FAILURE)
        assert self.board.state(self.key(path)) is Breaker.OPEN

    def records(self, kind: str = "decision") -> list[dict[str, Any]]:
        """Return the records of that kind as they stand on the disk, the chain checked."""
        found = segment.read(self.log.path, stream=self.log.stream)
        bodies = [chain.read(record.body) for record in found]
        return [body for body in bodies if isinstance(body, dict) and body["kind"] == kind]


@contextmanager
def raised(
    folder: Folder,
    *,
    opened: bool = True,
    policy: InForce | None = None,
    limits: Limits | None = None,
    queue: QueueSettings | None = None,
    meter: Meter | None = None,
) -> Iterator[Stage]:
    """Yield a stage whose log is open for the block."""
    log = DecisionLog(folder, process="p", boot=secrets.token_hex(4))
    if opened:
        log.open(NOW)
    try:
        yield Stage(
            log=log,
            policy=policy or Policy(),
            limits=limits or Limits(),
            queue=queue or QueueSettings(),
            meter=meter or Meter(),
        )
    finally:
        log.close(NOW)


def ask(operation: Operation, **more: Any) -> Ask:
    """Return a plain ask for `operation`."""
    words = (Message(role="user", text="What is the state?"),)
    return Ask(**{"caller": CALLER, "operation": operation, "messages": words, **more})
