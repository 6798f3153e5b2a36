"""The Cost page: what was spent and may be, live, and around it what sets a price or a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard import cards, forms, partials
from dashboard.views import gate, overview
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from routing.changes import budget
from routing.changes.budget import LimitWish, PriceWish, Wish
from routing.core.budget import Period, Unit
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, Refused, Stale
from routing.core.rights import Right
from routing.core.values import EnvironmentName

Said = Mapping[str, Any]


@require_safe
@gate.page("cost")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show what the environment spent, its limits and prices; what sets them to who may."""
    return render(request, "dashboard/cost.html", context(visit))


@require_POST
@gate.page("cost", Right.SETTINGS)
def price(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Set or remove the price of a model."""
    said = _clean(forms.SetPrice(request.POST))
    wish = PriceWish(
        model=said["model"],
        input=said["input"],
        output=said["output"],
        currency=said["currency"],
        remove=said["do"] == "remove",
    )
    return _apply(request, visit, "price", said, wish)


@require_POST
@gate.page("cost", Right.SETTINGS)
def limit(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Set or remove a limit."""
    said = _clean(forms.SetLimit(request.POST))
    wish = LimitWish(
        period=Period(said["period"]),
        unit=Unit(said["unit"]),
        most=said["most"],
        tenant=said["tenant"],
        currency=said["currency"],
        hard_stop=said["hard_stop"],
        stops_emergencies=said["stops_emergencies"],
        remove=said["do"] == "remove",
    )
    return _apply(request, visit, "limit", said, wish)


def context(
    visit: Visit,
    *,
    notices: Sequence[Notice] = (),
    typed: tuple[str, Said] = ("", {}),
    effects: Sequence[str] = (),
) -> dict[str, Any]:
    """Return all that the page and its answers to htmx are told; `typed` is a form, its words."""
    told = partials.facts(("cost_board",), overview.look(visit))
    board: cards.CostBoard = told["cost"]
    form, said = typed
    return told | {
        "visit": visit,
        "is_live": True,
        "may_change": visit.may(Right.SETTINGS),
        "needs_typed": visit.environment is EnvironmentName.PRODUCTION,
        "needs_reason": visit.environment is not EnvironmentName.DEVELOPMENT,
        "base": board.version,
        "price": said if form == "price" else {},
        "limit": said if form == "limit" else {},
        "price_effects": effects if form == "price" else (),
        "limit_effects": effects if form == "limit" else (),
        "periods": forms.PERIODS,
        "units": forms.UNITS,
        "notices": notices,
    }


def _clean(form: forms.SetCost) -> dict[str, Any]:
    if form.is_valid():
        return form.cleaned_data
    wrong = "; ".join(
        f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()
    )
    raise Invalid(f"The form was not understood ({wrong}). Open the page again and choose anew.")


def _apply(
    request: HttpRequest, visit: Visit, form: str, said: dict[str, Any], wish: Wish
) -> HttpResponse:
    try:
        done = budget.apply(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            wanted=budget.wanted(visit.environment, wish, said["base"]),
            reason=said["reason"],
            confirmed=said["confirmed"],
            typed_environment=said["typed_environment"],
        )
    except Forbidden:
        raise
    except Refused as error:
        return _refusal(request, visit, form, said, error)
    verb = "removed" if said["do"] == "remove" else "set"
    words = f"The {form} is {verb} in {visit.environment}. Audit entry #{done.entry_seq}."
    if not gate.is_htmx(request):
        messages.success(request, words, extra_tags="done")
        return redirect("cost", environment=visit.environment)
    told = context(visit, notices=[Notice(kind="done", text=words)])
    return render(request, "dashboard/bits/cost_answer.html", told)


def _refusal(
    request: HttpRequest, visit: Visit, form: str, said: Said, error: Refused
) -> HttpResponse:
    """Tell why nothing was changed, beside the fresh state and what was typed."""
    asks = isinstance(error, NeedsConfirm)
    told = context(
        visit,
        notices=[_notice(error)],
        typed=(form, said),
        effects=error.facts.get("effects", ()) if asks else (),
    )
    if not gate.is_htmx(request):
        return render(request, "dashboard/cost.html", told, status=error.status)
    # The page's htmx takes no content from a 400.
    status = 422 if isinstance(error, Invalid) else error.status
    return render(request, "dashboard/bits/cost_answer.html", told, status=status)


def _notice(error: Refused) -> Notice:
    if isinstance(error, NeedsConfirm):
        return Notice(kind="stale", text=f"Not done yet: {error.message}")
    if isinstance(error, Stale):
        return Notice(kind="stale", text=f"Somebody was faster: {error.message}")
    return Notice(kind="refused", text=error.message)
