"""The draft of a matrix: its editor, its difference, its effect, and what is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard.cards import drafts as cards
from dashboard.forms import BIGGEST
from dashboard.views import gate
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from dashboard.views.routes import cleaned
from routing.access import queries as access
from routing.changes import consent, draft, preview
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, NotFound, Refused
from routing.core.guards import Answer, Judgement
from routing.core.matrix import Matrix
from routing.core.matrix_words import differences
from routing.core.replay import Proposal
from routing.core.rights import Right
from routing.core.values import EnvironmentName
from routing.matrix import queries
from routing.matrix.queries import Draft


class Beginning(forms.Form):
    """`version` names an older matrix that the draft shall be of."""

    version = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST)
    reason = forms.CharField(required=False, strip=False)


class Edited(forms.Form):
    """Which draft was edited; its rows are read beside this form."""

    revision = forms.IntegerField(min_value=1, max_value=BIGGEST)


class Publishing(forms.Form):
    """`revision` of the draft and `base_version` of the matrix that the person looked at."""

    revision = forms.IntegerField(min_value=1, max_value=BIGGEST)
    base_version = forms.IntegerField(min_value=1, max_value=BIGGEST)
    reason = forms.CharField(required=False, strip=False)
    typed_environment = forms.CharField(required=False, max_length=40)
    confirmed = forms.BooleanField(required=False)


@require_safe
@gate.page("routing")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show the draft, its difference and its effect; without one, how to begin."""
    form = Beginning(request.GET)
    older = form.cleaned_data["version"] if form.is_valid() else None
    return render(request, "dashboard/draft.html", context(visit) | {"of_version": older})


@require_POST
@gate.page("routing")
def begin(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Open a draft of the matrix in force or of an older version."""
    said = cleaned(Beginning(request.POST))
    try:
        draft.begin(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            reason=said["reason"],
            version=said["version"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, {"said": said})
    return redirect("draft", environment=visit.environment)


@require_POST
@gate.page("routing")
def save(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Keep what was edited; what breaks a rule is kept too, and listed."""
    revision = cleaned(Edited(request.POST))["revision"]
    typed = {name: str(value) for name, value in request.POST.items()}
    try:
        kept = draft.save(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            revision=revision,
            rows=cards.rows_of(typed),
        )
    except (Forbidden, NotFound):
        raise
    except Invalid as error:
        again = {"rows": cards.typed_rows(typed), "problems": error.facts.get("problems", ())}
        return _refusal(request, visit, error, again)
    except Refused as error:
        return _refusal(request, visit, error, {})
    return _kept(
        request, visit, f"Draft saved, revision {kept.revision}. Nothing in force changed."
    )


@require_POST
@gate.page("routing")
def discard(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Close the draft unpublished."""
    said = cleaned(Edited(request.POST))
    try:
        draft.discard(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            revision=said["revision"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, {})
    words = f"The draft of {visit.environment} is discarded. Nothing in force changed."
    messages.success(request, words, extra_tags="done")
    return redirect("routing", environment=visit.environment)


@require_POST
@gate.page("routing")
def publish(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Put the draft in force as the next version."""
    said = cleaned(Publishing(request.POST))
    try:
        done = draft.publish(by=visit.actor, now=visit.now, environment=visit.environment, **said)
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, error, {"said": said})
    words = (
        f"{visit.environment} follows version {done.version} of its matrix. Audit entry "
        f"#{done.entry_seq}."
    )
    messages.success(request, words, extra_tags="done")
    return redirect("routing", environment=visit.environment)


def _kept(request: HttpRequest, visit: Visit, sentence: str) -> HttpResponse:
    if not gate.is_htmx(request):
        messages.success(request, sentence, extra_tags="done")
        return redirect("draft", environment=visit.environment)
    told = context(visit) | {"notices": [Notice(kind="done", text=sentence)]}
    return render(request, "dashboard/bits/draft_answer.html", told)


def _refusal(
    request: HttpRequest, visit: Visit, error: Refused, more: Mapping[str, Any]
) -> HttpResponse:
    """Tell why nothing was changed, beside what was typed."""
    asks = isinstance(error, NeedsConfirm)
    text = f"Not done yet: {error.message}" if asks else error.message
    if more.get("problems"):
        text = "Nothing was saved: the rows cannot be read. Mend what is listed below."
    notices = [Notice(kind="stale" if error.status == 409 else "refused", text=text)]
    told = {**context(visit), "notices": notices, **more}
    if not gate.is_htmx(request):
        return render(request, "dashboard/draft.html", told, status=error.status)
    # The page's htmx takes no content from a 400.
    status = 422 if isinstance(error, Invalid) else error.status
    return render(request, "dashboard/bits/draft_answer.html", told, status=status)


def context(visit: Visit) -> dict[str, Any]:
    """Return all that the page of the draft and its answers to htmx are told."""
    kept, inforce = queries.draft(visit.environment), queries.inforce(visit.environment)
    told: dict[str, Any] = {
        "visit": visit,
        "draft": kept,
        "of_version": None,
        "in_force": inforce.version,
        "may_change": visit.may(Right.CHANGE),
        "needs_typed": visit.environment is EnvironmentName.PRODUCTION,
        "needs_reason": visit.environment is not EnvironmentName.DEVELOPMENT,
        **cards.CHOICES,
    }
    if kept is None:
        return told
    names = access.names({kept.owner, kept.changed_by})
    return told | {
        "owner": names.get(kept.owner, kept.owner),
        "editor": names.get(kept.changed_by, kept.changed_by),
        "rows": cards.edited_rows(kept.matrix),
        "problems": kept.problems,
        "differences": differences(inforce, kept.matrix),
        "said": {"reason": kept.reason},
        **_consequences(visit, kept, inforce),
    }


def _consequences(visit: Visit, kept: Draft, inforce: Matrix) -> dict[str, Any]:
    """Return what publishing would do; of a draft with problems nothing can be said."""
    if kept.problems:
        return {}
    found = preview.effect(visit.environment, Proposal(matrix=kept.matrix))
    standing = preview.effect(visit.environment, Proposal(matrix=inforce))
    judged = draft.judge(kept)
    return {
        "effect": preview.words(found),
        "standing": standing.changed,
        "cells": found.cells[:12],
        "stops": judged.effects,
        "needs_confirm": judged.answer is Answer.CONFIRM,
        "refused": _refused(visit, judged),
    }


def _refused(visit: Visit, judged: Judgement) -> str:
    try:
        consent.check(judged, by=visit.actor, environment=visit.environment, confirmed=True)
    except Refused as error:
        return error.message
    return ""
