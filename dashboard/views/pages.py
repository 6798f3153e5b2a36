"""Pages: what a person looks at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from dashboard import cards, forms, partials
from dashboard.cards import audit as words
from dashboard.views import gate, overview
from dashboard.views.gate import Visit
from routing import wiring
from routing.access import queries as access
from routing.access import signin
from routing.audit import queries as audit_queries
from routing.core.errors import Forbidden, Invalid, MustChange, NotSignedIn
from routing.core.rights import Right
from routing.core.values import Action, Outcome


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lead to the first environment where the person has a role."""
    try:
        actor = signin.actor(request, now=wiring.now())
    except MustChange:
        return redirect("password")
    except NotSignedIn:
        return gate.to_sign_in(request)
    for environment in gate.environments_of(actor):
        return redirect("overview", environment=environment)
    return render(request, "no_role.html", {"actor": actor}, status=Forbidden.status)


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """Lead browsers that ask for it by habit to the drawn one."""
    return HttpResponseRedirect(static("dashboard/favicon.svg"))


@require_safe
@gate.page("flags")
def partial(request: HttpRequest, visit: Visit, name: str) -> HttpResponse:
    """Show one live part alone, as it is included and pushed."""
    if name not in partials.PARTIALS:
        raise Http404
    return HttpResponse(partials.render(name, overview.look(visit)))


@require_safe
@gate.page("audit", Right.AUDIT_READ)
def audit(request: HttpRequest, visit: Visit) -> HttpResponse:
    """List entries of this environment, or those that concern none, newest first."""
    form = forms.AuditFilter(request.GET)
    told = {"visit": visit, "form": form, "may_verify": visit.may(Right.AUDIT_VERIFY)}
    if not form.is_valid():
        # What a wrong filter would leave out is unknown, so nothing is listed.
        return render(request, "dashboard/audit.html", told, status=Invalid.status)
    said = form.cleaned_data
    found = audit_queries.page(filters=_filters(visit, said), before_seq=said["before"])
    names = access.names({actor for row in found.rows for actor in (row.actor, row.object_id)})
    told |= {
        "lines": [cards.audit_line(row, names) for row in found.rows],
        "older_than": said["before"],
        "older": _older(request.GET, found.next_before_seq),
    }
    return render(request, "dashboard/audit.html", told)


def _filters(visit: Visit, said: Mapping[str, Any]) -> audit_queries.Filters:
    return audit_queries.Filters(
        environment="" if said["where"] == "nowhere" else visit.environment,
        action=Action(said["action"]) if said["action"] else None,
        outcome=Outcome(said["outcome"]) if said["outcome"] else None,
        # People are booked under a pseudonym; whoever filters types the name.
        actor=access.pseudonym(said["actor"]) or said["actor"] if said["actor"] else None,
        object_id=said["object"] or None,
        since=said["since"],
        until=said["until"],
    )


def _older(asked: QueryDict, before_seq: int | None) -> str:
    if before_seq is None:
        return ""
    next_page = asked.copy()
    next_page["before"] = str(before_seq)
    return next_page.urlencode()


@require_safe
@gate.page("audit", Right.AUDIT_READ)
def audit_entry(request: HttpRequest, visit: Visit, seq: int) -> HttpResponse:
    """Show one entry as its own bytes tell it, with its place in the chain."""
    row = audit_queries.entry(stream="control", seq=seq)
    if row.environment not in ("", visit.environment):
        raise Http404
    names = access.names({row.actor, row.object_id, *words.agreed_by(row)})
    values = (("before", row.before), ("after", row.after), ("facts", row.facts))
    context = {
        "visit": visit,
        "row": row,
        "line": cards.audit_line(row, names),
        "agreement": words.agreement(row, names),
        "before": row.seq - 1,
        "values": [(name, cards.pretty(value)) for name, value in values if value is not None],
    }
    return render(request, "dashboard/audit_entry.html", context)
