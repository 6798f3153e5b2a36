"""The matrix in force, what `explain` says, and overrides, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dashboard.cards.lanes import SIDE
from routing.core.decision import Decision, Kill, Request, State, decide
from routing.core.flags import FlagName
from routing.core.matrix import OTHER, Row, row_name
from routing.core.matrix_words import budget_words
from routing.core.values import EnvironmentName, Operation, Path, Priority, Reason, Skip
from routing.matrix.queries import OverrideRow, Published

_DOES: Mapping[Reason, str] = {
    Reason.RULE: "as the matrix says",
    Reason.SPLIT: "this subject is in the share that goes the other way",
    Reason.OVERRIDE: "an override sends it there",
    Reason.FLAG_OFF: "its own path is switched off by a flag",
    Reason.MCP_ONLY: "MCP-only: every operation goes to mcp",
    Reason.DIRECT_ONLY: "direct-only: every operation goes to direct_bedrock",
    Reason.FORCED_EMERGENCY: "its path looks down, and an emergency is tried all the same",
    Reason.MAINTENANCE: "its own path is in maintenance",
    Reason.FALLBACK_UNHEALTHY: "its own path is not healthy",
    Reason.FALLBACK_BREAKER_OPEN: "the breaker of its own path is open",
    Reason.FALLBACK_ERROR: "its own path cannot say this request",
    Reason.LAST_RESORT: "everything looks down, and its row says to try all the same",
    Reason.REFUSED_COMPLIANCE: "a compliance rule refuses it; another path would not mend that",
    Reason.NO_PATH: "no path is left: its callers get 503 no_path",
}
_OVER: Mapping[Skip, str] = {
    Skip.NOT_CONFIGURED: "it has no address in this environment",
    Skip.NOT_ALLOWED_REGION: "it would leave the region that is allowed here",
    Skip.FLAG_OFF: "a flag switches it off for this",
    Skip.FORCED_OPEN: "somebody has closed it",
    Skip.BREAKER_OPEN: "its breaker is open, to let it recover",
    Skip.UNHEALTHY: "it was measured unhealthy",
    Skip.MAINTENANCE: "it is in maintenance",
    Skip.UNSUPPORTED: "it cannot say this request",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A path with the hue that it has on every page."""

    path: str
    side: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One row of the matrix; `now` is where its requests begin at this moment, `why` if elsewhere.

    `split` is the share that begins on the other path, in words, empty for none.
    """

    name: str
    is_narrowed: bool
    primary: Way
    fallback: Way | None
    split: str
    budget: str
    when_down: str
    default_priority: str
    now: Way | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixTable:
    """The matrix in force; `stamp` changes when it or an override does."""

    environment: EnvironmentName
    version: int
    stamp: str
    mode: str
    rows: tuple[MatrixRow, ...]
    now: datetime


def way(path: Path) -> Way:
    """Return `path` with its hue."""
    return Way(path=str(path), side=SIDE[path])


def matrix_table(environment: EnvironmentName, state: State, now: datetime) -> MatrixTable:
    """Word the matrix of `state`, each row with where `decide` sends its requests now."""
    now_us = int(now.timestamp() * 1_000_000)
    plain = [(op, None, row) for op, row in state.matrix.rows.items()]
    narrowed = [(op, priority, row) for (op, priority), row in state.matrix.narrowed.items()]
    keyed = sorted([*plain, *narrowed], key=lambda key: list(Operation).index(key[0]))
    return MatrixTable(
        environment=environment,
        version=state.matrix.version,
        stamp=f"{state.matrix.version}.{state.versions.overrides}",
        mode=_mode(state),
        rows=tuple(_row(op, priority, row, state, now_us) for op, priority, row in keyed),
        now=now,
    )


def _mode(state: State) -> str:
    """Say what stands above the matrix, empty where nothing does."""
    if state.kill is Kill.STOP:
        return "The kill file stops every path; the matrix is not followed."
    if state.kill is not None:
        return f"The kill file says {state.kill}; the matrix is not followed."
    if not state.flags[FlagName.INTELLIGENT_ROUTING]:
        return f"{FlagName.INTELLIGENT_ROUTING} is off: MCP-only, the matrix is not followed."
    return ""


def _row(
    operation: Operation, priority: Priority | None, row: Row, state: State, now_us: int
) -> MatrixRow:
    request = Request(
        operation=operation, priority=priority or row.default_priority, now_us=now_us
    )
    decided = decide(request, state)
    tried = next(iter((*decided.eligible, *decided.last_resort)), None)
    return MatrixRow(
        name=row_name(operation, priority),
        is_narrowed=priority is not None,
        primary=way(row.primary),
        fallback=way(row.fallback) if row.fallback else None,
        split=f"{row.split} % begin on {OTHER[row.primary]}" if row.split else "",
        budget=budget_words(row),
        when_down=str(row.when_down).replace("_", " "),
        default_priority=str(row.default_priority),
        now=way(tried) if tried else None,
        why="" if decided.reason is Reason.RULE else str(decided.reason),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One path that was thought of; `over` says why it is passed over, empty where it is not."""

    way: Way
    over: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What would become of a request now. `facts` are what the promise was made from."""

    sentence: str
    shape: str
    steps: tuple[Step, ...]
    resort: tuple[Way, ...]
    facts: tuple[tuple[str, str], ...]


def explained(operation: Operation, decided: Decision, state: State) -> Explained:
    """Word a promise of the router: the order that it would take, and why each path is in it."""
    tries = [str(path) for path in (*decided.eligible, *decided.last_resort)]
    goes = f"would try {', then '.join(tries)}" if tries else "would not be sent anywhere"
    return Explained(
        sentence=f"{operation} {goes}: {_DOES[decided.reason]}.",
        shape="healthy" if decided.eligible else "degraded" if tries else "unhealthy",
        steps=tuple(
            Step(
                way=way(c.path),
                over=_OVER.get(c.skip, str(c.skip)) if c.skip else "",
                code=str(c.skip or ""),
            )
            for c in decided.candidates
        ),
        resort=tuple(way(path) for path in decided.last_resort),
        facts=_facts(decided, state),
    )


def _facts(decided: Decision, state: State) -> tuple[tuple[str, str], ...]:
    paths = ((str(p), f"{f.health}, breaker {f.breaker}") for p, f in state.paths.items())
    return (
        ("reason", str(decided.reason)),
        ("matrix", f"version {state.matrix.version} names {decided.matrix_path}"),
        ("budget", budget_words(decided.row)),
        ("flags", f"version {state.versions.flags}"),
        *paths,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideLine:
    """One override with people's names; `ended` says how it ended, empty while it holds."""

    id: int
    operation: str
    way: Way
    who: str
    reason: str
    set_at: datetime
    ends_at: datetime
    ended: str


