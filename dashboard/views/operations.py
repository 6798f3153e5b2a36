"""Runs of this environment: ask for a deployment, then watch its steps."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard.cards import operations as words
from dashboard.views import gate
from dashboard.views.gate import Visit
from routing.access import queries as access
from routing.core.errors import Forbidden, Invalid, NotFound, Refused
from routing.core.rights import Right
from routing.deployments import deploy, ledger
from routing.deployments.ledger import OperationRow

KEEP, RESTORE, ADOPT = "keep", "restore", "adopt"
FLAGS = (
    (KEEP, "leave what somebody changed, and fail"),
    (RESTORE, "set back what somebody changed"),
    (ADOPT, "take today's flags into a new release"),
)


class Wish(forms.Form):
    """What the form sends; `key` names this one rendering of it, so that two clicks are one."""

    reason = forms.CharField(required=False, strip=False, max_length=600)
    flags = forms.ChoiceField(required=False, choices=FLAGS)
    typed_environment = forms.CharField(required=False, max_length=40)
    confirmed = forms.BooleanField(required=False)
    key = forms.RegexField(r"\A[0-9a-f]{32}\Z")


@require_safe
@gate.page("deployments")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show the form and the last runs, the one under way first."""
    return render(request, "dashboard/operations.html", _context(visit))


@require_POST
@gate.page("deployments")
def start(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Open a deployment and show it; a second click shows the same one."""
    form = Wish(request.POST)
    if not form.is_valid():
        raise Invalid("The form was not understood. Open the page again and choose anew.")
    said = form.cleaned_data
    try:
        made = deploy.start(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            code_version=settings.HYBRIDOPS_VERSION,
            reason=said["reason"],
            typed_environment=said["typed_environment"],
            restore_flags=said["flags"] == RESTORE,
            adopt_flags=said["flags"] == ADOPT,
            confirmed=said["confirmed"],
            key=said["key"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        told = _context(visit) | {"said": said, "problem": error.message}
        return render(request, "dashboard/operations.html", told, status=error.status)
    return redirect("operation", environment=visit.environment, operation_id=made.id)


@require_safe
@gate.page("deployments")
def detail(request: HttpRequest, visit: Visit, operation_id: str) -> HttpResponse:
    """Show one run step by step; htmx gets the steps alone."""
    found = _found(visit, operation_id)
    told = {"visit": visit, "run": _card(found), "operation": found}
    name = "_operation_steps.html" if gate.is_htmx(request) else "operation.html"
    return render(request, f"dashboard/{name}", told)


def _found(visit: Visit, id: str) -> OperationRow:
    """Return a run of this environment; raises NotFound for any other, too."""
    found = ledger.read(id)
    if found.environment is not visit.environment:
        raise NotFound(f"There is no run {id} in {visit.environment}.")
    return found


def _card(found: OperationRow) -> words.RunCard:
    return words.run_card(found, access.names({found.by.id}))


def _context(visit: Visit) -> dict[str, Any]:
    found = deploy.recent(visit.environment)
    may = visit.may(Right.DEPLOY)
    return {
        "visit": visit,
        "runs": [_card(one) for one in found],
        "may_deploy": may,
        "flags": FLAGS,
        "said": {"flags": KEEP},
        "key": secrets.token_hex(16),
        "busy": next((one for one in found if not one.is_over), None),
    }
