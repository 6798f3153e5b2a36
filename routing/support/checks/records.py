"""Are the records whole: the audit trail, its guards, the decisions on their way to the tables?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db import connection

from routing.audit import guards as triggers
from routing.audit import ledger, queries, verify
from routing.core.findings import Found, Severity
from routing.decisions import lag
from routing.decisions.lag import Lag
from routing.support.site import Site

WAITS_S = 60
MANY = 1000
_TAMPERED = (
    "Change nothing and keep the database file; run `manage.py verify_audit`, then compare with "
    "the last backup."
)


def guards(site: Site) -> Iterator[Found]:
    """Look for the triggers that hold the audit tables append-only."""
    missing = triggers.missing(connection)
    if missing:
        yield Found(
            severity=Severity.CRITICAL,
            title=f"The database lacks {len(missing)} guards: audit rows could be altered.",
            remediation="Run `manage.py migrate`, which puts them back, then `manage.py "
            "verify_audit`; find out who dropped them.",
            evidence={"missing": missing},
        )


def trail(site: Site) -> Iterator[Found]:
    """Verify the whole trail, or of a very long one its newest entries."""
    head = ledger.head()
    if head is not None and head.seq > site.trail_limit:
        yield from _newest(site.trail_limit, head.seq)
        return
    report = verify.verify()
    if not report.ok:
        yield _broken(report.problem, first_bad=report.first_bad, good=report.entries)


def _newest(limit: int, total: int) -> Iterator[Found]:
    """Follow the chain backwards from the head over `limit` entries."""
    checked, before = 0, None
    newer: queries.EntryRow | None = None
    while checked < limit:
        page = queries.page(filters=queries.Filters(), before_seq=before, size=500)
        for row in page.rows:
            problem = row.broken or _link(row, newer)
            if problem:
                yield _broken(problem, first_bad=row.seq, good=checked)
                return
            checked, newer = checked + 1, row
        before = page.next_before_seq
        if before is None:
            break
    yield Found(
        severity=Severity.INFO,
        title=f"Only the newest {checked} of {total} audit entries were verified here.",
        remediation="Verify the whole trail on the Audit page or with `manage.py verify_audit`.",
        evidence={"checked": checked, "entries": total},
    )


def _link(row: queries.EntryRow, newer: queries.EntryRow | None) -> str:
    if newer is None:
        return ""
    if newer.seq != row.seq + 1:
        return f"Entry {row.seq + 1} is missing."
    if newer.prev != row.hash:
        return f"Entry {newer.seq} does not follow entry {row.seq}."
    return ""


def _broken(problem: str, *, first_bad: int | None, good: int) -> Found:
    return Found(
        severity=Severity.CRITICAL,
        title="The audit trail does not verify.",
        remediation=_TAMPERED,
        evidence={"problem": problem, "first_bad": first_bad, "good_entries": good},
    )


def segments(site: Site) -> Iterator[Found]:
    """Compare the decision segments on disk with the table that they are copied to."""
    for one in lag.look(site.home / "segments"):
        if one.problem:
            yield Found(
                severity=Severity.CRITICAL,
                title=f"The decision segment {one.file} cannot be read to its end.",
                remediation="Keep the file as it is; find out what else wrote to it.",
                evidence=_figures(one) | {"problem": one.problem},
            )
        elif one.waiting:
            yield from _waiting(one, site.now)


def _waiting(one: Lag, now: datetime) -> Iterator[Found]:
    waits_s = int((now - one.waiting_since).total_seconds()) if one.waiting_since else 0
    if waits_s <= WAITS_S and one.waiting <= MANY:
        return
    yield Found(
        severity=Severity.HIGH if waits_s > WAITS_S else Severity.MEDIUM,
        title=f"{one.waiting} decisions wait to be copied to the database, the oldest for "
        f"{waits_s} s.",
        remediation="They are safe on disk. Start the server of this HYBRIDOPS_HOME, or look in "
        "its log for what stops the shipper.",
        evidence=_figures(one) | {"waiting": one.waiting, "oldest_waits_s": waits_s},
    )


def _figures(one: Lag) -> dict[str, str | int]:
    return {
        "stream": one.stream,
        "file": one.file,
        "on_disk": one.on_disk,
        "in_database": one.in_database,
    }
