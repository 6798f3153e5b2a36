"""Bringing an environment to its release: flags and matrix, by compare-and-set, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from routing.audit import ledger as trail
from routing.audit import queries as entries
from routing.changes import change, publish
from routing.changes.change import Applied
from routing.changes.publish import Published
from routing.core.errors import Refused
from routing.core.flags import FlagName, SetFlag, State
from routing.core.matrix import Matrix
from routing.core.values import Action, EnvironmentName, Health, Path
from routing.deployments import crash, ledger, release
from routing.deployments.engine import Done, Run
from routing.flags import queries as flags
from routing.flags.queries import Cell
from routing.health import queries as health
from routing.matrix import codec
from routing.matrix import store as matrices

FRESH = timedelta(seconds=15)
FLAGS, MATRIX, UNDO_FLAGS, UNDO_MATRIX = "flags", "matrix", "undo_flags", "undo_matrix"
SKIPPED = {"skipped": "No server serves this environment, so nothing was written."}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What is to be set, what somebody else changed, and the entries that count as known."""

    sets: tuple[SetFlag, ...]
    conflicts: Mapping[str, str]
    restored: Mapping[str, str]
    known: Mapping[str, int]


def flags_step(run: Run) -> Done:
    """Set the flags that differ from the release, but none that somebody changed since.

    Fails with what was found and the number of its entry, unless the run restores flags.
    """
    if not run.tools.process:
        return Done(result=SKIPPED)
    environment = run.operation.environment
    wanted = release.read(run.operation.release).flags[environment]
    look = _look(run, wanted)
    result = {
        "conflicts": dict(look.conflicts),
        "restored": dict(look.restored),
        "known": dict(look.known),
        "findings": [
            ["flag_restored", f"{flag} was set back although somebody changed it{words}."]
            for flag, words in look.restored.items()
        ],
    }
    if not look.sets:
        return Done(result={**result, "applied": []}, failed=bool(look.conflicts))

    def keep(applied: Applied) -> None:
        crash.point(f"inside:{FLAGS}")
        run.pen.settle(
            FLAGS,
            now=run.now(),
            result=result | _applied(applied, look.known),
            failed=bool(look.conflicts),
        )

    change.apply(
        by=run.operation.by,
        now=run.now(),
        environment=environment,
        sets=look.sets,
        reason=_reason(run),
        health=_health(run),
        confirmed=bool(run.operation.params.get("confirmed")),
        typed_environment=str(environment),
        first=run.pen.check,
        then=keep,
    )
    return Done(kept=True)


def matrix_step(run: Run) -> Done:
    """Publish the matrix of the release where another one is in force."""
    if not run.tools.process:
        return Done(result=SKIPPED)
    environment = run.operation.environment
    inforce = matrices.read(environment)
    wanted = release.read(run.operation.release).matrix
    if codec.encode(inforce) == codec.encode(wanted):
        return Done(result={"version": inforce.version, "published": False})
    _publish(run, MATRIX, wanted, inforce.version, _reason(run))
    return Done(kept=True)


def undo_flags(run: Run) -> Done:
    """Put back the flags that this run set, those that nobody has touched since."""
    applied = run.result(FLAGS).get("applied", [])
    if not applied:
        return Done(result={"skipped": "This run changed no flag."})
    environment = run.operation.environment
    sets = [
        SetFlag(
            flag=FlagName(one["flag"]),
            on=one["before"] > 0,
            percentage=one.get("percentage", one["before"] or 100),
            groups=tuple(one.get("groups", ())),
            base_version=one["version"],
        )
        for one in applied
    ]

    def keep(done: Applied) -> None:
        known = {str(c.flag): done.entry_seq for c in done.changes}
        run.pen.settle(UNDO_FLAGS, now=run.now(), result={"known": known, "undone": list(known)})

    try:
        change.apply(
            by=run.operation.by,
            now=run.now(),
            environment=environment,
            sets=sets,
            reason=f"undo of {run.operation.id}, which failed",
            health=_health(run),
            confirmed=True,
            typed_environment=str(environment),
            first=run.pen.check,
            then=keep,
        )
    except Refused as error:
        return _not_undone(run, error)
    return Done(kept=True)


def undo_matrix(run: Run) -> Done:
    """Put back the matrix that this run replaced, if it is still in force."""
    done = run.result(MATRIX)
    if not done.get("published"):
        return Done(result={"skipped": "This run changed no matrix."})
    before = codec.decode(done["before"], version=1)
    words = f"undo of {run.operation.id}, which failed"
    try:
        _publish(run, UNDO_MATRIX, before, int(done["version"]), words)
    except Refused as error:
        return _not_undone(run, error)
    return Done(kept=True)


