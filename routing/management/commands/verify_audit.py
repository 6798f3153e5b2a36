"""`manage.py verify_audit`: prove that the audit trail was not altered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from routing.audit import verify
from routing.changes import drift
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.decisions import verify as decisions
from routing.management import base


class Command(base.OperatorCommand):
    help = (
        "Check every entry of the audit trail, every decision in the database and the triggers "
        "that guard both; fold the entries and hold the flags to what comes out. Exit 0 only "
        "if all is as it was written; else 1, naming the first "
        "that is not."
    )
    start_checks = False  # missing guards are an answer here, not a reason to give none

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        progress = None if options["json"] else self._tell
        report = verify.verify(on_progress=progress)
        decided = decisions.verify(on_progress=progress)
        # Folding a trail that was altered proves nothing of the tables.
        strange = drift.problems(tuple(EnvironmentName)) if report.ok else ()
        problem = report.problem or decided.problem or " ".join(strange)
        return {
            **asdict(report),
            "ok": report.ok and decided.ok and not report.unguarded and not strange,
            "problem": problem or _only_unguarded(report.unguarded),
            "decisions": asdict(decided),
            "flags": list(strange),
        }

    def show(self, result: base.Result) -> str:
        if result["ok"]:
            head, decided = result["head"], result["decisions"]
            return (
                f"All {result['entries']} entries and {decided['records']} decision records of "
                f"{decided['streams']} processes are as they were written. The newest entry is "
                f"{head['seq']}, {head['hash']}: keep that line elsewhere, since no chain can "
                "tell by itself that its newest entries were removed."
            )
        good = f"{result['entries']} entries before it are good."
        if result["decisions"]["first_bad"] and not result["first_bad"]:
            good = f"{result['decisions']['records']} decision records before it are good."
        elif not result["first_bad"]:
            good = ""
        if result["flags"] and not result["first_bad"]:
            good = "All entries are good: look at `manage.py flag_drift show`."
        only = result["problem"] == _only_unguarded(result["unguarded"])
        also = "" if only else _also_unguarded(result["unguarded"])
        return " ".join(words for words in (result["problem"], good, also) if words)

    def _tell(self, done: int, total: int) -> None:
        self.say(f"{done} of {total} checked")


def _also_unguarded(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    return (
        f"The database also lacks the guards {', '.join(names)}: keep a copy of it as it is, then "
        "run `manage.py migrate`, which puts them back."
    )


def _only_unguarded(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    return (
        f"The entries are as they were written, but the database lacks the guards "
        f"{', '.join(names)}. Run `manage.py migrate`, which puts them back."
    )
