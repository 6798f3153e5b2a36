"""Rollbacks in words: targets with their proof, the run with its stopwatch, those before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from routing.core import rollback
from routing.core.rollback import Plan
from routing.core.values import RollbackEnd
from routing.deployments.ledger import OperationRow, StepRow

# An end as one of the statuses that have a shape.
SHAPED: Mapping[str, str] = {
    RollbackEnd.VERIFIED: "healthy",
    RollbackEnd.UNVERIFIED: "unproven",
    RollbackEnd.COMPENSATED: "degraded",
    RollbackEnd.NEEDS_HUMAN: "unhealthy",
    "refused": "refused",
    "running": "partly",
}
_DOES: Mapping[str, str] = {
    "preflight": "Prove the target by a fresh probe and three test calls",
    "flags": "Write the flags as one change set",
    "processes": "Every live process runs the new version",
    "effective_path": "Requests go where planned, at least 99 %",
    "smoke": "Smoke tests again, for the target",
    "error_rate": "Errors of real requests not worse than before",
    "end": "Say how it ended",
}
_WATCH = (
    ("detect_to_decide_ms", "detect → decide"),
    ("decide_to_written_ms", "→ flags written"),
    ("written_to_processes_ms", "→ all processes"),
    ("written_to_verified_ms", "write → end"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetCard:
    """One target: how its path is, measured when, and why it is not offered if it is not."""

    target: str
    name: str
    path: str
    status: str
    why: str
    measured: datetime | None
    obstacle: str
    alternatives: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step of a run; `mark` is done, failed, now or todo."""

    mark: str
    does: str
    details: tuple[str, ...]
    took: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRun:
    """One run as it stands. `watch` holds (time, what it measures); a dash was not reached."""

    id: str
    title: str
    digest: str
    word: str
    shape: str
    since: datetime
    ended: datetime | None
    watch: tuple[tuple[str, str], ...]
    steps: tuple[StepLine, ...]
    reasons: tuple[str, ...]
    refused: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackLine:
    """One line of the history; `who` and `reason` for those who may read the trail."""

    run: RollbackRun
    who: str
    reason: str


def rollback_targets(plans: Sequence[Plan], now: datetime) -> tuple[TargetCard, ...]:
    """Word every target by the plan of `now`."""
    return tuple(_target(plan, now) for plan in plans)


def _target(plan: Plan, now: datetime) -> TargetCard:
    refusal, seen = plan.refusal, plan.seen
    return TargetCard(
        target=str(plan.target),
        name=plan.name,
        path=str(plan.path),
        status=_status(plan),
        why=" ".join(seen.why) if seen else "",
        measured=now - timedelta(milliseconds=seen.age_ms) if seen else None,
        obstacle=refusal.why if refusal else "",
        alternatives=refusal.alternatives if refusal else (),
    )


def _status(plan: Plan) -> str:
    """Return the status that the target wears: what is stale is unknown, never green."""
    stale = plan.refusal is not None and plan.refusal.rule == rollback.TARGET_STALE
    return str(plan.seen.status) if plan.seen and not stale else "unknown"


def rollback_run(last: OperationRow | None) -> RollbackRun | None:
    """Word the last rollback, None where there was none."""
    if last is None:
        return None
    refused = next((s.result["refused"] for s in last.steps if "refused" in s.result), "")
    end = last.result("end")
    word = "refused" if refused else str(end.get("end") or "running")
    name = rollback.NAMES[rollback.Target(last.params["target"])]
    verb = "Roll back" if not last.is_over or refused else "Rolled back"
    return RollbackRun(
        id=last.id,
        title=f"{verb} {last.environment} to {name}",
        digest=last.params["digest"],
        word=word.replace("_", " "),
        shape=SHAPED[word],
        since=last.created_at,
        ended=last.ended_at,
        watch=_watch(last, end.get("timings", {})),
        steps=tuple(_step(step, over=last.is_over) for step in last.steps),
        reasons=tuple(end.get("reasons", ())),
        refused=refused,
    )


