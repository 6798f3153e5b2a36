"""The steps of a rollback of level 1, on the engine: prove, write once, verify, say how it ended.

Nothing is written before the target is proven; a rollback that cannot be, is refused, and its
environment is free at once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction

from routing import runs
from routing.changes import change
from routing.changes.change import Applied
from routing.core import rollback
from routing.core.approval import Bypass
from routing.core.errors import Refused, Stale
from routing.core.flags import FlagName, SetFlag
from routing.core.lifecycle import Stage
from routing.core.rollback import PATH, Target
from routing.core.values import Action, EnvironmentName, Health, Operation, Outcome
from routing.core.values import RollbackEnd as End
from routing.core.verdict import Suite
from routing.decisions import queries as decisions
from routing.deployments import crash, proving, record
from routing.deployments.checks import runner, target
from routing.deployments.checks.runner import Bench
from routing.deployments.engine import Done, Plan, Run, Spec
from routing.flags import store
from routing.fleet import queries as fleet
from routing.runs import Run as Asked

PREFLIGHT, FLAGS, PROCESSES, EFFECTIVE, SMOKE, ERRORS, END = (
    "preflight",
    "flags",
    "processes",
    "effective_path",
    "smoke",
    "error_rate",
    "end",
)
SEEN_WITHIN_S, LOOK_EVERY_S = 10.0, 0.05
LEAST = 20  # requests; fewer real ones are topped up
ASKED_EACH = 3  # times seven operations are more than LEAST
AS_PLANNED = 99  # per cent
BEFORE = timedelta(minutes=5)
PROOF_HOLDS = timedelta(seconds=15)


def target_of(run: Run) -> Target:
    """Return where the rollback leads."""
    return Target(run.operation.params["target"])


def preflight_step(run: Run) -> Done:
    """Prove the target by a fresh probe and three test calls; without the proof, end here."""
    proof = proving.prove(run, target_of(run))
    if proof.problem:
        facts = {"asked": proof.said}
        return refuse(run, PREFLIGHT, proof.problem, rule=rollback.TARGET_RED, facts=facts)
    return Done(result={"proof": proof.said, "at": run.now().isoformat()})


def refuse(
    run: Run, step: str, problem: str, *, rule: str, facts: Mapping[str, Any] | None = None
) -> Done:
    """End the rollback before its first write, booked with what else there is."""
    flags, health = proving.facts(run.operation.environment, run.now())
    told = rollback.Refusal(
        rule=rule,
        why=problem,
        alternatives=rollback.alternatives(target_of(run), flags, health),
    )
    said = {
        "refused": rollback.in_words(told),
        "rule": rule,
        "alternatives": list(told.alternatives),
        **(facts or {}),
    }
    with transaction.atomic():
        run.pen.check()
        run.pen.settle(step, now=run.now(), result=said, failed=True)
        run.pen.end(
            now=run.now(),
            stage=Stage.CANCELLED,
            action=Action.ROLLBACK_REFUSED,
            outcome=Outcome.REFUSED,
            facts={"message": said["refused"], "rule": rule},
        )
    return Done(kept=True)


def flags_step(run: Run) -> Done:
    """Write the flags as one change set, each from the version that the plan was made at."""
    problem = _unproven(run)
    if problem:
        return refuse(run, FLAGS, problem, rule=rollback.TARGET_UNPROVEN)
    environment = run.operation.environment
    if all(step["before"] == step["after"] for step in _sets(run)):
        version = store.versions()[environment]
        return Done(result={"applied": [], "version": version, "at": run.now().isoformat()})

    def keep(applied: Applied) -> None:
        crash.point(f"inside:{FLAGS}")
        run.pen.settle(FLAGS, now=run.now(), result=_applied(run, applied))

    try:
        change.apply(
            by=run.operation.by,
            now=run.now(),
            environment=environment,
            sets=[_set(step) for step in _sets(run)],
            reason=f"{run.operation.id}: {run.operation.reason}".rstrip(": ")[:500],
            health={PATH[target_of(run)]: Health.HEALTHY},  # proven by the step before
            confirmed=True,  # its effects stood in the plan whose digest was confirmed
            typed_environment=str(environment),
            under=Bypass.ROLLBACK,
            first=run.pen.check,
            then=keep,
        )
    except Refused as error:
        rule = "plan_stale" if isinstance(error, Stale) else str(error.facts.get("rule", "flags"))
        return refuse(run, FLAGS, error.message, rule=rule)
    return Done(kept=True)


def _unproven(run: Run) -> str:
    """Return what is wrong with the proof: a run that was killed after it proves anew."""
    kept = run.result(PREFLIGHT)
    if not kept.get("proof"):
        return f"The preflight broke ({'; '.join(kept.get('errors', ['no result']))})."
    if run.now() - datetime.fromisoformat(kept["at"]) <= PROOF_HOLDS:
        return ""
    return proving.prove(run, target_of(run)).problem


def _sets(run: Run) -> list[Mapping[str, Any]]:
    return [step for step in run.operation.params["steps"] if step["flag"]]


def _set(step: Mapping[str, Any]) -> SetFlag:
    flag = FlagName(step["flag"])
    return SetFlag(flag=flag, on=step["on"], base_version=step["version"])


def _applied(run: Run, applied: Applied) -> dict[str, Any]:
    return {
        "applied": [
            {"flag": str(one.flag), "before": one.before.share, "after": one.after.share}
            for one in applied.changes
        ],
        "version": applied.version,
        "entry": applied.entry_seq,
        "at": run.now().isoformat(),
    }


def processes_step(run: Run) -> Done:
    """Wait until every live process reports the version that was written, or name laggards."""
    version = int(run.result(FLAGS)["version"])
    written = datetime.fromisoformat(run.result(FLAGS)["at"])
    seen: dict[str, int] = {}
    deadline = time.monotonic() + SEEN_WITHIN_S
    while True:
        rows = _reporting(run.operation.environment, run.now())
        late = [id for id, runs_version in rows.items() if runs_version < version]
        ms = _ms(written, run.now())
        seen |= {id: ms for id in rows if id not in late and id not in seen}
        if not late or time.monotonic() > deadline or run.tools.stopping.is_set():
            break
        time.sleep(LOOK_EVERY_S)
    result = {
        "version": version,
        "processes": [{"id": id, "ms": took} for id, took in seen.items()],
        "laggards": late,
        "at": run.now().isoformat(),
    }
    return Done(result=result, failed=bool(late) or not seen)


def _reporting(environment: EnvironmentName, now: datetime) -> dict[str, int]:
    name = f"flags:{environment}"
    return {
        row.id: row.versions.get(name, -1)
        for row in fleet.alive(environment, now=now)
        if row.kind == "server"
    }


def effective_step(run: Run) -> Done:
    """Count where requests go since every process runs the new version; ask where few came."""
    since = datetime.fromisoformat(run.result(PROCESSES)["at"])
    wanted = PATH[target_of(run)]
    real = _real(run, since)
    asked: list[list[str]] = []
    if len(real) < LEAST:
        asked = runs.wait(partial(_ask_all, run))
        real = _real(run, since)
    went = [*real, *(effective for _, effective in asked)]
    good = sum(1 for path in went if path == str(wanted))
    result = {
        "real": len(real),
        "synthetic": len(asked),
        "as_planned": good,
        "of": len(went),
        "elsewhere": [f"{o} to {p or 'no path'}" for o, p in asked if p != str(wanted)],
    }
    return Done(result=result, failed=good * 100 < AS_PLANNED * len(went))


def _real(run: Run, since: datetime) -> list[str]:
    rows = decisions.recent(run.operation.environment).later_than(since).rows
    return [str(row.effective or "") for row in rows if not row.synthetic]


async def _ask_all(run: Run) -> list[list[str]]:
    """Route labelled synthetic requests of every operation; return where each one went."""
    async with proving.door(run, "traffic") as asked:
        return [
            [str(operation), await _went(asked, operation)]
            for _ in range(ASKED_EACH)
            for operation in Operation
            if not run.tools.stopping.is_set()
        ]


async def _went(asked: Asked, operation: Operation) -> str:
    prompt = f"Rollback {_letters()}: answer with the word ok."
    reply = await asked.route(prompt, operation=operation, max_tokens=16)
    return str(reply.body.get("effective") or "")


def _letters() -> str:
    """Return a tag in letters: digits could pass for somebody's number."""
    return secrets.token_hex(8).translate(str.maketrans("0123456789", "ghijklmnop"))


