"""The Support page: the state of support mode, its two levers, the audit of the installation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard import cards
from dashboard.cards import support as words
from dashboard.forms import BIGGEST
from dashboard.views import gate
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from routing.access import queries as access
from routing.core.errors import Forbidden, Invalid, NotFound, Refused, Stale
from routing.core.rights import Right
from routing.support import infrastructure, mode, queries
from routing.support.checks import CHECKS

ENDS = (("", "when somebody ends it"), ("1", "1 h"), ("4", "4 h"), ("8", "8 h"), ("24", "24 h"))


class Lever(forms.Form):
    """What either lever sends; `session` is the one that the person looked at."""

    reason = forms.CharField(required=False, strip=False)
    hours = forms.ChoiceField(required=False, choices=ENDS)
    session = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST)


@require_safe
@gate.page("support")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show how support mode stands, what the last audit found, and who used it before."""
    return render(request, "dashboard/support.html", context(visit))


@require_POST
@gate.page("support")
def activate(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Open a session with the reason that was given."""
    said = _said(request)
    try:
        opened = mode.activate(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            reason=said["reason"],
            ends_at=visit.now + timedelta(hours=int(said["hours"])) if said["hours"] else None,
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, said)
    return _done(
        request, visit, f"Support mode is active in {visit.environment} (session {opened.id})."
    )


@require_POST
@gate.page("support")
def deactivate(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Close the session that was looked at."""
    said = _said(request)
    try:
        closed = mode.deactivate(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            reason=said["reason"],
            session=said["session"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, said)
    return _done(
        request, visit, f"Support mode has ended in {visit.environment} (session {closed.id})."
    )


@require_POST
@gate.page("support")
def audit(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Run all checks now."""
    report = infrastructure.run(by=visit.actor, now=visit.now, environment=visit.environment)
    sentence = (
        f"Audit {report.run_id} of {visit.environment} ended: {report.overall}, "
        f"{len(report.findings)} findings by {report.checks} checks."
    )
    return _done(request, visit, sentence)


def _said(request: HttpRequest) -> dict[str, Any]:
    form = Lever(request.POST)
    if form.is_valid():
        return form.cleaned_data
    wrong = "; ".join(
        f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()
    )
    raise Invalid(f"The form was not understood ({wrong}). Open the page again and choose anew.")


def _done(request: HttpRequest, visit: Visit, sentence: str) -> HttpResponse:
    if not gate.is_htmx(request):
        messages.success(request, sentence, extra_tags="done")
        return redirect("support", environment=visit.environment)
    told = context(visit, notices=[Notice(kind="done", text=sentence)])
    return render(request, "dashboard/bits/support_answer.html", told)


def _refusal(
    request: HttpRequest, visit: Visit, error: Refused, said: Mapping[str, Any]
) -> HttpResponse:
    """Tell why nothing was changed, beside the fresh state and what was typed."""
    told = context(visit, notices=[_notice(visit, error)]) | {"said": said}
    if not gate.is_htmx(request):
        return render(request, "dashboard/support.html", told, status=error.status)
    # The page's htmx takes no content from a 400.
    status = 422 if isinstance(error, Invalid) else error.status
    return render(request, "dashboard/bits/support_answer.html", told, status=status)


def _notice(visit: Visit, error: Refused) -> Notice:
    if not isinstance(error, Stale):
        return Notice(kind="refused", text=error.message)
    kept = queries.open_session(visit.environment)
    if kept is None:
        return Notice(kind="stale", text=error.message)
    return Notice(
        kind="stale",
        text=f"Somebody was faster: session {kept.id} is open, activated by "
        f"{_name(kept.opened_by)} {cards.ago(kept.opened_at, visit.now)}, saying: {kept.reason}. "
        "Nothing of yours was changed.",
    )


def context(visit: Visit, *, notices: Sequence[Notice] = ()) -> dict[str, Any]:
    """Return all that the Support page and its answers to htmx are told."""
    told = mode.status(visit.environment, visit.now)
    kept = queries.sessions(visit.environment)
    last = queries.last_audit(visit.environment)
    booked = {who for row in kept for who in (row.opened_by, row.closed_by)}
    names = access.names(booked | ({last.by} if last else set()))
    return {
        "visit": visit,
        "status": told,
        "flag": queries.FLAG,
        "headline": words.headline(told),
        "session": words.session_line(told.session, names) if told.session else None,
        "sessions": [words.session_line(row, names) for row in kept],
        "audit": words.audit_card(last, names) if last else None,
        "checks": [check.about for check in CHECKS],
        "may_use": visit.may(Right.SUPPORT),
        "ends": ENDS,
        "notices": notices,
    }


def _name(booked: str) -> str:
    return access.names({booked}).get(booked, booked)