def rollback_line(row: OperationRow, names: Mapping[str, str], *, tells_who: bool) -> RollbackLine:
    """Word one earlier rollback."""
    run = rollback_run(row)
    assert run is not None
    who = names.get(row.by.id, row.by.id)
    return RollbackLine(
        run=run, who=who if tells_who else "", reason=row.reason if tells_who else ""
    )


def _watch(last: OperationRow, timings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    known = dict(timings)
    for step, key in (("flags", "decide_to_written_ms"), ("processes", "written_to_processes_ms")):
        ended = next((s.ended_at for s in last.steps if s.name == step), None)
        start = last.created_at if step == "flags" else _ended(last, "flags")
        if key not in known and ended and start and "version" in last.result(step):
            known[key] = round((ended - start).total_seconds() * 1000)
    return tuple((_time(known.get(key)), label) for key, label in _WATCH)


def _ended(last: OperationRow, name: str) -> datetime | None:
    return next((s.ended_at for s in last.steps if s.name == name), None)


def _step(step: StepRow, *, over: bool) -> StepLine:
    mark = {"done": "done", "failed": "failed", "pending": "todo"}.get(str(step.state), "now")
    ended = step.ended_at
    took = (ended - step.started_at).total_seconds() * 1000 if ended and step.started_at else None
    return StepLine(
        mark="left" if over and mark in ("todo", "now") else mark,
        does=_DOES.get(step.name, step.name),
        details=tuple(_details(step.name, step.result)) if ended else (),
        took=_time(took) if ended else "",
    )


def _details(name: str, result: Mapping[str, Any]) -> list[str]:
    if "refused" in result:
        return [*result.get("asked", ()), result["refused"]]
    if name == "preflight":
        return list(result.get("proof", ()))
    if name == "flags":
        changed = [f"Set {one['flag']} to {_share(one['after'])}, was {_share(one['before'])}"
                   for one in result.get("applied", ())]  # fmt: skip
        return changed or ["All flags stood so already; nothing was written"]
    if name == "processes":
        seen = [f"{one['id']} {_time(one['ms'])}" for one in result.get("processes", ())]
        late = [f"{id} is late" for id in result.get("laggards", ())]
        return [f"version {result.get('version')}: {', '.join([*seen, *late])}"]
    if name == "effective_path":
        counted = f"{result.get('as_planned')} of {result.get('of')} requests"
        made = f"{result.get('real')} real, {result.get('synthetic')} synthetic"
        return [f"{counted} ({made})", *result.get("elsewhere", ())]
    return _judged(name, result)


def _judged(name: str, result: Mapping[str, Any]) -> list[str]:
    if name == "smoke":
        return [_test(one, result.get("not_counted", "")) for one in result.get("tests", ())]
    if name == "error_rate":
        sides = [f"{side}: {_errors(result.get(side, {}))}" for side in ("before", "after")]
        few = [] if result.get("compared") else ["too few real requests to compare"]
        return [*sides, *few]
    return []


def _test(one: Mapping[str, Any], not_counted: str) -> str:
    said = f"{one['name']}: {one['status']}, {one['evidence']}, {one['duration_ms']} ms"
    if one["name"] == not_counted:
        return f"{one['name']}: skip, not counted"
    if one["status"] == "pass":
        return said
    instead = f"expected {one['expected']}, got {one['actual']}"
    return f"{said}; {one['error'] or instead}"


def _errors(side: Mapping[str, Any]) -> str:
    return f"{side.get('errors', 0)} of {side.get('real', 0)} real requests failed"


def _share(percent: int) -> str:
    return {0: "off", 100: "on"}.get(percent, f"on at {percent} %")


def _time(ms: float | None) -> str:
    if ms is None:
        return "—"
    if ms < 1000:
        return f"{ms / 1000:.2f} s"
    if ms < 90_000:
        return f"{ms / 1000:.1f} s"
    return f"{int(ms // 60_000)} m {int(ms % 60_000 // 1000)} s"
