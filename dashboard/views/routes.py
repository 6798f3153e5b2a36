"""The Routing page: the matrix in force, where a request would go, overrides, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard import partials
from dashboard.cards import routes as words
from dashboard.views import gate, overview
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from routing import wiring
from routing.access import queries as access
from routing.changes import override, preview
from routing.changes.override import SetOverride
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, NotFound, Refused
from routing.core.replay import Proposal
from routing.core.rights import Right
from routing.core.values import EnvironmentName, Operation, Path, Priority
from routing.matrix import queries

OPERATIONS = [(str(o), str(o)) for o in Operation]
PATHS = [(str(p), str(p)) for p in Path]
MINUTES = [("15", "15 min"), ("30", "30 min"), ("60", "1 h"), ("120", "2 h"), ("240", "4 h")]
PRIORITIES = [("", "the operation's own"), *((str(p), str(p)) for p in Priority)]
LONGEST_PROMPT = 16_000
SHOWN_VERSIONS = 20
SET, LOOK = "set", "look"


class Question(forms.Form):
    """What `explain` is asked; the prompt is looked at for personal data and not kept."""

    operation = forms.ChoiceField(choices=OPERATIONS)
    priority = forms.ChoiceField(required=False, choices=PRIORITIES)
    subject = forms.CharField(required=False, max_length=200)
    prompt = forms.CharField(required=False, max_length=LONGEST_PROMPT, strip=False)


class Wish(forms.Form):
    """An override that is to be set, or whose effect is to be shown first."""

    do = forms.ChoiceField(choices=[(SET, SET), (LOOK, LOOK)])
    operation = forms.ChoiceField(choices=OPERATIONS)
    path = forms.ChoiceField(choices=PATHS)
    minutes = forms.ChoiceField(choices=MINUTES)
    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=40)
    confirmed = forms.BooleanField(required=False)


class Ending(forms.Form):
    """Why an override ends before its time."""

    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=40)
    confirmed = forms.BooleanField(required=False)


@require_safe
@gate.page("routing")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show what requests follow, and what was published before."""
    return render(request, "dashboard/routing.html", context(visit))


@require_POST
@gate.page("routing")
def explain(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Say where a request would go now; nothing is sent or changed, so there is no redirect."""
    said = cleaned(Question(request.POST))
    told: dict[str, Any] = {"visit": visit, "asked": said}
    status = 200
    try:
        operation = Operation(said["operation"])
        decided, state = wiring.explain(
            visit.environment,
            operation,
            priority=Priority(said["priority"]) if said["priority"] else None,
            subject=said["subject"],
            prompt=said["prompt"],
        )
        told["explained"] = words.explained(operation, decided, state)
    except Refused as error:
        told["unexplained"], status = error.message, error.status
    if gate.is_htmx(request):
        return render(request, "dashboard/bits/explained.html", told, status=status)
    return render(request, "dashboard/routing.html", context(visit) | told, status=status)


@require_POST
@gate.page("routing")
def set_override(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Set an override, or show what it would have done to the requests of lately."""
    said = cleaned(Wish(request.POST))
    operation, path = Operation(said["operation"]), Path(said["path"])
    if said["do"] == LOOK:
        found = preview.effect(visit.environment, Proposal(overrides={operation: path}))
        return _answer(request, visit, said=said, more={"effect": preview.words(found)})
    try:
        done = override.apply(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            wish=SetOverride(
                operation=operation,
                path=path,
                ends_at=visit.now + timedelta(minutes=int(said["minutes"])),
            ),
            reason=said["reason"],
            health=wiring.path_health(visit.environment),
            confirmed=said["confirmed"],
            typed_environment=said["typed_environment"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, {"said": said})
    return _done(
        request,
        visit,
        f"{operation} is overridden to {path} in {visit.environment}. Audit entry "
        f"#{done.entry_seq}.",
    )


@require_POST
@gate.page("routing")
def end_override(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """End an override before its time."""
    said = cleaned(Ending(request.POST))
    try:
        done = override.end(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            id=number,
            reason=said["reason"],
            confirmed=said["confirmed"],
            typed_environment=said["typed_environment"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, {"ending": said | {"id": number}})
    return _done(
        request,
        visit,
        f"The override of {done.row.operation} has ended in {visit.environment}; it follows the "
        f"matrix again. Audit entry #{done.entry_seq}.",
    )


def cleaned(form: forms.Form) -> dict[str, Any]:
    """Return what was said; raises Invalid for what no form of ours sends."""
    if form.is_valid():
        return form.cleaned_data
    wrong = "; ".join(
        f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()
    )
    raise Invalid(f"The form was not understood ({wrong}). Open the page again and choose anew.")


def _done(request: HttpRequest, visit: Visit, sentence: str) -> HttpResponse:
    if not gate.is_htmx(request):
        messages.success(request, sentence, extra_tags="done")
        return redirect("routing", environment=visit.environment)
    return _answer(request, visit, notices=[Notice(kind="done", text=sentence)])


def _refusal(
    request: HttpRequest, visit: Visit, error: Refused, more: Mapping[str, Any]
) -> HttpResponse:
    """Tell why nothing was changed, beside the fresh state and what was typed."""
    asks = isinstance(error, NeedsConfirm)
    text = f"Not done yet: {error.message}" if asks else error.message
    notices = [Notice(kind="stale" if error.status == 409 else "refused", text=text)]
    told = {**more, "stops": error.facts.get("effects", ()) if asks else ()}
    # The page's htmx takes no content from a 400.
    status = 422 if isinstance(error, Invalid) and gate.is_htmx(request) else error.status
    return _answer(request, visit, notices=notices, more=told, status=status)


def _answer(
    request: HttpRequest,
    visit: Visit,
    *,
    said: Mapping[str, Any] | None = None,
    notices: Sequence[Notice] = (),
    more: Mapping[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    told = context(visit) | {
        "notices": notices,
        **({"said": said} if said else {}),
        **(more or {}),
    }
    name = "bits/overrides_answer.html" if gate.is_htmx(request) else "routing.html"
    return render(request, f"dashboard/{name}", told, status=status)


def context(visit: Visit) -> dict[str, Any]:
    """Return all that the Routing page and its answers to htmx are told."""
    told = partials.facts(("matrix_table",), overview.look(visit))
    rows = queries.latest_overrides(visit.environment)
    published = queries.history(visit.environment)[:SHOWN_VERSIONS]
    kept = queries.draft(visit.environment)
    names = access.names(
        {who for row in rows for who in (row.set_by, row.ended_by)}
        | {one.made_by for one in published}
        | ({kept.owner, kept.changed_by} if kept else set())
    )
    lines = [words.override_line(row, names, visit.now) for row in rows]
    held = [line for line in lines if not line.ended]
    version = told["matrix"].version
    return told | {
        "visit": visit,
        "is_live": True,
        "headline": words.headline(visit.environment, version, held),
        "held": held,
        "past": [line for line in lines if line.ended][:5],
        "versions": words.version_lines(published, names, version),
        "draft": kept,
        "owner": names.get(kept.owner, kept.owner) if kept else "",
        "may_change": visit.may(Right.CHANGE),
        "needs_typed": visit.environment is EnvironmentName.PRODUCTION,
        "needs_reason": visit.environment is not EnvironmentName.DEVELOPMENT,
        "operations": OPERATIONS,
        "paths": PATHS,
        "minutes": MINUTES,
        "priorities": PRIORITIES,
        "asked": {"operation": str(Operation.STANDARD)},
        "said": {"operation": str(Operation.STANDARD), "minutes": "60"},
    }
