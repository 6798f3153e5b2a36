"""A run in words: where it stands, its steps, and what they found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.cards.deployments import SHAPED, Mark
from routing.core.lifecycle import StepState
from routing.core.values import Verdict
from routing.deployments.ledger import OperationRow, StepRow

NAMES: Mapping[str, str] = {
    "components": "Component deployment",
    "flags": "Feature flag configuration",
    "matrix": "Decision matrix",
    "smoke": "Smoke tests",
    "validation": "Architecture validation",
    "integration": "Integration tests",
    "bake": "Bake",
    "judge": "Verdict",
    "undo_flags": "Undo of the flags",
    "undo_matrix": "Undo of the matrix",
    "document": "Documentation",
    "close": "Close",
}
STATES: Mapping[StepState, Mark] = {
    StepState.PENDING: Mark(shape="off", word="to come"),
    StepState.RUNNING: Mark(shape="partly", word="running"),
    StepState.WAITING: Mark(shape="maintenance", word="waiting"),
    StepState.DONE: Mark(shape="done", word="done"),
    StepState.FAILED: Mark(shape="failed", word="failed"),
}
SKIPPED = Mark(shape="off", word="skipped")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step; `words` say what it found, empty where all went as it must."""

    name: str
    mark: Mark
    took: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCard:
    """One run as a page shows it."""

    id: str
    headline: str
    mark: Mark
    stage: str
    who: str
    reason: str
    release: str
    at: datetime
    took: str
    is_over: bool
    steps: tuple[StepLine, ...]


def run_card(found: OperationRow, names: Mapping[str, str]) -> RunCard:
    """Return a run in words; `names` tell whose pseudonym is whose."""
    return RunCard(
        id=found.id,
        headline=_headline(found),
        mark=_mark(found),
        stage=str(found.stage),
        who=names.get(found.by.id, found.by.id),
        reason=found.reason,
        release=found.release[:12],
        at=found.created_at,
        took=_took(found.started_at, found.ended_at),
        is_over=found.is_over,
        steps=tuple(_line(step) for step in found.steps),
    )


def _headline(found: OperationRow) -> str:
    done = sum(1 for step in found.steps if step.ended_at is not None)
    if not found.is_over:
        return f"{found.environment}: {found.stage}, {done} of {len(found.steps)} steps done"
    if found.verdict is None:
        return f"{found.environment}: {found.stage}"
    return f"{found.environment}: {found.verdict}"


def _mark(found: OperationRow) -> Mark:
    if found.verdict is not None:
        return Mark(shape=SHAPED[found.verdict], word=str(found.verdict))
    if found.is_over:
        return Mark(shape="off", word=str(found.stage))
    return Mark(shape="partly", word=str(found.stage))


def _line(step: StepRow) -> StepLine:
    return StepLine(
        name=NAMES.get(step.name, step.name),
        mark=SKIPPED if step.result.get("skipped") else STATES[step.state],
        took=_took(step.started_at, step.ended_at),
        words=tuple(_words(step.result)),
    )


def _words(result: Mapping[str, Any]) -> list[str]:
    """Return what a step found, in the order of weight."""
    said = [*result.get("errors", [])]
    tests = result.get("tests", [])
    if tests:
        passed = sum(1 for test in tests if test["status"] == "pass")
        proven = sum(1 for test in tests if test["evidence"] == "proven")
        said.append(f"{passed} of {len(tests)} passed, {proven} proven")
    for test in tests:
        if test["status"] == "fail":
            why = test["error"] or f"expected {test['expected']}; got {test['actual']}"
            said.append(f"{test['name']}: {why}")
    said += [f"{flag} was changed by somebody{w}" for flag, w in _pairs(result, "conflicts")]
    said += [message for _code, message in result.get("findings", [])]
    if result.get("skipped"):
        said.append(result["skipped"])
    elif result.get("applied") == [] or result.get("published") is False:
        said.append("Stood so already; nothing was written.")
    if result.get("verdict") != str(Verdict.SUCCEEDED):
        said += result.get("reasons", [])
    return said


def _pairs(result: Mapping[str, Any], key: str) -> list[tuple[str, str]]:
    return list(result.get(key, {}).items())


def _took(began: datetime | None, ended: datetime | None) -> str:
    if began is None or ended is None:
        return ""
    return f"{(ended - began).total_seconds():.1f} s"