def commands(run_results: Mapping[str, Mapping[str, Any]], environment: EnvironmentName) -> str:
    """Return the commands that put back what a failed run wrote, empty where it wrote nothing."""
    said = [
        f"manage.py set_flag --flag {one['flag']} {_lever(one['before'])}"
        f" --environment {environment} --reason 'undo of a failed deployment'"
        for one in run_results.get(FLAGS, {}).get("applied", [])
    ]
    matrix = run_results.get(MATRIX, {})
    if matrix.get("published"):
        after = {row["operation"]: row for row in matrix["after"] if row["priority"] is None}
        said += [
            f"manage.py set_route {row['operation']} --environment {environment} --primary "
            f"{row['primary']} --fallback {row['fallback'] or 'none'}"
            for row in matrix["before"]
            if row["priority"] is None and after[row["operation"]] != row
        ]
    return "; ".join(said)


def _lever(share: int) -> str:
    return "--off" if share == 0 else f"--on --percentage {share}"


def _publish(run: Run, step: str, whole: Matrix, base_version: int, reason: str) -> None:
    def keep(done: Published) -> None:
        crash.point(f"inside:{step}")
        result = {
            "published": True,
            "version": done.version,
            "before": codec.encode(done.before),
            "after": codec.encode(whole),
        }
        run.pen.settle(step, now=run.now(), result=result)

    publish.apply(
        by=run.operation.by,
        now=run.now(),
        environment=run.operation.environment,
        whole=whole,
        base_version=base_version,
        reason=reason,
        confirmed=step == UNDO_MATRIX or bool(run.operation.params.get("confirmed")),
        typed_environment=str(run.operation.environment),
        first=run.pen.check,
        then=keep,
    )


def _not_undone(run: Run, error: Refused) -> Done:
    message = f"Not everything that this run wrote was put back: {error.message}"
    return Done(failed=True, result={"findings": [["not_undone", message]]})


def _look(run: Run, wanted: Mapping[FlagName, State]) -> _Look:
    environment = run.operation.environment
    before = known(environment, before=run.operation.id)
    sets: list[SetFlag] = []
    conflicts: dict[str, str] = {}
    restored: dict[str, str] = {}
    marks: dict[str, int] = {}
    for row in flags.grid([environment]).rows:
        cell, state = row.cells[environment], wanted[row.name]
        marks[str(row.name)] = cell.entry_seq
        if cell.state.gives_as(state):
            continue
        somebody = _changed_since(cell, before.get(str(row.name)))
        words = f" (entry {cell.entry_seq} by {cell.changed_by})"
        if somebody and not run.operation.params.get("restore_flags"):
            conflicts[str(row.name)] = words
            marks[str(row.name)] = before.get(str(row.name), 0)
            continue
        if somebody:
            restored[str(row.name)] = words
        sets.append(
            SetFlag(
                flag=row.name,
                on=state.on,
                percentage=state.percentage,
                groups=state.groups,
                base_version=cell.state.version,
            )
        )
    return _Look(sets=tuple(sets), conflicts=conflicts, restored=restored, known=marks)


def known(environment: EnvironmentName, *, before: str = "") -> dict[str, int]:
    """Return, by flag, the entry of its last change that a deployment made or agreed with."""
    last = ledger.last(environment, before=before, having=(FLAGS, "known"))
    if last is None:
        return {}
    return {**last.result(FLAGS).get("known", {}), **last.result(UNDO_FLAGS).get("known", {})}


def _changed_since(cell: Cell, mark: int | None) -> bool:
    """Tell whether somebody changed the flag since; before the first deployment, at all."""
    if mark is not None and mark > 0:
        return cell.entry_seq > mark
    if cell.entry_seq == 0:
        return True
    entry = entries.entry(stream=trail.CONTROL, seq=cell.entry_seq)
    return entry.action == str(Action.FLAG_CHANGE)


def _applied(applied: Applied, marks: Mapping[str, int]) -> dict[str, Any]:
    own = {str(one.flag): applied.entry_seq for one in applied.changes}
    return {
        "applied": [
            {
                "flag": str(one.flag),
                "before": one.before.share,
                "after": one.after.share,
                "percentage": one.before.percentage,
                "groups": list(one.before.favoured),
                "version": one.after.version,
            }
            for one in applied.changes
        ],
        "entry": applied.entry_seq,
        "known": {**marks, **own},
    }


def _reason(run: Run) -> str:
    said = f"{run.operation.id}: {run.operation.reason}" if run.operation.reason else ""
    return (said or f"deployment {run.operation.id}")[:500]


def _health(run: Run) -> dict[Path, Health]:
    """Return each path's judgement if it is fresh, else unknown."""
    found = dict.fromkeys(Path, Health.UNKNOWN)
    for row in health.rows(run.operation.environment):
        if run.now() - row.observed_at <= FRESH:
            found[row.path] = row.status
    return found
