"""Several flags of an environment changed at once: chosen, reviewed, made under one entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from dashboard import forms, partials
from dashboard.cards import FlagCard, SetReview, Turn
from dashboard.views import gate, making
from dashboard.views.actions import changed, clean
from dashboard.views.gate import Visit
from dashboard.views.levers import HOW, Notice
from routing.access import signin
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, NotFound, Refused, Stale
from routing.core.flags import FlagName, SetFlag
from routing.core.rights import Right


@require_http_methods(["GET", "HEAD", "POST"])
@gate.page("flags")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Let the flags be chosen, then show what the set would do, by GET; make it, by POST."""
    if request.method == "POST":
        return _make(request, visit)
    signin.check(visit.actor, Right.CHANGE, visit.environment, now=visit.now, page="flags")
    chosen = clean(forms.ChooseFlags(request.GET))
    wishes = _wishes(visit, chosen)
    if not wishes:
        told = {"visit": visit, "rows": _cards(visit), "asked_for_none": bool(request.GET)}
        return render(request, "dashboard/flag_set.html", told)
    return _review_page(request, visit, _review(visit, wishes))


def _make(request: HttpRequest, visit: Visit) -> HttpResponse:
    said = clean(forms.SetFlags(request.POST))
    sets = _sets(said)
    try:
        words = making.make(visit, sets, said)
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        wishes = _wishes(visit, said)
        if not wishes:
            raise
        shown = _review(visit, wishes, cause=said["cause"], ends_after=said["ends_after"])
        notices = [_notice(error)]
        return _review_page(request, visit, shown, said=said, notices=notices, status=error.status)
    return changed(request, visit, words)


def _cards(visit: Visit) -> tuple[FlagCard, ...]:
    return partials.flags_grid((visit.environment,), visit.environment, now=visit.now).rows


def _wishes(visit: Visit, said: Mapping[str, Any]) -> list[Turn]:
    """Return what would change of the flags as they are now."""
    turns = [Turn(card=card, to=said[forms.to_field(card.name)]) for card in _cards(visit)]
    return [turn for turn in turns if turn.to and turn.to != turn.card.here.word]


def _sets(said: Mapping[str, Any]) -> list[SetFlag]:
    """Return the set as the person looked at it."""
    sets = []
    for name in FlagName:
        to, base = said[forms.to_field(name)], said[forms.base_field(name)]
        if not to:
            continue
        if base is None:
            raise Invalid(f"The form does not say at which version {name} was looked at.")
        sets.append(SetFlag(flag=name, on=to == "on", base_version=base))
    return sets


def _review(
    visit: Visit, wishes: list[Turn], *, cause: str = "", ends_after: str = ""
) -> SetReview:
    sets = [
        SetFlag(flag=w.card.name, on=w.to == "on", base_version=w.card.here.version)
        for w in wishes
    ]
    asked = making.ask(visit, sets, cause=cause, ends_after=ends_after)
    return SetReview(turns=tuple(wishes), asked=asked)


def _review_page(
    request: HttpRequest,
    visit: Visit,
    shown: SetReview,
    *,
    said: Mapping[str, Any] | None = None,
    notices: list[Notice] | None = None,
    status: int = 200,
) -> HttpResponse:
    told = {
        "visit": visit,
        "set": shown,
        "asked": shown.asked,
        "said": said or {},
        "notices": notices or [],
        **HOW,
    }
    return render(request, "dashboard/flag_set_review.html", told, status=status)


def _notice(error: Refused) -> Notice:
    if isinstance(error, Stale):
        text = f"Somebody was faster. {error.message} Nothing of yours was changed."
        return Notice(kind="stale", text=text)
    if isinstance(error, NeedsConfirm):
        return Notice(kind="stale", text=f"Not done yet: {error.message}")
    return Notice(kind="refused", text=error.message)
