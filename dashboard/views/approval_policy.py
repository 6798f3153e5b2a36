"""Settings, approval: which flags need a second person here; for admins alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard.cards import approvals as cards
from dashboard.forms import BIGGEST
from dashboard.views import gate
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from dashboard.views.routes import cleaned
from routing import wiring
from routing.approvals import queries
from routing.changes import approval_policy, proposal
from routing.core.approval import PolicyWish
from routing.core.errors import Forbidden, NotFound, Refused
from routing.core.flags import FlagName
from routing.core.rights import Right
from routing.core.values import EnvironmentName


class Choosing(forms.Form):
    """The flags that shall need approval, from the version that was looked at."""

    flags = forms.MultipleChoiceField(
        required=False, choices=[(str(flag), str(flag)) for flag in FlagName]
    )
    base_version = forms.IntegerField(min_value=0, max_value=BIGGEST)
    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=32)


@require_safe
@gate.page("settings", Right.SETTINGS)
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show which flags need approval."""
    return render(request, "dashboard/settings_approval.html", _context(visit))


@require_POST
@gate.page("settings", Right.SETTINGS)
def put(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Need more at once; propose it where any flag is dropped."""
    said = cleaned(Choosing(request.POST))
    wanted = frozenset(FlagName(flag) for flag in said["flags"])
    try:
        if queries.policy(visit.environment).flags - wanted:
            return _propose(request, visit, wanted, said)
        done = approval_policy.apply(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            flags_needing=wanted,
            base_version=said["base_version"],
            reason=said["reason"],
            typed_environment=said["typed_environment"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        kind = "stale" if error.status == 409 else "refused"
        told = _context(visit, notices=[Notice(kind=kind, text=error.message)]) | {"said": said}
        return render(request, "dashboard/settings_approval.html", told, status=error.status)
    words = f"Done: these flags need a second person from now on. Audit entry #{done.entry_seq}."
    messages.success(request, words, extra_tags="done")
    return redirect("settings-approval", environment=visit.environment)


def _propose(
    request: HttpRequest, visit: Visit, wanted: frozenset[FlagName], said: dict[str, Any]
) -> HttpResponse:
    row = proposal.make(
        by=visit.actor,
        now=visit.now,
        environment=visit.environment,
        reason=said["reason"],
        policy=PolicyWish(flags=wanted, base_version=said["base_version"]),
        health=wiring.path_health(visit.environment),
    )
    words = (
        f"Proposal {row.number} is made: to need less, a second person has to agree. Nothing has "
        "changed."
    )
    messages.success(request, words, extra_tags="done")
    return redirect("approval", environment=visit.environment, number=row.number)


def _context(visit: Visit, *, notices: Sequence[Notice] = ()) -> dict[str, Any]:
    policy = queries.policy(visit.environment)
    return {
        "visit": visit,
        "tab": "settings-approval",
        "policy": policy,
        "lines": cards.policy_lines(policy),
        "needs_typed": visit.environment is EnvironmentName.PRODUCTION,
        "needs_reason": visit.environment is not EnvironmentName.DEVELOPMENT,
        "notices": notices,
    }
