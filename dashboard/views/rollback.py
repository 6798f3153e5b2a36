"""The Rollback page: targets with their proof, the plan in full, the run, those before."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard import partials
from dashboard.cards import rollback as words
from dashboard.views import gate, overview
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from routing.access import queries as access
from routing.core.errors import Forbidden, Invalid, NotFound, Refused, Stale
from routing.core.rights import Right
from routing.core.rollback import Target
from routing.core.values import EnvironmentName
from routing.deployments import rollback

TARGETS = [(str(target), str(target)) for target in Target]


class Asked(forms.Form):
    """What the page is asked to plan."""

    target = forms.ChoiceField(choices=TARGETS)


class Confirmed(Asked):
    """What confirms a plan; `key` names this sending of the form."""

    digest = forms.CharField(max_length=64)
    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=32)
    key = forms.CharField(required=False, max_length=64)


@require_safe
@gate.page("rollback")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show both targets, the plan of the one that is asked for, and the last run."""
    form = Asked(request.GET)
    chosen = Target(form.cleaned_data["target"]) if form.is_valid() else None
    return render(request, "dashboard/rollback.html", context(visit, chosen))


@require_POST
@gate.page("rollback", Right.ROLL_BACK)
def start(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Begin the rollback whose plan was confirmed."""
    form = Confirmed(request.POST)
    if not form.is_valid():
        raise Invalid("The form was not understood. Open the page again and plan anew.")
    said = form.cleaned_data
    target = Target(said["target"])
    try:
        rollback.start(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            target=target,
            reason=said["reason"],
            digest=said["digest"],
            typed_environment=said["typed_environment"],
            key=said["key"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        kind = "stale" if isinstance(error, Stale) else "refused"
        notices = [Notice(kind=kind, text=error.message)]
        told = context(visit, target, notices=notices) | {"said": said}
        return render(request, "dashboard/rollback.html", told, status=error.status)
    return redirect("rollback", environment=visit.environment)


def context(
    visit: Visit, chosen: Target | None, *, notices: Sequence[Notice] = ()
) -> dict[str, Any]:
    """Return all that the Rollback page is told."""
    place = visit.environment
    plan = rollback.make_plan(now=visit.now, environment=place, target=chosen) if chosen else None
    incidents = [rollback.incident(target, place)[0] for target in Target]
    past = rollback.history(place)[1:]
    names = access.names({row.by.id for row in past})
    who = visit.may(Right.AUDIT_READ)
    told = partials.facts(("rollback_targets", "rollback_run"), overview.look(visit))
    return told | {
        "visit": visit,
        "is_live": True,
        "incidents": [said for said in incidents if said],
        "plan": plan,
        "reason": rollback.incident(chosen, place)[0] if chosen else "",
        "may_act": visit.may(Right.ROLL_BACK),
        "needs_reason": visit.environment is not EnvironmentName.DEVELOPMENT,
        "needs_typed": visit.environment is EnvironmentName.PRODUCTION,
        "key": secrets.token_hex(16),
        "history": [words.rollback_line(row, names, tells_who=who) for row in past],
        "notices": notices,
    }
