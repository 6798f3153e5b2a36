"""The Breakers page: the board, live, and around it what forces a breaker and lets it go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard import forms, partials
from dashboard.cards import breakers as cards
from dashboard.views import gate, overview
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from routing import wiring
from routing.changes import breaker
from routing.changes.breaker import Done, Force
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, NotFound, Refused, Stale
from routing.core.rights import Right
from routing.core.values import Breaker, EnvironmentName, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """What stands beside one breaker; `said` is what was typed, `effects` what would stop."""

    path: Path
    base: int
    is_forced: bool
    said: Mapping[str, Any] = field(default_factory=dict)
    effects: Sequence[str] = ()


@require_safe
@gate.page("breakers")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show every breaker of the environment, and its lever to who may pull it."""
    return render(request, "dashboard/breakers.html", context(visit))


@require_POST
@gate.page("breakers")
def force(request: HttpRequest, visit: Visit, path: Path) -> HttpResponse:
    """Hold the breaker of `path` open or closed for the time that was chosen."""
    said = _clean(forms.ForceBreaker(request.POST))
    wish = Force(
        path=path,
        state=Breaker.FORCED_OPEN if said["to"] == "open" else Breaker.FORCED_CLOSED,
        lasts=timedelta(minutes=int(said["minutes"])),
        base=said["base"],
    )
    try:
        done = breaker.force(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            wish=wish,
            reason=said["reason"],
            health=wiring.path_health(visit.environment),
            confirmed=said["confirmed"],
            typed_environment=said["typed_environment"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, path, said, error)
    return _done(request, visit, path, done)


@require_POST
@gate.page("breakers")
def release(request: HttpRequest, visit: Visit, path: Path) -> HttpResponse:
    """Let go of the breaker of `path` that somebody forces."""
    said = _clean(forms.ReleaseBreaker(request.POST))
    try:
        done = breaker.release(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            path=path,
            base=said["base"],
            reason=said["reason"],
            typed_environment=said["typed_environment"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, path, said, error)
    return _done(request, visit, path, done)


def context(
    visit: Visit,
    *,
    notices: Sequence[Notice] = (),
    typed: Mapping[Path, Mapping[str, Any]] | None = None,
    effects: Mapping[Path, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Return all that the page and its answers to htmx are told."""
    told = partials.facts(("breaker_board",), overview.look(visit))
    board: cards.BreakerBoard = told["board"]
    levers = [
        Lever(
            path=card.path,
            base=card.entry_seq,
            is_forced=card.is_forced,
            said=(typed or {}).get(card.path, {}),
            effects=(effects or {}).get(card.path, ()),
        )
        for card in board.cards
    ]
    return told | {
        "visit": visit,
        "is_live": True,
        "may_change": visit.may(Right.CHANGE),
        "needs_typed": visit.environment is EnvironmentName.PRODUCTION,
        "levers": levers,
        "states": forms.FORCED_STATES,
        "ends": forms.FORCED_ENDS,
        "notices": notices,
    }


def _clean(form: forms.ForceBreaker | forms.ReleaseBreaker) -> dict[str, Any]:
    if form.is_valid():
        return form.cleaned_data
    wrong = "; ".join(
        f"{name}: {' '.join(map(str, errors))}" for name, errors in form.errors.items()
    )
    raise Invalid(f"The form was not understood ({wrong}). Open the page again and choose anew.")


def _done(request: HttpRequest, visit: Visit, path: Path, done: Done) -> HttpResponse:
    words = (
        f"The breaker of {path} in {visit.environment} is {cards.WORDS[done.after.state]}. "
        f"Audit entry #{done.entry_seq}."
    )
    if not gate.is_htmx(request):
        messages.success(request, words, extra_tags="done")
        return redirect("breakers", environment=visit.environment)
    told = context(visit, notices=[Notice(kind="done", text=words)])
    return render(request, "dashboard/bits/breaker_answer.html", told)


def _refusal(
    request: HttpRequest, visit: Visit, path: Path, said: Mapping[str, Any], error: Refused
) -> HttpResponse:
    """Tell why nothing was changed, beside the fresh state and what was typed."""
    asks = isinstance(error, NeedsConfirm)
    told = context(
        visit,
        notices=[_notice(error)],
        typed={path: said},
        effects={path: error.facts.get("effects", ())} if asks else None,
    )
    if not gate.is_htmx(request):
        return render(request, "dashboard/breakers.html", told, status=error.status)
    # The page's htmx takes no content from a 400.
    status = 422 if isinstance(error, Invalid) else error.status
    return render(request, "dashboard/bits/breaker_answer.html", told, status=status)


def _notice(error: Refused) -> Notice:
    if isinstance(error, NeedsConfirm):
        return Notice(kind="stale", text=f"Not done yet: {error.message}")
    if isinstance(error, Stale):
        return Notice(kind="stale", text=f"Somebody was faster: {error.message}")
    effects = " ".join(error.facts.get("effects", ()))
    return Notice(kind="refused", text=f"{error.message} {effects}".strip())
