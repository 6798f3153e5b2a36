"""What a check stands on, and what it may say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async

from routing.breakers.board import Board
from routing.core.flags import FlagName
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Path, TestStatus
from routing.core.verdict import Mismatch
from routing.deployments.evidence import Claim, Journal, Journals
from routing.deployments.release import Content
from routing.fleet.queries import EnvironmentRow
from routing.runs import Reply, Run

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One check's ground: the open run, a nonce of its own, the release that it is held to.

    `board` are the breakers of the process that answers, None where the runner is another one.
    """

    environment: EnvironmentName
    row: EnvironmentRow
    run: Run
    nonce: str
    content: Content
    by: Actor
    clock: Callable[[], datetime]
    journals: Journals
    board: Board | None
    operation: str
    conflicts: Mapping[str, str] = field(default_factory=dict)

    async def db(self, do: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what needs the database on the runner's own thread."""
        return await sync_to_async(do)(*args, **kwargs)

    def wants(self, flag: FlagName) -> bool:
        """Tell whether the release has `flag` on for everyone here."""
        return self.content.flags[self.environment][flag].share == 100

    def is_local(self, path: Path) -> bool:
        """Tell whether `path` leads to a stand-in of ours, which keeps a request log."""
        return self.row.target(path).startswith("local:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a check found. `claims` must be borne out; `after` tidies up when that is done."""

    status: TestStatus
    expected: str = ""
    actual: str = ""
    kind: Mismatch | None = None
    error: str = ""
    claims: tuple[Claim, ...] = ()
    after: Callable[[], None] | None = None


Check = Callable[[Ground], Awaitable[Looked]]


def compared(
    *, expected: str, actual: str, claims: tuple[Claim, ...], kind: Mismatch | None = None
) -> Looked:
    """Return a pass where both are equal, else a fail of `kind`."""
    same = expected == actual
    return Looked(
        status=TestStatus.PASS if same else TestStatus.FAIL,
        expected=expected,
        actual=actual,
        kind=None if same else kind,
        claims=claims,
    )


def skipped(why: str) -> Looked:
    """Return a check that could not look."""
    return Looked(status=TestStatus.SKIP, error=why)


def refused(reply: Reply) -> str:
    """Return what the door said instead of an answer."""
    error = reply.body.get("error")
    said: Any = error.get("message", "") if isinstance(error, dict) else ""
    return f"HTTP {reply.status}: {said or 'no answer'}"


def routed(ground: Ground, reply: Reply) -> tuple[Claim, ...]:
    """Return what the other side must have written of a routed request that was answered."""
    effective: Any = reply.body.get("effective")
    id = str(reply.body.get("decision_id", ""))
    if effective not in [str(path) for path in Path]:
        return (decided(ground, id, effective),)
    path = Path(effective)
    if not ground.is_local(path):
        return (decided(ground, id, effective),)
    return (served(ground, id, path),)


def served(ground: Ground, id: str, path: Path) -> Claim:
    """Claim that the stand-in of `path` answered the request of that decision."""
    says = {"decision": id, "event": "ended", "status": 200}
    return Claim(journal=Journal.UPSTREAM, nonce=ground.nonce, says=says, path=path)


def decided(ground: Ground, id: str, effective: str | None) -> Claim:
    """Claim that the decision stream of the serving process holds that decision."""
    says = {"id": id, "kind": "decision", "effective": effective}
    return Claim(journal=Journal.DECISIONS, nonce=ground.nonce, says=says)


def reported(ground: Ground, reply: Reply) -> Claim:
    """Claim that the serving process wrote down that it was asked for this report."""
    place = (str(reply.body["stream"]), int(reply.body["seq"]))
    says = {"kind": "report"}
    return Claim(journal=Journal.DECISIONS, nonce=ground.nonce, says=says, place=place)


def prompt(ground: Ground) -> str:
    """Return a prompt that costs next to nothing and that no other check has asked."""
    return f"Deployment check {tag(ground)}: answer with the word ok."


def tag(ground: Ground) -> str:
    """Return the end of the nonce in letters: digits could pass for somebody's number."""
    return ground.nonce[-16:].translate(str.maketrans("0123456789", "ghijklmnop"))
