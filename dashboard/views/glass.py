"""The Break-glass page: break it, end it, read what was done under it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard import cards, forms
from dashboard.cards import plans as words
from dashboard.views import gate
from dashboard.views.actions import clean
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from routing.access import queries as access
from routing.changes import glass
from routing.core import plans
from routing.core.errors import Forbidden, NotFound, Refused
from routing.core.rights import Right
from routing.core.values import EnvironmentName
from routing.glass import queries

MINUTES = tuple(n for n in (5, 10, 15, 30) if n * 60 <= plans.GLASS_MOST.total_seconds())


@require_safe
@gate.page("glass")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show whether the glass is broken, what waits for a review, and the times before."""
    return render(request, "dashboard/glass.html", _context(visit))


@require_POST
@gate.page("glass")
def begin(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Break the glass."""
    said = clean(forms.BreakGlass(request.POST))
    try:
        made = glass.begin(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            minutes=said["minutes"],
            reason=said["reason"],
            typed_environment=said["typed_environment"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, said)
    until = cards.absolute(made.ends_at)
    return _done(request, visit, f"The glass of {visit.environment} is broken until {until}.")


@require_POST
@gate.page("glass")
def end(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """End it before its time."""
    try:
        glass.end(by=visit.actor, now=visit.now, environment=visit.environment, id=number)
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, {})
    return _done(request, visit, f"Break-glass {number} of {visit.environment} has ended.")


@require_POST
@gate.page("glass")
def review(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """Close the review with the person's words."""
    said = clean(forms.ReviewGlass(request.POST))
    try:
        glass.review(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            id=number,
            words=said["words"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, said)
    return _done(request, visit, f"The review of break-glass {number} is closed.")


def _done(request: HttpRequest, visit: Visit, sentence: str) -> HttpResponse:
    messages.success(request, sentence, extra_tags="done")
    return redirect("glass", environment=visit.environment)


def _refusal(
    request: HttpRequest, visit: Visit, error: Refused, said: dict[str, Any]
) -> HttpResponse:
    told = _context(visit)
    told |= {"said": said, "notices": [Notice(kind="refused", text=error.message)]}
    return render(request, "dashboard/glass.html", told, status=error.status)


def _context(visit: Visit) -> dict[str, Any]:
    rows = queries.latest(visit.environment)
    open_ones = [row for row in queries.unreviewed(visit.environment) if not row.holds(visit.now)]
    booked = {who for row in (*rows, *open_ones) for who in (row.broken_by, row.reviewed_by)}
    names = access.names(booked - {""})
    held = [row for row in rows if row.holds(visit.now)]
    return {
        "visit": visit,
        "held": words.glass_line(held[0], names, visit.now) if held else None,
        "to_review": [words.glass_line(row, names, visit.now) for row in open_ones],
        "past": [words.glass_line(row, names, visit.now) for row in rows if row.reviewed_at],
        "own": {row.id for row in open_ones if row.broken_by == visit.actor.id},
        "may_break": visit.may(Right.BREAK_GLASS),
        "may_review": visit.may(Right.APPROVE),
        "reads_audit": visit.may(Right.AUDIT_READ),
        "minutes": MINUTES,
        "needs_typed": visit.environment is EnvironmentName.PRODUCTION,
        "notices": [],
    }
