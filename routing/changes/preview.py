"""What a change would have done to the requests of lately, before it is made."""

from __future__ import annotations

from collections.abc import Sequence

from routing.core.replay import Effect, Proposal
from routing.core.values import EnvironmentName, Operation, Path
from routing.decisions import replay

USUAL, MOST = replay.USUAL, replay.MOST


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
