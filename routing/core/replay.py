"""Recorded decisions decided again: as they were, and as a proposal would have them.

A record's arguments are what `decide` was asked; what its attempts met is what is known of each
path. Nothing is guessed: a path that was not tried has an unknown outcome, and a record that
cannot be read or does not come out as it stands there is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from routing.core import arguments, failures
from routing.core.decision import Decision, Override, Request, State, decide
from routing.core.errors import HybridOpsError
from routing.core.flags import FlagName
from routing.core.matrix import Matrix
from routing.core.values import Failure, Operation, Path, Reason, Skip

_ALWAYS_US = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What would be in force instead; what it does not name stays as each record has it.

    A flag that is proposed holds for every subject, an override for every request of its
    operation; None in place of its path takes away the one of then.
    """

    flags: Mapping[FlagName, bool] = field(default_factory=dict)
    matrix: Matrix | None = None
    overrides: Mapping[Operation, Path | None] = field(default_factory=dict)


class Met(StrEnum):
    """What is known of a path for one recorded request."""

    ANSWERED = "answered"
    FAILED = "failed"  # and the next one may be tried
    ENDED = "ended"  # failed in a way that is neither retried nor moved
    SPARED = "spared"  # left alone because another one was left
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Requests of one operation that went `before` and would go `after`; None is no path.

    `unknown` says that nothing is known of how `after` would have done.
    """

    operation: Operation
    before: Path | None
    after: Path | None
    unknown: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a proposal does to recorded requests; `synthetic` counts those of our own.

    `cells` count those that would end elsewhere, the ones left without a path first, then those
    whose outcome is unknown, then the rest, the most first. `mismatched` names records that do
    not come out as they stand, `unreadable` those that cannot be decided again.
    """

    total: int
    synthetic: int
    cells: tuple[tuple[Cell, int], ...]
    mismatched: tuple[str, ...]
    unreadable: tuple[str, ...]

    @property
    def changed(self) -> int:
        """Return how many requests would end elsewhere."""
        return sum(count for _, count in self.cells)

    @property
    def stranded(self) -> int:
        """Return how many were answered and would have no path."""
        return sum(count for cell, count in self.cells if cell.after is None)

    @property
    def unknown(self) -> int:
        """Return how many would go to a path whose outcome is unknown."""
        return sum(count for cell, count in self.cells if cell.unknown)


def replay(records: Iterable[Mapping[str, Any]], proposal: Proposal) -> Effect:
    """Return what `proposal` would have done to `records`, the bodies of decisions; never raises.

    A record that does not come out as it stands is counted in no cell: what its arguments say of
    a proposal is worth nothing.
    """
    total, synthetic, cells = 0, 0, Counter[Cell]()
    mismatched: list[str] = []
    unreadable: list[str] = []
    for record in records:
        total += 1
        synthetic += record.get("synthetic") is True
        try:
            cell = _cell(record, proposal)
        except _Mismatch:
            mismatched.append(str(record.get("id", "?")))
        except (HybridOpsError, AttributeError, LookupError, TypeError, ValueError):
            unreadable.append(str(record.get("id", "?")))
        else:
            if cell is not None:
                cells[cell] += 1
    return Effect(
        total=total,
        synthetic=synthetic,
        cells=tuple(sorted(cells.items(), key=_rank)),
        mismatched=tuple(mismatched),
        unreadable=tuple(unreadable),
    )


class _Mismatch(Exception):
    """The arguments of a record do not lead to what it says was decided."""


def _rank(item: tuple[Cell, int]) -> tuple[Any, ...]:
    cell, count = item
    order = list(Operation).index(cell.operation)
    return (cell.after is not None, not cell.unknown, -count, order, str(cell.before))


def _cell(record: Mapping[str, Any], proposal: Proposal) -> Cell | None:
    """Return where the request of `record` would end instead, None where it ends as it did."""
    if record["arguments"] is None and record["reason"] == Reason.SHED:
        return None  # sent away before a decision, whatever would have been decided
    request, state = arguments.unpack(record["arguments"])
    decided = decide(request, state)
    if not agrees(record, decided):
        raise _Mismatch
    if record.get("reason") == Reason.REFUSED_BUDGET:
        return None  # a budget asks for no path, so it would refuse the request on any
    before = Path(record["effective"]) if record["effective"] else None
    again = decide(*proposed(request, state, proposal))
    if _tries(again) == _tries(decided):
        return None
    after, unknown = _end(_tries(again), _met(record, _tries(decided)))
    if (after, unknown) == (before, False):
        return None
    return Cell(operation=request.operation, before=before, after=after, unknown=unknown)


