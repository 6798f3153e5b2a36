"""The first page: how the environment stands, and the one lever that mends it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard import partials
from dashboard.look import Look, Reader
from dashboard.views import gate
from dashboard.views.gate import Visit
from routing.core.rights import Right

PARTS = (
    "alarms",
    "state_header",
    "direct_bedrock_lane",
    "mcp_lane",
    "request_table",
    "change_feed",
    "open_items",
)


@require_safe
@gate.page("overview")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show all live parts of the environment, each from the same look."""
    told = partials.facts(PARTS, look(visit))
    told |= {"visit": visit, "is_live": True, "may_change": visit.may(Right.CHANGE)}
    return render(request, "dashboard/overview.html", told)


def look(visit: Visit) -> Look:
    """Return a look at the environment with the eyes of the visitor."""
    reader = Reader.AUDIT if visit.may(Right.AUDIT_READ) else Reader.EVERYONE
    return Look(visit.environment, visit.now, reader)
