"""BedrockSupportManager, the mode: sessions that somebody opens with a reason, behind a flag.

Support mode is active while a session is open, its end has not come and the flag is on. Switching
the flag off ends the session, booked: `reconcile` is called after flag changes and by a loop.
Both count as asking for the flag; a look at how the mode stands does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from routing import stream
from routing.audit import ledger
from routing.core import reasons, rights
from routing.core.chain import Json
from routing.core.errors import Invalid, RuleBroken, Stale
from routing.core.rights import Actor, Right, system_actor
from routing.core.values import Action, EnvironmentName
from routing.flags import queries as flags
from routing.flags import uses
from routing.support import queries
from routing.support.models import SupportSession
from routing.support.queries import FLAG, SessionRow, Status

FLAG_OFF = "support_flag_off"
LONGEST = timedelta(hours=24)
BECAUSE_FLAG = "flag switched off"
BECAUSE_END = "its end came"
_OBJECT = "support_session"


def status(environment: EnvironmentName, now: datetime) -> Status:
    """Return how support mode stands in `environment`."""
    return queries.status(environment, now)


def statuses(
    environments: Sequence[EnvironmentName], now: datetime
) -> Mapping[EnvironmentName, Status]:
    """Return how support mode stands in each of `environments`."""
    return queries.statuses(environments, now)


def activate(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    reason: str,
    ends_at: datetime | None = None,
) -> SessionRow:
    """Open a session of support mode; `ends_at` (at most 24 h ahead) closes it by itself.

    Raises Forbidden, Invalid (no reason of 5 characters or more, an end that will not do),
    RuleBroken with the rule `support_flag_off`, and Stale with `current` where a session is
    active already. Each refusal is booked with the reason as it was given.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.SUPPORT_ACTIVATE,
        environment=environment,
        object_type=_OBJECT,
        object_id=str(environment),
        reason=reason,
    ):
        rights.check(by, Right.SUPPORT, environment)
        why = _said(reason, environment)
        _check_end(ends_at, now)
        try:
            with transaction.atomic(durable=True):
                check_activate(environment, now)
                return _open(by, now, environment, why, ends_at)
        except IntegrityError:
            # The unique constraint: somebody opened a session between our look and our write.
            raise _taken(environment, queries.open_session(environment)) from None


