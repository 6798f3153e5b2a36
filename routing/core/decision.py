"""Where a request goes: `decide` is pure and total, and says why for every path it names.

Order (product.md section 3): compliance refusals, then availability of each path, then modes,
then overrides, then the matrix, then breakers and health. `decide` promises the order of the
candidates; what became of them is `conclude`'s to say, after the attempts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from routing.core.flags import FlagName
from routing.core.matrix import OTHER, Matrix, Row
from routing.core.values import (
    Breaker,
    Failure,
    Health,
    Operation,
    Path,
    Priority,
    Reason,
    Skip,
    WhenDown,
)


class Kill(StrEnum):
    """What the kill file of an environment says; it works without database and browser."""

    MCP_ONLY = "mcp_only"
    DIRECT_ONLY = "direct_only"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A person's temporary word for one operation; `ends_us` is wall time in µs."""

    operation: Operation
    path: Path
    ends_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFacts:
    """What is known of one path when the request arrives."""

    configured: bool = True
    region_allowed: bool = True
    health: Health = Health.UNKNOWN
    breaker: Breaker = Breaker.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The facts of a request that bear on its way.

    `pinned` is set by a run token only. `mcp_can_say_it` is False for images, tool use or several
    choices. `refusal` names the compliance rule that the request breaks, empty for none.
    `bucket` (0 to 99) is the subject's place in a split, None where it is not known; `chosen`
    says that the caller named the priority.
    """

    operation: Operation
    priority: Priority
    now_us: int
    pinned: Path | None = None
    mcp_can_say_it: bool = True
    refusal: str = ""
    bucket: int | None = None
    chosen: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Of what else the state was made: kept with the decision, never asked by it.

    `breakers` are the generations of the breakers of this process.
    """

    flags: int = 0
    overrides: int = 0
    settings: int = 0
    breakers: Mapping[Path, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is in force in the environment when the request arrives."""

    matrix: Matrix
    flags: Mapping[FlagName, bool]
    paths: Mapping[Path, PathFacts]
    kill: Kill | None = None
    overrides: Sequence[Override] = ()
    versions: Versions = field(default_factory=Versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    path: Path
    skip: Skip | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The promise: which paths, in which order, and why.

    `candidates` holds every path that was thought of, in order, with the reason for each passed
    over. `last_resort` holds those to try, one in flight each, when no candidate is left.
    """

    row: Row
    matrix_path: Path
    intended: Path
    candidates: tuple[Candidate, ...]
    last_resort: tuple[Path, ...]
    reason: Reason

    @property
    def is_made(self) -> bool:
        """Tell whether anything was decided; `intended` is no more than the matrix's path else."""
        return self.reason is not Reason.SHED

    @property
    def eligible(self) -> tuple[Path, ...]:
        """The paths to try, in order."""
        return tuple(c.path for c in self.candidates if c.skip is None)

    def skipped(self, path: Path) -> Skip | None:
        """Return why `path` was passed over, None if it was not."""
        return next((c.skip for c in self.candidates if c.path is path), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One call to a path; `failure` is None for a success."""

    path: Path
    duration_us: int
    failure: Failure | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    effective: Path | None
    reason: Reason
    candidates: tuple[Candidate, ...] = field(default=())


# Why a request left its intended path, by why that path was passed over. A path that is not
# there is not healthy; one that cannot say the request is an error of the call.
_MOVED_BECAUSE: Mapping[Skip, Reason] = {
    Skip.NOT_CONFIGURED: Reason.FALLBACK_UNHEALTHY,
    Skip.NOT_ALLOWED_REGION: Reason.REFUSED_COMPLIANCE,
    Skip.FLAG_OFF: Reason.FLAG_OFF,
    Skip.FORCED_OPEN: Reason.FALLBACK_BREAKER_OPEN,
    Skip.BREAKER_OPEN: Reason.FALLBACK_BREAKER_OPEN,
    Skip.UNHEALTHY: Reason.FALLBACK_UNHEALTHY,
    Skip.MAINTENANCE: Reason.MAINTENANCE,
    Skip.UNSUPPORTED: Reason.FALLBACK_ERROR,
    Skip.THROTTLED: Reason.FALLBACK_ERROR,
    Skip.SLOW: Reason.FALLBACK_UNHEALTHY,
    Skip.NO_TIME_LEFT: Reason.FALLBACK_ERROR,
    Skip.TRIED: Reason.FALLBACK_ERROR,
}
_LOOKS_DOWN = frozenset({Skip.UNHEALTHY, Skip.BREAKER_OPEN})
_FORGIVEN_IN_EMERGENCY = _LOOKS_DOWN | {Skip.MAINTENANCE}
_PROVIDER_FLAG: Mapping[Path, FlagName] = {
    Path.DIRECT_BEDROCK: FlagName.BEDROCK_PROVIDER,
    Path.MCP: FlagName.MCP_INTEGRATION,
}
# A decision is made for every request; these are made once.
_CANDIDATES: Mapping[Path, Mapping[Skip | None, Candidate]] = {
    path: {skip: Candidate(path=path, skip=skip) for skip in (None, *Skip)} for path in Path
}


def decide(request: Request, state: State) -> Decision:
    """Return where `request` goes under `state`; total over its arguments, never raises."""
    row = state.matrix.row(request.operation, request.priority)
    order, because = _order(request, state, row)
    intended = order[0]
    facts = state.paths[intended]
    breach = facts.configured and not facts.region_allowed
    if request.refusal or breach:
        # Refused, never "fixed" by moving on: no other path is thought of.
        order = () if request.refusal else (intended,)
    candidates = tuple(
        [_CANDIDATES[path][_skip(path, path is intended, request, state)] for path in order]
    )
    resort = _resort(candidates, row)
    if request.refusal or breach:
        because = Reason.REFUSED_COMPLIANCE
    elif candidates[0].skip is not None:
        because = _reason(candidates, row, resort)
    return Decision(
        row=row,
        matrix_path=row.primary,
        intended=intended,
        candidates=candidates,
        last_resort=resort,
        reason=because,
    )


def undecided(row: Row) -> Decision:
    """Return what stands for the decision of a request that was sent away before there was one."""
    return Decision(
        row=row,
        matrix_path=row.primary,
        intended=row.primary,
        candidates=(),
        last_resort=(),
        reason=Reason.SHED,
    )


def _order(request: Request, state: State, row: Row) -> tuple[tuple[Path, ...], Reason]:
    if state.kill is Kill.MCP_ONLY:
        return (Path.MCP,), Reason.MCP_ONLY
    if state.kill is Kill.DIRECT_ONLY:
        return (Path.DIRECT_BEDROCK,), Reason.DIRECT_ONLY
    if not state.flags[FlagName.INTELLIGENT_ROUTING]:
        return (Path.MCP,), Reason.MCP_ONLY
    if request.pinned is not None:
        return (request.pinned,), Reason.OVERRIDE
    for override in state.overrides:
        if override.operation is request.operation and override.ends_us > request.now_us:
            return row.begun_on(override.path), Reason.OVERRIDE
    if row.takes_other(request.bucket):
        return row.begun_on(OTHER[row.primary]), Reason.SPLIT
    return row.order(), Reason.RULE


def _skip(path: Path, first: bool, request: Request, state: State) -> Skip | None:
    """Return why `path` is passed over: the gravest reason alone, None for none."""
    facts = state.paths[path]
    if not facts.configured:
        return Skip.NOT_CONFIGURED
    if not facts.region_allowed:
        return Skip.NOT_ALLOWED_REGION
    if not state.flags[_PROVIDER_FLAG[path]]:
        return Skip.FLAG_OFF
    if path is Path.MCP:
        return _shut(facts, state) or _unsaid(request) or _ails(facts)
    if not first and not state.flags[FlagName.DIRECT_FALLBACK]:
        return Skip.FLAG_OFF
    return _shut(facts, state) or _ails(facts)


def _shut(facts: PathFacts, state: State) -> Skip | None:
    shut = facts.breaker is Breaker.FORCED_OPEN or state.kill is Kill.STOP
    return Skip.FORCED_OPEN if shut else None


def _unsaid(request: Request) -> Skip | None:
    return None if request.mcp_can_say_it else Skip.UNSUPPORTED


def _ails(facts: PathFacts) -> Skip | None:
    if facts.health is Health.MAINTENANCE:
        return Skip.MAINTENANCE
    if facts.breaker is Breaker.OPEN:
        return Skip.BREAKER_OPEN
    return Skip.UNHEALTHY if facts.health is Health.UNHEALTHY else None


def _resort(candidates: tuple[Candidate, ...], row: Row) -> tuple[Path, ...]:
    """An emergency is not stopped by health, maintenance or an opened breaker: it is forced."""
    if row.operation is Operation.EMERGENCY:
        forgiven = _FORGIVEN_IN_EMERGENCY
    elif row.when_down is WhenDown.LAST_RESORT:
        forgiven = _LOOKS_DOWN
    else:
        return ()
    return tuple([c.path for c in candidates if c.skip in forgiven])


def _reason(candidates: tuple[Candidate, ...], row: Row, resort: tuple[Path, ...]) -> Reason:
    """Return why a request does not get its first candidate."""
    why = candidates[0].skip
    if why is not None and any(c.skip is None for c in candidates):
        return _MOVED_BECAUSE[why]
    if not resort:
        return Reason.NO_PATH
    emergency = row.operation is Operation.EMERGENCY
    return Reason.FORCED_EMERGENCY if emergency else Reason.LAST_RESORT


def conclude(
    decision: Decision,
    attempts: Sequence[Attempt],
    *,
    held: Mapping[Path, Skip] | None = None,
    resorted: bool = False,
    shed: bool = False,
    repeated: bool = False,
    stopped: bool = False,
) -> Conclusion:
    """Return what became of `decision` after `attempts`.

    The effective path is that of the successful attempt, None without one. `held` names eligible
    paths that were passed over when their turn came (a breaker gave no permit, no time was
    left); `resorted` says that the answer came from the last resort; `shed` that no slot of it
    was free; `repeated` that an answer was given again, by no path; `stopped` that a budget
    which is spent let nothing be tried.
    """
    held = held or {}
    answered = next((a.path for a in attempts if a.failure is None), None)
    tried = {a.path for a in attempts if a.failure is not None}
    candidates = tuple(
        Candidate(path=c.path, skip=c.skip or held.get(c.path) or _tried(c.path, tried))
        for c in decision.candidates
    )
    if decision.reason is Reason.REFUSED_COMPLIANCE:
        reason = Reason.REFUSED_COMPLIANCE
    elif repeated:
        reason = Reason.CACHE_HIT
    elif stopped:
        reason = Reason.REFUSED_BUDGET
    elif answered is None:
        reason = Reason.SHED if shed else Reason.NO_PATH
    elif resorted:
        emergency = decision.row.operation is Operation.EMERGENCY
        reason = Reason.FORCED_EMERGENCY if emergency else Reason.LAST_RESORT
    elif answered is decision.eligible[0]:
        reason = decision.reason
    else:
        skip = held.get(decision.eligible[0])
        reason = _MOVED_BECAUSE[skip] if skip else Reason.FALLBACK_ERROR
    return Conclusion(effective=answered, reason=reason, candidates=candidates)


def _tried(path: Path, tried: set[Path]) -> Skip | None:
    return Skip.TRIED if path in tried else None