def agrees(record: Mapping[str, Any], decided: Decision) -> bool:
    """Tell whether `decided` is what `record` says was decided.

    What happened on the way is written over the candidates afterwards, so a path that was to be
    tried may carry the reason why it was not, or that it was tried; `eligible` says which those
    were.
    """
    kept = [(Path(path), skip) for path, skip in record["candidates"]]
    eligible = [str(path) for path in decided.eligible]
    return (
        record["matrix_path"] == decided.matrix_path
        and record["intended"] == decided.intended
        and record["promised"] == decided.reason
        and record["last_resort"] == [str(path) for path in decided.last_resort]
        and record.get("eligible", eligible) == eligible
        and [path for path, _ in kept] == [c.path for c in decided.candidates]
        and all(
            _may_be_kept_as(skip, c.skip)
            for (_, skip), c in zip(kept, decided.candidates, strict=True)
        )
    )


_SPARED = frozenset({Skip.THROTTLED, Skip.SLOW})
_ON_THE_WAY = _SPARED | {None, Skip.TRIED, Skip.BREAKER_OPEN, Skip.FORCED_OPEN, Skip.NO_TIME_LEFT}


def _may_be_kept_as(kept: str | None, decided: Skip | None) -> bool:
    return kept in _ON_THE_WAY if decided is None else kept == decided


def proposed(request: Request, state: State, proposal: Proposal) -> tuple[Request, State]:
    """Return the arguments as they would be under `proposal`.

    Raises LookupError where the place of the subject in a split was not kept.
    """
    flags = {**state.flags, **proposal.flags}
    fresh = replace(state, flags=flags, overrides=_overrides(request, state, proposal))
    if proposal.matrix is None:
        return request, fresh
    priority = request.priority
    if not request.chosen:
        priority = proposal.matrix.rows[request.operation].default_priority
    row = proposal.matrix.row(request.operation, priority)
    if row.split and request.bucket is None:
        raise LookupError("The record does not tell where its subject stands in a split.")
    return replace(request, priority=priority), replace(fresh, matrix=proposal.matrix)


def _overrides(request: Request, state: State, proposal: Proposal) -> Sequence[Override]:
    if request.operation not in proposal.overrides:
        return state.overrides
    path = proposal.overrides[request.operation]
    if path is None:
        return ()
    return (Override(operation=request.operation, path=path, ends_us=_ALWAYS_US),)


def _tries(decision: Decision) -> tuple[Path, ...]:
    return (*decision.eligible, *decision.last_resort)


def _met(record: Mapping[str, Any], tries: Sequence[Path]) -> dict[Path, Met]:
    """Return what the recorded request met on the paths that it came to.

    It may have come back to one that it had spared, so also the paths behind one that answered
    may have been tried.
    """
    spared = {path for path, skip in record["candidates"] if skip in _SPARED}
    tried = {path for path, *_ in record["attempts"]}
    found: dict[Path, Met] = {}
    came = True
    for path in tries:
        if path in tried or (came and path not in spared):
            found[path] = _met_on(path, record["attempts"])
        elif path in spared:
            found[path] = Met.SPARED
        came = came and found[path] in _GOES_ON
    return found


_GOES_ON = frozenset({Met.FAILED, Met.SPARED})


def _met_on(path: Path, attempts: Iterable[Sequence[Any]]) -> Met:
    """Return how `path` did; one that was come to and not tried was held back, as it would be."""
    ends = [failure for tried, _, failure, *_ in attempts if tried == path]
    if ends and ends[-1] is None:
        return Met.ANSWERED
    if not ends or failures.may_fall_back(Failure(ends[-1])):
        return Met.FAILED
    return Met.ENDED


def _end(tries: Sequence[Path], met: Mapping[Path, Met]) -> tuple[Path | None, bool]:
    """Return the path that would answer, and whether nothing is known of its answer."""
    for path in tries:
        how = met.get(path, Met.UNKNOWN)
        if how is Met.ENDED:
            return None, False
        if how not in _GOES_ON:
            return path, how is Met.UNKNOWN
    spared = next((path for path in tries if met.get(path) is Met.SPARED), None)
    return spared, spared is not None  # with no other path it would have been asked
