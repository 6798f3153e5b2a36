"""Break-glass: an admin acts at once for at most 30 min, and another one reads it afterwards.

It lifts what waits for other people: approvals, and locks that keep changes away for a time.
No guard is lifted: what would leave no path is refused as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import transaction

from routing import stream
from routing.access import eyes
from routing.audit import ledger
from routing.core import approval, plans, reasons, rights
from routing.core.chain import Json
from routing.core.errors import Forbidden, Invalid, Stale
from routing.core.rights import Actor, Right, system_actor
from routing.core.values import Action, ActorKind, EnvironmentName
from routing.glass import queries, store
from routing.glass.queries import GlassRow

_OBJECT = "glass"
_SYSTEM = system_actor("glass")


def active(environment: EnvironmentName, now: datetime) -> GlassRow | None:
    """Return the break-glass that holds in `environment` at `now`, None without one.

    Whoever would ask for an approval, or for a lock to be lifted, asks this first.
    """
    return queries.active(environment, now)


def begin(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    minutes: int,
    reason: str,
    typed_environment: str = "",
) -> GlassRow:
    """Break the glass for 1 to 30 minutes; a task to review it is opened with it.

    Raises Forbidden, Invalid (no reason of 5 characters or more, another length), Stale where it
    is broken already; each is booked.
    """
    with _denied(Action.GLASS_BREAK, by, now, environment, reason=reason):
        rights.check(by, Right.BREAK_GLASS, environment)
        _no_machine(by, "A token breaks no glass. Sign in, or use manage.py.")
        why = _words(reason, "Breaking the glass needs a reason")
        reasons.check_place(typed_environment, environment)
        most = int(plans.GLASS_MOST.total_seconds() // 60)
        if not 1 <= minutes <= most:
            raise Invalid(f"Break-glass holds for 1 to {most} minutes.", field="minutes")
        with transaction.atomic(durable=True):
            for late in _expired(environment, now):
                _end(late, by=_SYSTEM, now=now)
            made = store.put(
                environment=environment,
                by=by.id,
                now=now,
                ends_at=now + timedelta(minutes=minutes),
                reason=why,
            )
            _book(Action.GLASS_BREAK, made, by=by, now=now, reason=why)
            return made


def end(*, by: Actor, now: datetime, environment: EnvironmentName, id: int) -> GlassRow:
    """End it before its time; raises Forbidden, NotFound and Stale (it has ended); booked."""
    with _denied(Action.GLASS_END, by, now, environment, id=id):
        rights.check(by, Right.BREAK_GLASS, environment)
        with transaction.atomic(durable=True):
            ended = _end(queries.one(environment, id), by=by, now=now)
            if ended is None:
                raise Stale(f"Break-glass {id} of {environment} has ended already.", current=None)
            return ended


def review(
    *, by: Actor, now: datetime, environment: EnvironmentName, id: int, words: str
) -> GlassRow:
    """Close the review of one that is over, with words; never by the person who broke it, nor by
    an account that is tied to theirs.

    Raises Forbidden, RuleBroken, Invalid (no words of 5 characters or more), NotFound and Stale
    (it still holds, or was reviewed); each is booked.
    """
    with _denied(Action.GLASS_REVIEW, by, now, environment, reason=words, id=id):
        rights.check(by, Right.APPROVE, environment)
        kept = queries.one(environment, id)
        if by.kind is not ActorKind.USER:
            raise Forbidden(
                "A review is a second pair of eyes: a person who is signed in does it on the "
                "page. Commands and tokens do not."
            )
        if by.id == kept.broken_by:
            raise Forbidden(
                "You broke this glass yourself; another reviewer or admin has to read what was "
                "done under it."
            )
        approval.check_tie(eyes.tie(kept.broken_by, by.id, now=now))
        said = _words(words, "A review needs words")
        with transaction.atomic(durable=True):
            if queries.one(environment, id).holds(now):
                raise Stale(
                    f"Break-glass {id} still holds; review it when it is over.", current=None
                )
            closed = store.review(id, by=by.id, now=now, words=said)
            if closed is None:
                raise Stale(f"Break-glass {id} was reviewed already.", current=None)
            _book(Action.GLASS_REVIEW, closed, by=by, now=now, reason=said)
            return closed


def expire(now: datetime) -> int:
    """Book the end of every break-glass whose end has come; return how many were booked here."""
    booked = 0
    for late in queries.expired(now):
        with transaction.atomic():
            booked += _end(late, by=_SYSTEM, now=now) is not None
    return booked


def _expired(environment: EnvironmentName, now: datetime) -> list[GlassRow]:
    return [row for row in queries.expired(now) if row.environment is environment]


def _end(kept: GlassRow, *, by: Actor, now: datetime) -> GlassRow | None:
    ended = store.end(kept.id, by=by.id, now=now)
    if ended is not None:
        because = "its end came" if by is _SYSTEM else "ended early"
        _book(Action.GLASS_END, ended, by=by, now=now, reason=because)
    return ended


def _words(said: str, begins: str) -> str:
    clean = reasons.check(said, EnvironmentName.DEVELOPMENT)
    if len(clean) < reasons.SHORTEST:
        raise Invalid(
            f"{begins} of at least {reasons.SHORTEST} characters, in every environment: whoever "
            "reads the trail later was not there.",
            field="reason",
        )
    return clean


def _no_machine(by: Actor, sentence: str) -> None:
    if by.kind is ActorKind.TOKEN:
        raise Forbidden(sentence)


@contextmanager
def _denied(
    action: Action,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    *,
    reason: str = "",
    id: int | None = None,
) -> Iterator[None]:
    with ledger.denied(
        by=by,
        now=now,
        action=action,
        environment=environment,
        object_type=_OBJECT,
        object_id=str(environment) if id is None else str(id),
        reason=reason,
    ):
        yield


def _book(action: Action, row: GlassRow, *, by: Actor, now: datetime, reason: str) -> None:
    ledger.record(
        by=by,
        now=now,
        action=action,
        environment=row.environment,
        object_type=_OBJECT,
        object_id=str(row.id),
        reason=reason,
        after=_as_json(row),
    )
    stream.announce("glass", row.environment)


def _as_json(row: GlassRow) -> dict[str, Json]:
    return {
        "id": row.id,
        "ends_at": row.ends_at.isoformat(),
        "ended_at": row.ended_at.isoformat() if row.ended_at else None,
        "reviewed_at": row.reviewed_at.isoformat() if row.reviewed_at else None,
    }
