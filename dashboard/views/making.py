"""A change of flags as a person asked for it: now or later, for good or for a while."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from dashboard import cards, forms
from dashboard.views.gate import Visit
from routing import wiring
from routing.approvals import queries as approvals
from routing.changes import change, consent, preview, proposal, schedule, wall
from routing.core.errors import Invalid, NotFound, Refused
from routing.core.flags import SetFlag
from routing.core.guards import Answer, Cause, Judgement
from routing.core.plans import Due
from routing.core.values import EnvironmentName


def make(visit: Visit, sets: Sequence[SetFlag], said: Mapping[str, Any]) -> str:
    """Make the change, or plan it where a time was given; return in words what was done."""
    names = ", ".join(f"{one.flag} {'on' if one.on else 'off'}" for one in sets)
    asked: dict[str, Any] = {
        "by": visit.actor,
        "now": visit.now,
        "environment": visit.environment,
        "sets": sets,
        "reason": said["reason"],
        "cause": Cause(said["cause"]) if said["cause"] else None,
        "confirmed": said["confirmed"],
        "typed_environment": said["typed_environment"],
        "health": wiring.path_health(visit.environment),
    }
    at, lasts = due(said), span(said)
    if at is not None:
        when = proposal.when(at, lasts)
        booked = schedule.apply(when=when, **asked)
        words = wall.words(when.due_at, when.zone)
        return (
            f"Nothing is changed yet. Planned for {words}: {names} in {visit.environment}. "
            f"Audit entry #{booked.entry_seq}."
        )
    ends_at = None if lasts is None else visit.now + lasts
    done = change.apply(ends_at=ends_at, **asked)
    words = f"{_set_words(done)} in {visit.environment}. Audit entry #{done.entry_seq}."
    if ends_at is None:
        return words
    return f"{words} It goes back by itself at {cards.absolute(ends_at)}."


def _set_words(done: change.Applied) -> str:
    return ", ".join(f"{one.flag} is {'on' if one.after.on else 'off'}" for one in done.changes)


def span(said: Mapping[str, Any]) -> timedelta | None:
    """Return how long the change shall hold, None for good."""
    return timedelta(minutes=int(said["ends_after"])) if said["ends_after"] else None


def due(said: Mapping[str, Any]) -> Due | None:
    """Return the time that the change shall be made at, None for now; raises Invalid."""
    return wall.due(said["at"], said["zone"] or "UTC", said["which"])


def times_of(environment: EnvironmentName, number: int) -> dict[str, str]:
    """Return the times of a proposal as the form says them; none of one that is not there."""
    try:
        content = approvals.proposal(environment, number).content
    except (NotFound, Invalid):
        return {}
    minutes = int(content.lasts.total_seconds() // 60) if content.lasts else None
    said = {"ends_after": str(minutes) if minutes else ""}
    if content.due is not None:
        said |= {"at": content.due.local, "zone": content.due.zone}
    return said


def ask(
    visit: Visit,
    sets: Sequence[SetFlag],
    *,
    cause: str = "",
    ends_after: str = "",
) -> cards.Asked:
    """Return what making `sets` would do and what it asks for, judged on the state of now.

    What they would have done to the requests of lately is looked up now, too.
    """
    judgement = change.preview(
        by=visit.actor,
        now=visit.now,
        environment=visit.environment,
        sets=sets,
        cause=Cause(cause) if cause else None,
        health=wiring.path_health(visit.environment),
        ends_at=visit.now + timedelta(minutes=int(ends_after)) if ends_after else None,
    )
    foreseen = preview.told(preview.of_flags(visit.environment, sets))
    needing = change.needing(visit.environment, sets, Cause(cause) if cause else None)
    waits = bool(needing) and visit.glass is None
    return cards.asked(
        visit.environment,
        judgement,
        foreseen=foreseen,
        refused=_obstacle(visit, judgement, waits=waits),
        ends=forms.ENDS,
        needs_approval=waits,
    )


def _obstacle(visit: Visit, judgement: Judgement, *, waits: bool) -> str:
    """Return what keeps the person from it; whoever only proposes confirms nothing yet."""
    if waits and judgement.answer is not Answer.REFUSE:
        return ""
    try:
        consent.check(judgement, by=visit.actor, environment=visit.environment, confirmed=True)
    except Refused as error:
        return error.message
    return ""
