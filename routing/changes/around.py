"""Flags that were changed around us, as a booked change finds them in its own transaction.

In development they are taken in and booked as nobody's. In staging and production they are held
back, and a booked change goes on from what was booked last; the drift stays open.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.audit import body, ledger
from routing.core import booked
from routing.core.booked import Book, Difference, Row, as_json
from routing.core.chain import Json
from routing.core.errors import AuditBroken
from routing.core.flags import DECLARED, FlagName, State, defaults
from routing.core.rights import Actor, system_actor
from routing.core.values import Action, EnvironmentName
from routing.flags import book, snapshot, store
from routing.flags.snapshot import Mark

NOBODY_KNOWN = system_actor("unattributed")


def begin(environment: EnvironmentName, *, now: datetime, deep: bool = False) -> Mark:
    """Hold the flags for a change, in its transaction; a drift of development is taken in.

    With `deep` the table is compared with the trail, so that a change is found that the database
    did not count, and the set's row is made where it is missing. Raises NotFound where no flags
    were laid, AuditBroken where the trail does not tell.
    """
    held = store.begin(environment) if deep else store.hold(environment)
    if deep and not held.is_drifted:
        with contextlib.suppress(AuditBroken):  # for `verify_audit` to tell; the start goes on
            if look(environment):
                store.doubt(environment)
                held = store.hold(environment)
    if not held.is_drifted or environment is not EnvironmentName.DEVELOPMENT:
        return held
    take_in(environment, by=NOBODY_KNOWN, now=now)
    return store.hold(environment)


def look(environment: EnvironmentName) -> tuple[Difference, ...]:
    """Return how the table differs from what is booked; raises AuditBroken as the fold does."""
    return _compared(environment)[1]


def _compared(environment: EnvironmentName) -> tuple[Book, tuple[Difference, ...]]:
    there = store.table(environment)
    known = book.of(environment, {*DECLARED, *there})
    return known, booked.differences(known, there)


def version(environment: EnvironmentName, mark: Mark) -> int:
    """Return the version of the set as booked, 0 where the one in the table is."""
    return book.of(environment, DECLARED).version if mark.is_drifted else 0


def put(
    *, environment: EnvironmentName, flag: FlagName, wanted: State, by: str, now: datetime
) -> State:
    """Set one flag whatever its row says by now; `wanted` is based on its booked version."""
    return _put(environment, flag, wanted, by=by, now=now)


def _put(
    environment: EnvironmentName, flag: str, wanted: State, *, by: str, now: datetime
) -> State:
    state = _next(wanted, wanted.version)
    row = Row(state=state, entry_seq=0, changed_by=by, changed_at=body.moment(now))
    store.put(environment, flag, row)
    return state


def _next(state: State, version: int) -> State:
    return State(
        on=state.on, percentage=state.percentage, groups=state.groups, version=version + 1
    )


def take_in(
    environment: EnvironmentName, *, by: Actor, now: datetime, reason: str = "", facts: Json = None
) -> tuple[int, tuple[Difference, ...]]:
    """Make what stands in the table the booked state, in the caller's transaction, which holds it.

    Returns the audit entry and what differed. A declared flag whose row was taken away gets its
    declared state, so that none is without one.
    """
    known, found = _compared(environment)
    after: dict[str, State | None] = {}
    for one in found:
        wanted = adopted(environment, one)
        after[one.flag] = (
            None if wanted is None else _put(environment, one.flag, wanted, by=by.id, now=now)
        )
    at = store.bump(environment, beyond=known.version)
    entry = ledger.record(
        by=by,
        now=now,
        action=Action.FLAG_ADOPT,
        environment=environment,
        object_type="flags",
        object_id=str(environment),
        reason=reason,
        before=said({one.flag: one.booked for one in found}),
        after={flag: None if state is None else as_json(state) for flag, state in after.items()},
        facts={"flags_version": at, "attributed": by is not NOBODY_KNOWN, "more": facts},
    )
    store.seal(environment, after, entry_seq=entry.seq)
    finish(environment, version=at)
    return entry.seq, found


def adopted(environment: EnvironmentName, one: Difference) -> State | None:
    """Return the state that adopting `one` leads to, at the highest version that was seen."""
    seen = max((row.state.version for row in (one.booked, one.found) if row), default=0)
    if one.found is not None:
        return _next(one.found.state, seen - 1)
    if one.flag not in DECLARED:
        return None
    return State(on=defaults(environment)[FlagName(one.flag)], version=seen)


def put_back(environment: EnvironmentName) -> tuple[Difference, ...]:
    """Make the table what is booked, in the caller's transaction, which holds it."""
    known, found = _compared(environment)
    for one in found:
        store.put(environment, one.flag, one.booked)
    finish(environment, version=known.version)
    return found


def finish(environment: EnvironmentName, *, version: int) -> None:
    """Close the drift and tell every process."""
    store.settle(environment, version=version)
    transaction.on_commit(snapshot.refresh, robust=True)
    stream.announce("flags", environment)


def said(rows: Mapping[str, Row | None]) -> Json:
    """Return rows as they are booked, null for one that is not there."""
    return {flag: None if row is None else as_json(row.state) for flag, row in rows.items()}