def smoke_step(run: Run) -> Done:
    """Run the smoke tests for the target; the other path's connection is skipped."""
    to = target_of(run)
    bench = Bench(hold=run, content=proving.content(run, to), conflicts={})
    results = runner.given(Suite.SMOKE, target.checks(to), bench)
    counted = [one for one in results if one.name != target.uncounted(to)]
    return Done(
        result={
            "tests": [record.as_json(one) for one in results],
            "not_counted": target.uncounted(to),
            "unproven": [str(one.name) for one in counted if not one.proves],
        },
        failed=any(one.status == "fail" for one in counted),
    )


def errors_step(run: Run) -> Done:
    """Compare the share of real requests that no path answered, before the write and after."""
    written = datetime.fromisoformat(run.result(FLAGS)["at"])
    rows = [
        row
        for row in decisions.recent(run.operation.environment).later_than(written - BEFORE).rows
        if not row.synthetic
    ]
    before = [row.effective is None for row in rows if row.at <= written]
    after = [row.effective is None for row in rows if row.at > written]
    worse = len(before) >= LEAST <= len(after) and (
        sum(after) * len(before) > sum(before) * len(after)
    )
    result = {
        "before": {"real": len(before), "errors": sum(before)},
        "after": {"real": len(after), "errors": sum(after)},
        "compared": len(before) >= LEAST <= len(after),
    }
    return Done(result=result, failed=worse)


