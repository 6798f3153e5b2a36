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
from routing.core.matrix import Matrix, Row
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
    """

    operation: Operation
    priority: Priority
    now_us: int
    pinned: Path | None = None
    mcp_can_say_it: bool = True
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is in force in the environment when the request arrives."""

    matrix: Matrix
    flags: Mapping[FlagName, bool]
    paths: Mapping[Path, PathFacts]
    kill: Kill | None = None
    overrides: Sequence[Override] = ()


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
    Skip.NO_TIME_LEFT: Reason.FALLBACK_ERROR,
    Skip.TRIED: Reason.FALLBACK_ERROR,
}
_LOOKS_DOWN = frozenset({Skip.UNHEALTHY, Skip.BREAKER_OPEN})
_FORGIVEN_IN_EMERGENCY = _LOOKS_DOWN | {Skip.MAINTENANCE}
_PROVIDER_FLAG: Mapping[Path, FlagName] = {
    Path.DIRECT_BEDROCK: FlagName.BEDROCK_PROVIDER,
    Path.MCP: FlagName.MCP_INTEGRATION,
}
_OTHER: Mapping[Path, Path] = {Path.DIRECT_BEDROCK: Path.MCP, Path.MCP: Path.DIRECT_BEDROCK}


def decide(request: Request, state: State) -> Decision:
    """Return where `request` goes under `state`; total over its arguments, never raises."""
    row = state.matrix.row(request.operation, request.priority)
    order: tuple[Path, ...]
    order, because = _order(request, state, row)
    intended = order[0]
    facts = state.paths[intended]
    breach = facts.configured and not facts.region_allowed
    if request.refusal or breach:
        # Refused, never "fixed" by moving on: no other path is thought of.
        order = () if request.refusal else (intended,)
    candidates = tuple(
        Candidate(path=path, skip=_skip(path, position, request, state))
        for position, path in enumerate(order)
    )
    resort = _resort(candidates, row)
    if request.refusal or breach:
        reason = Reason.REFUSED_COMPLIANCE
    else:
        reason = _reason(candidates, row, because, resort)
    return Decision(
        row=row,
        matrix_path=row.primary,
        intended=intended,
        candidates=candidates,
        last_resort=resort,
        reason=reason,
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
            return _from(override.path, row), Reason.OVERRIDE
    return row.order(), Reason.RULE


def _from(path: Path, row: Row) -> tuple[Path, ...]:
    """An override moves the start; what has no fallback in the matrix gets none from it."""
    return (path,) if row.fallback is None else (path, _OTHER[path])


def _skip(path: Path, position: int, request: Request, state: State) -> Skip | None:
    facts = state.paths[path]
    gated = position > 0 and path is Path.DIRECT_BEDROCK
    checks = (
        (not facts.configured, Skip.NOT_CONFIGURED),
        (not facts.region_allowed, Skip.NOT_ALLOWED_REGION),
        (not state.flags[_PROVIDER_FLAG[path]], Skip.FLAG_OFF),
        (gated and not state.flags[FlagName.DIRECT_FALLBACK], Skip.FLAG_OFF),
        (state.kill is Kill.STOP or facts.breaker is Breaker.FORCED_OPEN, Skip.FORCED_OPEN),
        (path is Path.MCP and not request.mcp_can_say_it, Skip.UNSUPPORTED),
        (facts.health is Health.MAINTENANCE, Skip.MAINTENANCE),
        (facts.breaker is Breaker.OPEN, Skip.BREAKER_OPEN),
        (facts.health is Health.UNHEALTHY, Skip.UNHEALTHY),
    )
    return next((skip for applies, skip in checks if applies), None)


def _resort(candidates: tuple[Candidate, ...], row: Row) -> tuple[Path, ...]:
    """An emergency is not stopped by health, maintenance or an opened breaker: it is forced."""
    if row.operation is Operation.EMERGENCY:
        forgiven = _FORGIVEN_IN_EMERGENCY
    elif row.when_down is WhenDown.LAST_RESORT:
        forgiven = _LOOKS_DOWN
    else:
        return ()
    return tuple(c.path for c in candidates if c.skip in forgiven)


def _reason(
    candidates: tuple[Candidate, ...], row: Row, because: Reason, resort: tuple[Path, ...]
) -> Reason:
    why = candidates[0].skip
    if why is None:
        return because
    if any(c.skip is None for c in candidates):
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
) -> Conclusion:
    """Return what became of `decision` after `attempts`.

    The effective path is that of the successful attempt, None without one. `held` names eligible
    paths that were passed over when their turn came (a breaker gave no permit, no time was
    left); `resorted` says that the answer came from the last resort; `shed` that no slot of it
    was free.
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
