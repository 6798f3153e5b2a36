"""The legal moves of a deployment, as a dictionary (product.md section 6)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from routing.core.errors import RuleBroken
from routing.core.values import Verdict


class Kind(StrEnum):
    DEPLOY = "deploy"
    ROLLBACK = "rollback"


class StepState(StrEnum):
    """`waiting` is a step that began and looks again later; `failed` is done, with a bad end."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class Stage(StrEnum):
    """Where a deployment stands; in the order of a run without a rollback."""

    PENDING = "pending"
    DEPLOYING = "deploying"
    SMOKE = "smoke"
    VALIDATING = "validating"
    INTEGRATION = "integration"
    BAKING = "baking"
    JUDGED = "judged"
    DOCUMENTING = "documenting"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"


# Cancelling is for what has not begun. From `deploying` on there is something to undo, so the
# way out is a rollback, from a closed deployment too.
NEXT: Mapping[Stage, frozenset[Stage]] = {
    Stage.PENDING: frozenset({Stage.DEPLOYING, Stage.CANCELLED}),
    Stage.DEPLOYING: frozenset({Stage.SMOKE, Stage.ROLLING_BACK}),
    Stage.SMOKE: frozenset({Stage.VALIDATING, Stage.ROLLING_BACK}),
    Stage.VALIDATING: frozenset({Stage.INTEGRATION, Stage.ROLLING_BACK}),
    Stage.INTEGRATION: frozenset({Stage.BAKING, Stage.ROLLING_BACK}),
    Stage.BAKING: frozenset({Stage.JUDGED, Stage.ROLLING_BACK}),
    Stage.JUDGED: frozenset({Stage.DOCUMENTING, Stage.ROLLING_BACK}),
    Stage.DOCUMENTING: frozenset({Stage.CLOSED, Stage.ROLLING_BACK}),
    Stage.CLOSED: frozenset({Stage.ROLLING_BACK}),
    Stage.CANCELLED: frozenset(),
    Stage.ROLLING_BACK: frozenset({Stage.ROLLED_BACK}),
    Stage.ROLLED_BACK: frozenset(),
}

# A rollback is an operation of its own. Cancelled means that nothing was written.
ROLLBACK: Mapping[Stage, frozenset[Stage]] = {
    Stage.PENDING: frozenset({Stage.ROLLING_BACK, Stage.CANCELLED}),
    Stage.ROLLING_BACK: frozenset({Stage.ROLLED_BACK, Stage.CANCELLED}),
}

TERMINAL = frozenset(stage for stage, following in NEXT.items() if not following)
# Nothing goes on by itself here, so the environment is free for another operation.
AT_REST = TERMINAL | {Stage.CLOSED}


def can_move(source: Stage, target: Stage, moves: Mapping[Stage, frozenset[Stage]] = NEXT) -> bool:
    """Tell whether a deployment in `source` may go to `target`."""
    return target in moves.get(source, frozenset())


def check_move(
    source: Stage, target: Stage, moves: Mapping[Stage, frozenset[Stage]] = NEXT
) -> None:
    """Raise RuleBroken, naming the moves that are legal, unless `source` may go to `target`."""
    if can_move(source, target, moves):
        return
    legal = [str(stage) for stage in Stage if stage in moves.get(source, frozenset())]
    where = f"it may go to {' or '.join(legal)}" if legal else "it is over"
    raise RuleBroken(
        f"A deployment in {source} cannot go to {target}: {where}. "
        "Load it again to see where it stands.",
        rule="deployment_stages",
        stage=str(source),
        legal=legal,
    )


def can_set_verdict(stage: Stage, present: Verdict | None) -> bool:
    """Tell whether a verdict may be set at `stage`, where `present` is the one already set."""
    return stage is Stage.JUDGED and present is None


def check_verdict(stage: Stage, present: Verdict | None) -> None:
    """Raise RuleBroken unless the verdict is set at `judged`, for the first time."""
    if can_set_verdict(stage, present):
        return
    why = f"this one is in {stage}" if present is None else f"this one {present} already"
    raise RuleBroken(
        f"A deployment is judged once, in the stage judged; {why}. "
        "Run a new deployment for a new verdict.",
        rule="verdict_once",
        stage=str(stage),
    )


def mermaid() -> str:
    """Return the stages as a Mermaid state diagram, ending in a newline, for docs/stages.md."""
    lines = ["stateDiagram-v2", f"    [*] --> {Stage.PENDING}"]
    for source in Stage:
        lines += [f"    {source} --> {target}" for target in Stage if target in NEXT[source]]
    lines += [f"    {stage} --> [*]" for stage in Stage if stage in AT_REST]
    return "\n".join(lines) + "\n"
