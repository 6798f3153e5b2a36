"""Deployments: the list, one of them whole, two compared, and the import of documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from dashboard import forms
from dashboard.cards import deployments as words
from dashboard.views import gate
from dashboard.views.gate import Visit
from routing.access import queries as access
from routing.core.errors import Invalid, NotFound, Refused
from routing.core.rights import Right
from routing.core.values import Verdict
from routing.deployments import comparing, document, importing, queries
from routing.deployments.importing import Imported, Incoming, Stored
from routing.deployments.origins import Origin
from routing.deployments.queries import DeploymentRow, Filters

CHOICES = 100


@require_safe
@gate.page("deployments")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """List the deployments of this environment, newest first."""
    form = forms.DeploymentFilter(request.GET)
    told: dict[str, Any] = {"visit": visit, "form": form, "may_import": visit.may(Right.IMPORT)}
    if not form.is_valid():
        return render(request, "dashboard/deployments.html", told, status=Invalid.status)
    said = form.cleaned_data
    found = queries.page(
        filters=Filters(
            environment=visit.environment,
            verdict=Verdict(said["verdict"]) if said["verdict"] else None,
            origin=Origin(said["origin"]) if said["origin"] else None,
        ),
        before=said["before"] or None,
    )
    older = request.GET.copy()
    older["before"] = found.next_before or ""
    narrowed = bool(said["verdict"] or said["origin"] or said["before"])
    told |= {
        "lines": [words.deployment_line(row) for row in found.rows],
        "headline": "Deployments"
        if narrowed
        else words.deployments_summary(found.rows, visit.environment, visit.now),
        "narrowed": narrowed,
        "older": older.urlencode() if found.next_before else "",
    }
    return render(request, "dashboard/deployments.html", told)


@require_safe
@gate.page("deployments")
def detail(request: HttpRequest, visit: Visit, deployment_id: str) -> HttpResponse:
    """Show one deployment: recorded beside derived, with reasons, and every claim as text."""
    found = queries.detail(deployment_id, environments=[visit.environment])
    names = access.names({found.row.by, *(one.by for one in found.documents)})
    context = {
        "visit": visit,
        "card": words.deployment_card(found, names),
        "detail": found,
        "may_audit": visit.may(Right.AUDIT_READ),
    }
    return render(request, "dashboard/deployment.html", context)


@require_safe
@gate.page("deployments")
def compare(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show two deployments side by side, and where each check of this environment went bad."""
    choices = _choices(visit)
    told: dict[str, Any] = {
        "visit": visit,
        "choices": choices,
        "before": request.GET.get("before", choices[1].id if len(choices) > 1 else ""),
        "after": request.GET.get("after", choices[0].id if len(choices) > 1 else ""),
        "bads": [words.bad_line(b) for b in comparing.first_bads(environment=visit.environment)],
    }
    status = 200
    try:
        told |= _compared(visit, told["before"], told["after"])
    except NotFound as error:
        told["problem"], status = error.message, error.status
    return render(request, "dashboard/deployments_compare.html", told, status=status)


def _choices(visit: Visit) -> list[DeploymentRow]:
    """Return the newest deployments of every environment that the person sees, this one first."""
    others = [name for name in visit.environments if name is not visit.environment]
    return [
        row
        for name in (visit.environment, *others)
        for row in queries.page(filters=Filters(environment=name), size=CHOICES).rows
    ]


def _compared(visit: Visit, before: str, after: str) -> dict[str, Any]:
    if not before or not after:
        return {}
    found = comparing.compare(before, after, environments=visit.environments)
    return {
        "compared": found,
        "sides": [words.deployment_line(side.row) for side in (found.before, found.after)],
        "changes": list(words.change_lines(found.changes)),
    }


@require_http_methods(["GET", "HEAD", "POST"])
@gate.page("deployments", Right.IMPORT)
def take(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show the form of the import, by GET; import each file on its own, by POST."""
    told: dict[str, Any] = {"visit": visit, "cap_mib": document.MAX_BYTES // (1024 * 1024)}
    if request.method != "POST":
        return render(request, "dashboard/deployments_import.html", told)
    files = [_incoming(upload) for upload in request.FILES.getlist("files")]
    if not files:
        told["problem"] = "No file was chosen. Choose one or more documents and send again."
        return render(request, "dashboard/deployments_import.html", told, status=Invalid.status)
    done = importing.import_batch(
        by=visit.actor, now=visit.now, files=files, environment=visit.environment
    )
    told |= {
        "lines": [words.import_line(one) for one in done],
        "summary": words.import_summary(done),
        "may_audit": visit.may(Right.AUDIT_READ),
    }
    return render(request, "dashboard/deployments_import.html", told, status=_status(done))


def _incoming(upload: UploadedFile[Any]) -> Incoming:
    return Incoming(name=upload.name or "", data=upload.read(document.MAX_BYTES + 1))


def _status(done: Sequence[Imported]) -> int:
    """Return 200 if anything was taken or known, else the status of the first refusal."""
    if any(one.stored is not Stored.REFUSED for one in done):
        return 200
    return next((one.status for one in done), Refused.status)