def deactivate(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    reason: str = "",
    session: int | None = None,
) -> SessionRow:
    """Close the open session; `session` is the one that was looked at, any without it.

    Raises Forbidden, Invalid and Stale (none open, or another one by now); each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.SUPPORT_DEACTIVATE,
        environment=environment,
        object_type=_OBJECT,
        object_id=str(session or environment),
        reason=reason,
    ):
        rights.check(by, Right.SUPPORT, environment)
        why = reasons.check(reason, environment)
        with transaction.atomic(durable=True):
            kept = queries.open_session(environment)
            if kept is None or session not in (None, kept.id):
                raise _gone(environment, kept)
            closed = _close(kept, by=by, now=now, because=why or "deactivated")
            if closed is None:
                raise _gone(environment, queries.open_session(environment))
            return closed


def check_activate(environment: EnvironmentName, now: datetime) -> None:
    """Raise RuleBroken or Stale unless support mode can be activated in `environment` now."""
    off = _flag_obstacle(environment)
    if off:
        raise RuleBroken(f"Refused by the rule {FLAG_OFF}: {off}", rule=FLAG_OFF, flag=str(FLAG))
    session = queries.open_session(environment)
    if session is not None and not session.is_over(now):
        raise _taken(environment, session)


def reconcile(now: datetime) -> tuple[SessionRow, ...]:
    """End every session whose flag is off or whose end has come; return those ended here."""
    if not queries.open_sessions():  # as at nearly every look
        return ()
    return end_where_flag_is_off(now) + end_what_is_over(now)


def end_where_flag_is_off(now: datetime) -> tuple[SessionRow, ...]:
    """End the open sessions of every environment whose flag is not on; return those ended here.

    Of several processes that see it at once, one ends a session and books it.
    """
    ended = []
    for kept in queries.open_sessions():
        if _flag_obstacle(kept.environment):
            ended += _end(kept, now, BECAUSE_FLAG, _who_switched(kept.environment))
    return tuple(ended)


def end_what_is_over(now: datetime) -> tuple[SessionRow, ...]:
    """End the open sessions whose end has come; return those ended here."""
    ended = []
    for kept in queries.open_sessions():
        if kept.is_over(now):
            ended += _end(kept, now, BECAUSE_END, None)
    return tuple(ended)


def _flag_obstacle(environment: EnvironmentName) -> str:
    uses.note(environment, uses.SUPPORT)
    return queries.flag_obstacle(environment)


def _end(kept: SessionRow, now: datetime, because: str, facts: Json) -> list[SessionRow]:
    with transaction.atomic():
        closed = _close(kept, by=system_actor("support"), now=now, because=because, facts=facts)
    return [closed] if closed else []


def _who_switched(environment: EnvironmentName) -> Json:
    cell = flags.flag_row(FLAG, [environment]).cells.get(environment)
    if cell is None:
        return None
    return {"flag": str(FLAG), "entry": cell.entry_seq, "changed_by": cell.changed_by}


def _said(reason: str, environment: EnvironmentName) -> str:
    why = reasons.check(reason, environment)
    if len(why) < reasons.SHORTEST:
        raise Invalid(
            f"Support mode needs a reason of at least {reasons.SHORTEST} characters, in "
            f"{environment} too: say why, for whoever reads the trail later.",
            field="reason",
        )
    return why


def _check_end(ends_at: datetime | None, now: datetime) -> None:
    if ends_at is not None and not now < ends_at <= now + LONGEST:
        hours = int(LONGEST.total_seconds() // 3600)
        raise Invalid(
            f"A session ends after now and within {hours} h; choose such an end, or none.",
            field="ends_at",
        )


def _taken(environment: EnvironmentName, session: SessionRow | None) -> Stale:
    if session is None:
        return Stale(
            f"Support mode of {environment} was opened and closed again while you asked. Nothing "
            "was changed; try again.",
            current=None,
        )
    return Stale(queries.active_already(environment, session), current=_as_json(session))


def _gone(environment: EnvironmentName, session: SessionRow | None) -> Stale:
    if session is None:
        return Stale(
            f"Support mode has no open session in {environment}: nobody activated it, or somebody "
            "or its end was faster. Nothing was changed.",
            current=None,
        )
    return Stale(
        f"Another session of support mode is open in {environment} by now, of "
        f"{session.opened_by}: {session.reason}. Nothing was changed; look again, then decide.",
        current=_as_json(session),
    )


def _open(
    by: Actor, now: datetime, environment: EnvironmentName, why: str, ends_at: datetime | None
) -> SessionRow:
    over = queries.open_session(environment)
    if over is not None:
        if not over.is_over(now):  # somebody was faster than our look
            raise _taken(environment, over)
        _close(over, by=system_actor("support"), now=now, because=BECAUSE_END)
    made = SupportSession.objects.create(
        environment_id=environment, opened_at=now, opened_by=by.id, reason=why, ends_at=ends_at
    )
    opened = queries.row_of(made)
    ledger.record(
        by=by,
        now=now,
        action=Action.SUPPORT_ACTIVATE,
        environment=environment,
        object_type=_OBJECT,
        object_id=str(opened.id),
        reason=why,
        after=_as_json(opened),
    )
    stream.announce("support", environment)
    return opened


def _close(
    kept: SessionRow, *, by: Actor, now: datetime, because: str, facts: Json = None
) -> SessionRow | None:
    """Close `kept` if it is still open, in the caller's transaction; None when it was closed."""
    rows = SupportSession.objects.filter(pk=kept.id, closed_at=None)
    if not rows.update(closed_at=now, closed_by=by.id, closed_because=because):
        return None
    closed = queries.row_of(SupportSession.objects.get(pk=kept.id))
    ledger.record(
        by=by,
        now=now,
        action=Action.SUPPORT_DEACTIVATE,
        environment=kept.environment,
        object_type=_OBJECT,
        object_id=str(kept.id),
        reason=because,
        before=_as_json(kept),
        after=_as_json(closed),
        facts=facts,
    )
    stream.announce("support", kept.environment)
    return closed


def _as_json(session: SessionRow) -> dict[str, Json]:
    return {
        "id": session.id,
        "opened_at": session.opened_at.isoformat(),
        "opened_by": session.opened_by,
        "reason": session.reason,
        "ends_at": session.ends_at.isoformat() if session.ends_at else None,
        "closed_at": session.closed_at.isoformat() if session.closed_at else None,
        "closed_by": session.closed_by,
        "closed_because": session.closed_because,
    }