def end_step(run: Run) -> Done:
    """Say how it ended, with the reasons and the stopwatch; the environment is free again."""
    end, why = judge(run)
    now = run.now()
    said = {"end": str(end), "reasons": why, "timings": timings(run, now)}
    with transaction.atomic():
        run.pen.check()
        run.pen.settle(END, now=now, result=said)
        crash.point(f"inside:{END}")
        run.pen.end(
            now=now,
            stage=Stage.ROLLED_BACK,
            action=Action.ROLLBACK_END,
            outcome=Outcome.DONE if end is End.VERIFIED else Outcome.FAILED,
            facts=said,
        )
    return Done(kept=True)


def judge(run: Run) -> tuple[End, list[str]]:
    """Return the end: a check that failed needs a person, one that proved nothing verifies not."""
    failed = {step.name: step.result for step in run.operation.steps if step.state == "failed"}
    why = [_failed(name, result) for name, result in failed.items()]
    if failed.keys() - {PROCESSES}:
        return End.NEEDS_HUMAN, why
    unproven = run.result(SMOKE).get("unproven", ["every smoke test"])
    why += [f"{name} proved nothing" for name in unproven]
    return (End.UNVERIFIED, why) if why else (End.VERIFIED, [])


def _failed(name: str, result: Mapping[str, Any]) -> str:
    if result.get("errors"):
        return f"{name}: {'; '.join(result['errors'])}"
    if name == PROCESSES:
        return f"not every process runs the new version: {', '.join(result['laggards']) or 'none'}"
    if name == EFFECTIVE:
        return f"{result['as_planned']} of {result['of']} requests went as planned"
    if name == SMOKE:
        bad = [one["name"] for one in result["tests"] if one["status"] == "fail"]
        return f"failed: {', '.join(bad)}"
    return "the share of errors is higher than before"


def timings(run: Run, now: datetime) -> dict[str, int | None]:
    """Return the stopwatch in ms; None for what was not seen."""
    detected = run.operation.params.get("detected_at")
    decided = run.operation.created_at
    at = {
        name: datetime.fromisoformat(run.result(name)["at"])
        for name in (PREFLIGHT, FLAGS, PROCESSES)
        if "at" in run.result(name)
    }
    first, whole = at.get(FLAGS), at.get(PROCESSES)
    seen = _ms(datetime.fromisoformat(detected), decided) if detected else None
    return {
        "detect_to_decide_ms": seen,
        "decide_to_proven_ms": _ms(decided, at[PREFLIGHT]) if PREFLIGHT in at else None,
        "decide_to_written_ms": _ms(decided, first) if first else None,
        "written_to_processes_ms": _ms(first, whole) if first and whole else None,
        "written_to_verified_ms": _ms(first, now) if first else None,
        "decide_to_verified_ms": _ms(decided, now),
    }


def _ms(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1000)


def _spec(name: str, do: Any, stage: Stage = Stage.ROLLING_BACK) -> Spec:
    return Spec(name=name, stage=stage, do=do)


PLAN: Plan = (
    _spec(PREFLIGHT, preflight_step, Stage.PENDING),
    _spec(FLAGS, flags_step),
    _spec(PROCESSES, processes_step),
    _spec(EFFECTIVE, effective_step),
    _spec(SMOKE, smoke_step),
    _spec(ERRORS, errors_step),
    _spec(END, end_step, Stage.ROLLED_BACK),
)