def override_line(row: OverrideRow, names: Mapping[str, str], now: datetime) -> OverrideLine:
    """Word an override as it stands at `now`."""
    ended = ""
    if row.ended_at is not None:
        by = names.get(row.ended_by, row.ended_by)
        ended = f"ended by {by}: {row.ended_because}"
    elif not row.holds(now):
        ended = "its end has come"
    return OverrideLine(
        id=row.id,
        operation=str(row.operation),
        way=way(row.path),
        who=names.get(row.set_by, row.set_by),
        reason=row.reason,
        set_at=row.set_at,
        ends_at=row.ends_at,
        ended=ended,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionLine:
    """One published version; `at` is None for the one that the product begins with."""

    version: int
    at: datetime | None
    who: str
    reason: str
    in_force: bool


def version_lines(
    published: Sequence[Published], names: Mapping[str, str], in_force: int
) -> tuple[VersionLine, ...]:
    """Word the versions, newest first, down to the one that the product begins with."""
    lines = [
        VersionLine(
            version=one.version,
            at=one.made_at,
            who=names.get(one.made_by, one.made_by),
            reason=one.reason,
            in_force=one.version == in_force,
        )
        for one in published
    ]
    if all(line.version != 1 for line in lines):
        words = "what the product begins with"
        lines.append(VersionLine(version=1, at=None, who="", reason=words, in_force=in_force == 1))
    return tuple(lines)


def headline(environment: EnvironmentName, version: int, held: Sequence[OverrideLine]) -> str:
    """Say in one sentence what requests follow."""
    matrix = f"{environment} follows version {version} of its matrix"
    if not held:
        return matrix
    if len(held) > 1:
        return f"{matrix}, and {len(held)} overrides"
    (one,) = held
    until = f"{one.ends_at.astimezone(UTC):%H:%M} UTC"
    return f"{matrix}; {one.operation} is overridden to {one.way.path} until {until}"
