"""What a change would have done to the requests of lately, before it is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routing.core import replay as core
from routing.core.flags import SetFlag
from routing.core.replay import Effect, Proposal
from routing.core.values import EnvironmentName, Operation, Path
from routing.decisions import replay
from routing.flags import store as flags
from routing.matrix import store as matrices

USUAL, MOST = replay.USUAL, replay.MOST
WITHIN_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The effect of a change of flags on the requests of lately, the newest first.

    `in_time` is False where the time was up before all that were asked for were looked at.
    `older` counts those that were decided under another version of flags or matrix than today's;
    each is judged with the other flags as they were then.
    """

    effect: Effect
    in_time: bool
    older: int


def of_flags(
    environment: EnvironmentName,
    sets: Sequence[SetFlag],
    *,
    n: int = USUAL,
    within_s: float = WITHIN_S,
    clock: Callable[[], float] = time.monotonic,
) -> Preview:
    """Return what `sets` would have done to the last `n` (1 to 5000) decisions, as far as can be
    told in `within_s` seconds; a flag on for some is taken as on for everyone.
    """
    looking = _Looking(
        versions=(flags.versions().get(environment, 0), matrices.read(environment).version),
        until=clock() + within_s,
        clock=clock,
    )
    proposal = Proposal(flags={one.flag: one.state.share > 0 for one in sets})
    found = core.replay(looking.through(replay.stored(environment, n)), proposal)
    return Preview(effect=found, in_time=looking.in_time, older=looking.older)


class _Looking:
    """Goes through records, counts those of other versions, and stops when the time is up."""

    def __init__(
        self, *, versions: tuple[int, int], until: float, clock: Callable[[], float]
    ) -> None:
        self._versions, self._until, self._clock = versions, until, clock
        self.older = 0
        self.in_time = True

    def through(self, records: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        for record in records:
            if self._clock() >= self._until:
                self.in_time = False
                return
            kept = record.get("versions")
            known = kept if isinstance(kept, Mapping) else {}
            self.older += (known.get("flags"), known.get("matrix")) != self._versions
            yield record


def told(found: Preview) -> tuple[str, ...]:
    """Return `found` as sentences, the worst first, and what they do not cover."""
    if not found.effect.total:
        if found.in_time:
            return words(found.effect)
        return ("The stored decisions could not be read in time, so nothing can be said.",)
    said = list(words(found.effect))
    if found.older:
        of_them = "It was" if found.effect.total == 1 else f"{found.older} of them were"
        said.append(
            f"{of_them} decided under other versions of flags or matrix than today's, and judged "
            "with those of then."
        )
    if not found.in_time:
        said.append("Older ones were not looked at: the time for this was up.")
    return tuple(said)


def effect(environment: EnvironmentName, proposal: Proposal, n: int = USUAL) -> Effect:
    """Return the effect of `proposal` on the last `n` (1 to 5000) stored decisions."""
    return replay.effect(environment, proposal, n)


def words(found: Effect) -> tuple[str, ...]:
    """Return `found` as sentences, the worst first."""
    if not found.total:
        return ("No decision is stored yet, so nothing can be said of the effect.",)
    whole = f"the last {found.total} decisions" if found.total > 1 else "the one stored decision"
    ours = " (all synthetic)" if found.synthetic == found.total else ""
    said = [f"Of {whole}{ours}, {found.changed or 'none'} would change path."]
    said += [_cell(operation, before, n) for operation, before, n in _stranded(found)]
    if found.unknown:
        said.append(
            f"{found.unknown} would go to a path whose outcome is unknown: it was not asked then."
        )
    if found.mismatched:
        said.append(
            f"{len(found.mismatched)} do not come out as they were stored, such as "
            f"{found.mismatched[0]}: do not rely on this; run `manage.py replay`."
        )
    if found.unreadable:
        said.append(f"{len(found.unreadable)} could not be decided again and are not counted.")
    return tuple(said)


def _stranded(found: Effect) -> Sequence[tuple[Operation, Path | None, int]]:
    return [(c.operation, c.before, n) for c, n in found.cells if c.after is None]


def _cell(operation: Operation, before: Path | None, n: int) -> str:
    return f"{n} of {operation} would have no path; {before} answered them."
