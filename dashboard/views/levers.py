"""The levers of the Flags page: what stands around the live part, the review, the refusals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from dashboard import cards, forms, partials
from dashboard.cards import DriftCard, FlagCard, Review
from dashboard.look import Look
from dashboard.views import gate, making
from dashboard.views.gate import Visit
from routing.access import queries as access
from routing.changes import drift, undo
from routing.core import rights
from routing.core.errors import NeedsConfirm, NotFound, Refused, Stale
from routing.core.flags import FlagName, SetFlag
from routing.core.rights import Right
from routing.core.values import EnvironmentName

# What every form of a change offers for its time.
HOW: Mapping[str, Any] = {"which_ones": forms.WHICH}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Words above the page; `kind` is done, stale or refused."""

    kind: str
    text: str


def context(
    visit: Visit, *, review: Review | None = None, notices: Sequence[Notice] = ()
) -> dict[str, Any]:
    """Return all that the Flags page and its answers to htmx are told."""
    grid = partials.flags_grid(tuple(visit.environments), visit.environment, now=visit.now)
    return {
        **partials.facts(("alarms", "propagation"), Look(visit.environment, visit.now)),
        "visit": visit,
        "is_live": True,
        "grid": grid,
        "elsewhere": [name for name in visit.environments if name is not visit.environment],
        "summary": cards.flags_summary(grid),
        "last": cards.last_changed(grid.rows),
        "may_change": visit.may(Right.CHANGE),
        "one_click": visit.environment is EnvironmentName.DEVELOPMENT,
        "review": review,
        "notices": notices,
        "drift": _drift(visit) if grid.is_drifted else None,
        "may_settle": visit.may(Right.SETTLE),
        "undoable": undo.latest(visit.actor, visit.environment, visit.now),
        **HOW,
    }


def _drift(visit: Visit) -> DriftCard | None:
    """Return what differs, None where that was settled while the page was made."""
    found = drift.look(visit.environment)
    booked = {one.found.changed_by for one in found.differences if one.found}
    return cards.drift_card(found, access.names(booked)) if found.is_open else None


def review(visit: Visit, name: FlagName, said: Mapping[str, Any]) -> Review:
    """Return what switching `name` as `said` would do, judged now and on the state of now.

    `said` holds `to`, and may hold `cause` and `ends_after`.
    """
    card, to, cause = _card(visit, name), said["to"], said.get("cause", "")
    if card.here.word == to:
        rights.check(visit.actor, Right.CHANGE, visit.environment)
        return cards.review(card, to=to, asked=cards.asked(visit.environment, None))
    wish = SetFlag(flag=name, on=to == "on", base_version=card.here.version)
    asked = making.ask(visit, [wish], cause=cause, ends_after=said.get("ends_after", ""))
    return cards.review(card, to=to, cause=cause, asked=asked)


def _card(visit: Visit, name: FlagName) -> FlagCard:
    grid = partials.flags_grid((visit.environment,), visit.environment, now=visit.now)
    for card in grid.rows:
        if card.name is name:
            return card
    raise NotFound(f"{name} was not laid in {visit.environment} yet.")


def review_page(
    request: HttpRequest,
    visit: Visit,
    shown: Review,
    *,
    said: Mapping[str, Any] | None = None,
    notices: Sequence[Notice] = (),
    replaces: int | None = None,
    status: int = 200,
) -> HttpResponse:
    """Return the review as a page of its own; `said` is what was already typed.

    `replaces` is the proposal that the one made here is an edit of.
    """
    if said is None and replaces is not None:
        said = making.times_of(visit.environment, replaces)
    told = {"visit": visit, "review": shown, "said": said or {}, "notices": notices, **HOW}
    told |= {"replaces": replaces}
    return render(request, "dashboard/review.html", told, status=status)


def refusal(
    request: HttpRequest, visit: Visit, name: FlagName, said: Mapping[str, Any], error: Refused
) -> HttpResponse:
    """Tell why nothing was changed, beside the fresh state and what to do next."""
    shown = review(visit, name, said)
    notices = [_notice(visit, shown, error)]
    if not gate.is_htmx(request):
        return review_page(request, visit, shown, said=said, notices=notices, status=error.status)
    asks = shown if isinstance(error, NeedsConfirm) or shown.asked.needs_approval else None
    told = context(visit, review=asks, notices=notices) | {"said": said}
    return render(request, "dashboard/bits/flags_answer.html", told, status=error.status)


def _notice(visit: Visit, shown: Review, error: Refused) -> Notice:
    if isinstance(error, Stale):
        now = shown.before
        since = cards.ago(now.changed_at, visit.now)
        return Notice(
            kind="stale",
            text=f"Somebody was faster: {shown.name} is now {now.text} "
            f"(by {now.changed_by}, {since}). Nothing of yours was changed.",
        )
    if isinstance(error, NeedsConfirm):
        return Notice(kind="stale", text=f"Not done yet: {error.message}")
    return Notice(kind="refused", text=error.message)
