"""`manage.py verify_audit`: prove that the audit trail was not altered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from routing.audit import verify
from routing.core.rights import Actor
from routing.management import base


class Command(base.OperatorCommand):
    help = (
        "Check every entry of the audit trail and the triggers that guard it. Exit 0 only if all "
        "is as it was written; else 1, naming the first entry that is not."
    )
    start_checks = False  # missing guards are an answer here, not a reason to give none

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        progress = None if options["json"] else self._tell
        report = verify.verify(on_progress=progress)
        return {
            **asdict(report),
            "ok": report.ok and not report.unguarded,
            "problem": report.problem or _unguarded(report.unguarded),
        }

    def show(self, result: base.Result) -> str:
        if result["ok"]:
            head = result["head"]
            return (
                f"All {result['entries']} entries are as they were written. The newest is "
                f"{head['seq']}, {head['hash']}: keep that line elsewhere, since no chain can "
                "tell by itself that its newest entries were removed."
            )
        good = f"{result['entries']} entries before it are good."
        return f"{result['problem']} {good}" if result["first_bad"] else str(result["problem"])

    def _tell(self, done: int, total: int) -> None:
        self.say(f"{done} of {total} checked")


def _unguarded(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    return (
        f"The entries are as they were written, but the database lacks the guards "
        f"{', '.join(names)}. Run `manage.py migrate`, which puts them back."
    )
