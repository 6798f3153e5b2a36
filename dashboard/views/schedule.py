"""The Planned changes page: what waits for its time, and what became of the rest."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard import forms
from dashboard.cards import plans as words
from dashboard.views import gate
from dashboard.views.actions import clean
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from routing import wiring
from routing.access import queries as access
from routing.changes import schedule
from routing.core.errors import Forbidden, NotFound, Refused
from routing.core.rights import Right
from routing.core.values import EnvironmentName, PlanKind
from routing.schedule import queries


@require_safe
@gate.page("schedule")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """List what waits, what did not come, and what is closed."""
    return render(request, "dashboard/schedule.html", _context(visit))


@require_POST
@gate.page("schedule")
def cancel(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """Take back a change that waits, or the end of one that then stays."""
    said = clean(forms.Cancel(request.POST))
    try:
        booked = schedule.cancel(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            id=number,
            health=wiring.path_health(visit.environment),
            reason=said["reason"],
            typed_environment=said["typed_environment"],
            confirmed=said["confirmed"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error)
    done = f"Planned change {number} will not be made."
    if booked.row.kind is PlanKind.END:
        done = f"End {number} is cancelled: what it would have put back stays as it is."
    words = f"{done} Audit entry #{booked.entry_seq}."
    messages.success(request, words, extra_tags="done")
    return redirect("schedule", environment=visit.environment)


@require_POST
@gate.page("schedule")
def see(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """Take what did not come from the open items."""
    try:
        schedule.see(by=visit.actor, now=visit.now, environment=visit.environment, id=number)
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error)
    messages.success(request, f"Planned change {number} is seen.", extra_tags="done")
    return redirect("schedule", environment=visit.environment)


def _refusal(request: HttpRequest, visit: Visit, error: Refused) -> HttpResponse:
    told = _context(visit) | {"notices": [Notice(kind="refused", text=error.message)]}
    return render(request, "dashboard/schedule.html", told, status=error.status)


def _context(visit: Visit) -> dict[str, Any]:
    waiting, alarms = queries.waiting(visit.environment), queries.alarms(visit.environment)
    closed = [row for row in queries.closed(visit.environment) if not row.alarms]
    names = access.names({row.asked_by for row in (*waiting, *alarms, *closed)})
    return {
        "visit": visit,
        "waiting": [words.plan_line(row, names) for row in waiting],
        "alarms": [words.plan_line(row, names) for row in alarms],
        "closed": [words.plan_line(row, names) for row in closed],
        "may_change": visit.may(Right.CHANGE),
        "reads_audit": visit.may(Right.AUDIT_READ),
        "needs_reason": visit.environment is not EnvironmentName.DEVELOPMENT,
        "needs_typed": visit.environment is EnvironmentName.PRODUCTION,
        "notices": [],
    }
