"""What is judged of an environment, and what `decide` says to it for every operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from routing.core.decision import Decision, Request, State, decide
from routing.core.flags import FlagName
from routing.core.guards import PROVIDER
from routing.core.values import EnvironmentName, Health, Operation, Path, Reason, Skip

STALE = timedelta(seconds=15)
# How far before a state its cause is looked for, and how far two machines' clocks may differ: a
# change is booked before it has an effect, so what came later is no cause.
BEFORE, CLOCKS_DIFFER = timedelta(minutes=30), timedelta(seconds=1)
NAMED = 3  # more operations than this are counted, not named


@dataclass(frozen=True, slots=True, kw_only=True)
class PathNow:
    """One path as last judged; `since` is when its status began."""

    health: Health
    since: datetime
    observed_at: datetime
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What became of the requests for one operation; `moved` of the answered left their path."""

    operation: Operation
    total: int
    answered: int
    moved: int
    reasons: Mapping[Reason, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is judged. A path without an entry in `paths` was never measured.

    `window` words what `asked` counts, such as "the last minute"; `label` is "synthetic" where no
    real request was made and ours are counted instead. `flags_since` tells when a flag was last
    changed (one without was never changed), `shut_since` when the breaker of a path left closed,
    `locked` which flags were switched off for security or compliance.
    """

    environment: EnvironmentName
    now: datetime
    state: State
    paths: Mapping[Path, PathNow]
    asked: Sequence[Asked] = ()
    window: str = "the last minute"
    label: str = ""
    flags_since: Mapping[FlagName, datetime] = field(default_factory=dict)
    shut_since: Mapping[Path, datetime] = field(default_factory=dict)
    locked: frozenset[FlagName] = frozenset()


def requests(facts: Facts, count: int) -> str:
    """Word a number of the requests that were counted."""
    words = [str(count), facts.label, "request" if count == 1 else "requests"]
    return " ".join(word for word in words if word)


def part(facts: Facts, count: int, total: int) -> str:
    """Word a number of all the requests that were counted; one of one is the only one."""
    them = requests(facts, total)
    return f"the only {them.removeprefix('1 ')}" if total == 1 else f"{count} of {them}"


def fresh(path: PathNow | None, now: datetime) -> Health:
    """Return the health of a path at `now`; a judgement older than 15 s is unknown."""
    if path is None or now - path.observed_at > STALE:
        return Health.UNKNOWN
    return path.health


def decisions(facts: Facts, flags: Mapping[FlagName, bool]) -> Mapping[Operation, Decision]:
    """Ask `decide` for every operation at its default priority, on the health of now."""
    measured = {
        path: replace(known, health=fresh(facts.paths.get(path), facts.now))
        for path, known in facts.state.paths.items()
    }
    state = replace(facts.state, flags=flags, paths=measured)
    now_us = int(facts.now.timestamp() * 1_000_000)
    return {
        operation: decide(
            Request(
                operation=operation,
                priority=state.matrix.row(operation).default_priority,
                now_us=now_us,
            ),
            state,
        )
        for operation in Operation
    }


def first(decision: Decision) -> Path | None:
    """Return the path that would be tried first, None where no attempt would be made."""
    return next(iter((*decision.eligible, *decision.last_resort)), None)


def stranded(decisions: Mapping[Operation, Decision]) -> tuple[Operation, ...]:
    """Return the operations for which no attempt would be made."""
    return tuple(o for o, decision in decisions.items() if first(decision) is None)


def displaced(decisions: Mapping[Operation, Decision]) -> tuple[Operation, ...]:
    """Return the operations that another path would serve than the matrix names."""
    return tuple(
        o
        for o, decision in decisions.items()
        if first(decision) not in (None, decision.matrix_path)
    )


def lost_since(facts: Facts, lost: Mapping[Operation, Decision]) -> datetime | None:
    """Return since when all of `lost` are without a path: when the last way was closed.

    None where that is not known, or where it was always so.
    """
    return _last(
        _closed(facts, decision, candidate.path)
        for decision in lost.values()
        for candidate in decision.candidates
    )


def moved_since(facts: Facts, moved: Mapping[Operation, Decision]) -> datetime | None:
    """Return since when all of `moved` are off their path; None as in `lost_since`."""
    return _last(_closed(facts, decision, decision.matrix_path) for decision in moved.values())


_ALWAYS = datetime.min.replace(tzinfo=UTC)


def _last(times: Iterable[datetime | None]) -> datetime | None:
    known = list(times)
    last = max((at for at in known if at is not None), default=_ALWAYS)
    return None if None in known or last == _ALWAYS else last


def _closed(facts: Facts, decision: Decision, path: Path) -> datetime | None:
    """Return when what passes `path` over began to do so, None where nobody knows."""
    skip, kept = decision.skipped(path), facts.paths.get(path)
    if skip is Skip.FLAG_OFF:
        gates = {PROVIDER[path]}
        if path is not decision.intended and path is Path.DIRECT_BEDROCK:
            gates.add(FlagName.DIRECT_FALLBACK)
        return min(facts.flags_since.get(f, _ALWAYS) for f in gates if not facts.state.flags[f])
    if skip is Skip.BREAKER_OPEN:
        return facts.shut_since.get(path)
    if skip is not None and kept is not None and kept.health is _JUDGED.get(skip):
        return kept.since
    return None


_JUDGED: Mapping[Skip, Health] = {
    Skip.UNHEALTHY: Health.UNHEALTHY,
    Skip.MAINTENANCE: Health.MAINTENANCE,
    Skip.NOT_CONFIGURED: Health.NOT_CONFIGURED,
}


def names(operations: Sequence[Operation], *, always: bool = False) -> str:
    """Name the operations; many are counted instead, unless `always`."""
    if len(operations) > NAMED and not always:
        return f"{len(operations)} operations"
    return join(str(operation) for operation in operations)


def join(words: Iterable[str]) -> str:
    """Return one or more words as a list in a sentence."""
    told = list(words)
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def clock(at: datetime, now: datetime) -> str:
    """Return the time of day, with its date where that is not today's, and the zone."""
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    return f"{at:%H:%M} UTC" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M} UTC"


def began_after(since: datetime) -> tuple[datetime, datetime]:
    """Return from when to when a change may have caused a state that began at `since`."""
    return since - BEFORE, since + CLOCKS_DIFFER
