"""What the commands over planned changes and broken glass print with `--json`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.house.printed import REFUSED, STG, WHY, Printed

PLANNED = {
    "id": "its number",
    "environment": "where",
    "kind": "change, or end: of one that holds for a while",
    "state": "waiting, done, cancelled, refused, drifted, missed or dropped",
    "sets": "flag, on, percentage and groups of each",
    "due_at": "UTC",
    "at": "the time in the zone in which it was asked for",
    "lasts_s": "after how many seconds it goes back, or null",
    "reason": "why",
    "asked_by": "who",
    "closed_at": "UTC, or null while it waits",
    "because": "what became of it, empty if there is no more to say",
    "entry": "the number of the audit entry",
}
BROKEN = {
    "id": "its number",
    "environment": "where",
    "broken_at": "UTC",
    "broken_by": "who",
    "reason": "why",
    "ends_at": "when it ends at the latest",
    "ended_at": "when its end was booked, or null",
    "holds": "whether it holds now",
    "reviewed_by": "who closed its review, empty while that is open",
    "review": "what they found",
}
EFFECT = {
    "environment": "where",
    "answer": "allow, confirm or refuse",
    "rule": "the guard's rule",
    "sentence": "the rule in words",
    "effects": "what would stop",
    "decisions": "how many stored decisions were looked at",
    "changed": "how many of them would have gone elsewhere",
    "no_path": "how many that were answered would have had no path",
    "unknown_outcome": "how many would have gone to a path that was not asked then",
    "in_time": "whether all that were asked for could be looked at",
    "older_versions": "how many were decided under other flags or another matrix than today's",
    "words": "the same in sentences",
}
TIMES: Mapping[str, tuple[Printed, ...]] = {
    "schedule": (
        Printed(
            when="list: one object for each, the waiting ones first; `set_flag --at` and cancel: "
            "one object",
            ask=("list", *STG),
            keys=PLANNED,
        ),
        Printed(
            when="refused, such as where there is no such planned change: one object",
            ask=("cancel", "99", *STG, *WHY),
            keys=REFUSED,
            status=1,
        ),
    ),
    "break_glass": (
        Printed(
            when="begin and end: one object; list: one for each",
            ask=("begin", *STG, "--minutes", "1", *WHY),
            keys=BROKEN,
        ),
    ),
}
