"""Settings, tokens: what machines may do here, a new one, an end of one; for admins alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from dashboard.views import gate
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from dashboard.views.routes import cleaned
from routing.access import queries, tokens
from routing.access.queries import TokenRow
from routing.access.tokens import Issued
from routing.core.allowance import MOST, Limits
from routing.core.errors import Forbidden, Refused
from routing.core.rights import Right
from routing.core.values import EnvironmentName, Operation, Role

USUAL = Limits()
LONGEST_DAYS = 365
ROLES = [(str(role), str(role)) for role in Role]
OPERATIONS = [(str(o), str(o)) for o in Operation if o is not Operation.EMERGENCY]


class Issuing(forms.Form):
    """A machine's token: who will use it, what for, for how long, how much at most."""

    name = forms.CharField(max_length=100)
    role = forms.ChoiceField(choices=ROLES)
    operations = forms.MultipleChoiceField(choices=OPERATIONS)
    emergency = forms.BooleanField(required=False)
    tenant = forms.CharField(required=False, max_length=64)
    days = forms.IntegerField(min_value=1, max_value=LONGEST_DAYS)
    at_once = forms.IntegerField(min_value=1, max_value=MOST.at_once)
    per_second = forms.IntegerField(min_value=1, max_value=MOST.per_second)
    tokens_per_minute = forms.IntegerField(min_value=1, max_value=MOST.tokens_per_minute)
    access_key = forms.BooleanField(required=False)
    reason = forms.CharField(required=False, max_length=500)


class Revoking(forms.Form):
    reason = forms.CharField(required=False, max_length=500)


@require_safe
@gate.page("settings", Right.SETTINGS)
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """List the tokens of this environment."""
    return render(request, "dashboard/settings_tokens.html", _context(visit))


@sensitive_variables("made")
@require_POST
@gate.page("settings", Right.SETTINGS)
def issue(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Make a token; its secret is shown once."""
    said = cleaned(Issuing(request.POST))
    try:
        made = tokens.issue(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            role=Role(said["role"]),
            name=said["name"],
            operations=said["operations"],
            emergency=said["emergency"],
            tenant=said["tenant"] or "default",
            limits=Limits(
                at_once=said["at_once"],
                per_second=said["per_second"],
                tokens_per_minute=said["tokens_per_minute"],
            ),
            expires_at=visit.now + timedelta(days=said["days"]),
            access_key=said["access_key"],
            reason=said["reason"],
        )
    except Forbidden:
        raise
    except Refused as error:
        notices = [Notice(kind="refused", text=f"{error.message} Nothing was changed.")]
        told = _context(visit, notices=notices) | {"said": said}
        return render(request, "dashboard/settings_tokens.html", told, status=error.status)
    return render(request, "dashboard/settings_tokens.html", _context(visit, made=made))


@require_POST
@gate.page("settings", Right.SETTINGS)
def revoke(request: HttpRequest, visit: Visit, token_id: str) -> HttpResponse:
    """Revoke a token; every process refuses it within a second or so."""
    said = cleaned(Revoking(request.POST))
    tokens.revoke(by=visit.actor, now=visit.now, token_id=token_id, reason=said["reason"])
    words = f"{token_id} is revoked. Requests with it are refused within a second or so."
    messages.success(request, words, extra_tags="done")
    return redirect("settings-tokens", environment=visit.environment)


def _context(
    visit: Visit, *, made: Issued | None = None, notices: Sequence[Notice] = ()
) -> dict[str, Any]:
    found = [row for row in queries.tokens(visit.environment) if row.kind == "machine"]
    names = queries.names({row.created_by for row in found})
    rows = [replace(row, created_by=names.get(row.created_by, row.created_by)) for row in found]
    live = [row for row in rows if row.is_in_force(visit.now)]
    return {
        "visit": visit,
        "tab": "settings-tokens",
        "live": live,
        "over": [(row, _end(row)) for row in rows if row not in live],
        "made": made,
        "all_operations": len(OPERATIONS),
        "roles": ROLES,
        "operations": OPERATIONS,
        "usual": USUAL,
        "needs_reason": visit.environment is not EnvironmentName.DEVELOPMENT,
        "notices": notices,
    }


def _end(row: TokenRow) -> str:
    return "revoked" if row.revoked_at else "expired"
