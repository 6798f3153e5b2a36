"""Actions: what a person asks for. Each makes one call and words its refusal."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.forms import BaseForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST

from dashboard import forms
from dashboard.views import gate, levers, making
from dashboard.views.gate import Visit
from routing import wiring
from routing.access import signin
from routing.audit import verify
from routing.changes import drift, undo
from routing.core.errors import Forbidden, Invalid, NotFound, NotSignedIn, Refused, TooMany
from routing.core.flags import FlagName, SetFlag
from routing.core.rights import Right
from routing.decisions import verify as decisions


@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Show the form; with the right words, open a session and lead back to where one came from."""
    if request.method != "POST":
        return _sign_in_page(request, next_page=request.GET.get("next", ""))
    form = forms.SignIn(request.POST)
    next_page = request.POST.get("next", "")
    if not form.is_valid():
        words = "Enter your username and your password."
        return _sign_in_page(request, next_page=next_page, problem=words, status=400)
    try:
        signin.sign_in(
            request,
            username=form.cleaned_data["username"],
            password=form.cleaned_data["password"],
            now=wiring.now(),
        )
    except (NotSignedIn, TooMany) as error:
        return _not_let_in(request, error, next_page)
    return HttpResponseRedirect(next_page if gate.is_local(next_page) else reverse("home"))


def _not_let_in(request: HttpRequest, error: Refused, next_page: str) -> HttpResponse:
    response = _sign_in_page(
        request, next_page=next_page, problem=error.message, status=error.status
    )
    wait_s = error.facts.get("retry_after_s")
    if wait_s is not None:
        response["Retry-After"] = str(int(wait_s))
    return response


def _sign_in_page(
    request: HttpRequest, *, next_page: str, problem: str = "", status: int = 200
) -> HttpResponse:
    context = {
        "next": next_page if gate.is_local(next_page) else "",
        "problem": problem,
        "username": request.POST.get("username", "")[:64],
    }
    response = render(request, "dashboard/sign_in.html", context, status=status)
    patch_vary_headers(response, ["Cookie", "HX-Request"])
    return response


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Close the session."""
    signin.sign_out(request, now=wiring.now())
    messages.success(request, "You are signed out.")
    return redirect("sign-in")


@require_http_methods(["GET", "HEAD", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Choose one's own password; while it is a one-time one, nothing else opens."""
    try:
        by = signin.actor(request, now=wiring.now(), renewing=True)
    except NotSignedIn:
        return gate.to_sign_in(request)
    told: dict[str, Any] = {"actor": by, "status": 200}
    if request.method == "POST":
        form = forms.NewPassword(request.POST)
        try:
            if not form.is_valid():
                raise Invalid("Enter the present password, and the new one twice.")
            said = form.cleaned_data
            if said["new"] != said["again"]:
                raise Invalid("The two new passwords differ. Nothing was changed.")
            signin.renew_password(request, old=said["old"], new=said["new"], now=wiring.now())
        except Invalid as error:
            told |= {"problem": error.message, "status": error.status}
        else:
            messages.success(request, "Your password is changed.", extra_tags="done")
            return redirect("home")
    response = render(request, "dashboard/password.html", told, status=told["status"])
    patch_vary_headers(response, ["Cookie", "HX-Request"])
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@gate.page("flags")
def set_flag(request: HttpRequest, visit: Visit, name: FlagName) -> HttpResponse:
    """Show what a change would do, by GET; make it, by POST."""
    if request.method != "POST":
        asked = clean(forms.ReviewFlag(request.GET))
        shown = levers.review(visit, name, asked)
        return levers.review_page(request, visit, shown, replaces=asked["replaces"])
    said = clean(forms.SetFlag(request.POST))
    wish = SetFlag(flag=name, on=said["to"] == "on", base_version=said["base_version"])
    try:
        words = making.make(visit, [wish], said)
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return levers.refusal(request, visit, name, said, error)
    return changed(request, visit, words)


@require_POST
@gate.page("flags")
def undo_flags(request: HttpRequest, visit: Visit, seq: int) -> HttpResponse:
    """Put back what was before the person's own last change."""
    try:
        done = undo.apply(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            entry_seq=seq,
            health=wiring.path_health(visit.environment),
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        if not gate.is_htmx(request):
            raise
        told = levers.context(visit, notices=[levers.Notice(kind="refused", text=error.message)])
        return render(request, "dashboard/bits/flags_answer.html", told, status=error.status)
    names = ", ".join(f"{c.flag} is {'on' if c.after.on else 'off'}" for c in done.changes)
    words = f"Undone: {names} again in {visit.environment}. Audit entry #{done.entry_seq}."
    return changed(request, visit, words)


def changed(request: HttpRequest, visit: Visit, words: str) -> HttpResponse:
    """Say what was done, on the Flags page as it is now."""
    if not gate.is_htmx(request):
        messages.success(request, words, extra_tags="done")
        return redirect("flags", environment=visit.environment)
    told = levers.context(visit, notices=[levers.Notice(kind="done", text=words)])
    return render(request, "dashboard/bits/flags_answer.html", told)


def clean(form: BaseForm) -> dict[str, Any]:
    """Return what a form says; raises Invalid with what was not understood."""
    if form.is_valid():
        return form.cleaned_data
    wrong = "; ".join(
        f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()
    )
    raise Invalid(f"The form was not understood ({wrong}). Open the page again and choose anew.")


@require_POST
@gate.page("audit", Right.AUDIT_VERIFY)
def verify_audit(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Check the whole trail and say what was found; as nothing changes, there is no redirect."""
    report = verify.verify()
    context = {
        "visit": visit,
        "report": report,
        "decided": decisions.verify(),
        # Folding a trail that was altered proves nothing of the tables.
        "strange": drift.problems(visit.environments) if report.ok else (),
    }
    if gate.is_htmx(request):
        return render(request, "dashboard/bits/verified.html", context)
    return render(request, "dashboard/verified.html", context)
