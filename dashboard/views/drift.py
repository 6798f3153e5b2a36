"""Flags that somebody changed around us: an admin adopts them or writes the booked ones back."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from dashboard import forms
from dashboard.views import actions, gate
from dashboard.views.gate import Visit
from routing import wiring
from routing.changes import drift


@require_POST
@gate.page("flags")
def settle(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Adopt or revert what the person looked at; a refusal is told on a page of its own."""
    said = actions.clean(forms.SettleDrift(request.POST))
    if said["do"] == "adopt":
        done = drift.adopt(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            touches=said["touches"],
            reason=said["reason"],
            typed_environment=said["typed_environment"],
            confirmed=said["confirmed"],
            health=wiring.path_health(visit.environment),
        )
    else:
        done = drift.revert(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            touches=said["touches"],
            reason=said["reason"],
            typed_environment=said["typed_environment"],
        )
    did = {"adopt": "adopted", "revert": "reverted"}[said["do"]]
    words = f"What was changed around us is {did}. Audit entry #{done.entry_seq}."
    messages.success(request, words, extra_tags="done")
    return redirect("flags", environment=visit.environment)
