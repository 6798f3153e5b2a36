"""The booked flags of an environment: the fold of what the audit trail says of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from routing.audit import body
from routing.audit import queries as audit
from routing.core import booked
from routing.core.booked import Book, Entry
from routing.core.errors import AuditBroken
from routing.core.values import EnvironmentName, Outcome

BATCH = 100


def of(
    environment: EnvironmentName,
    wanted: Collection[str] = (),
    *,
    until: datetime | None = None,
    upto: int | None = None,
) -> Book:
    """Return what is booked of `environment`, reading back no further than `wanted` needs.

    With `until`, what was booked before that moment; with `upto`, by the entries up to that one.
    Raises AuditBroken where an entry on the way was altered or does not tell.
    """
    return booked.fold(_newest_first(environment, until, upto), wanted)


def _newest_first(
    environment: EnvironmentName, until: datetime | None, upto: int | None
) -> Iterator[Entry]:
    asked = audit.Filters(
        environment=environment, actions=booked.SETTING, outcome=Outcome.DONE, until=until
    )
    before = None if upto is None else upto + 1
    while True:
        page = audit.page(filters=asked, before_seq=before, size=BATCH)
        for row in page.rows:
            if row.broken:
                raise AuditBroken(
                    f"Entry {row.seq} was altered, so nobody knows which flags are booked; run "
                    "`manage.py verify_audit`.",
                    seq=row.seq,
                )
            yield Entry(
                seq=row.seq,
                at=body.moment(row.at),
                actor=row.actor,
                after=row.after,
                facts=row.facts,
            )
        before = page.next_before_seq
        if before is None:
            return
