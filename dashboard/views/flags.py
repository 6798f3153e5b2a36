"""The flags: all of them now, all of them at a past moment, and one with what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from dashboard import forms, partials
from dashboard.cards import pasts
from dashboard.views import gate, levers
from dashboard.views.gate import Visit
from routing.access import queries as access
from routing.approvals import queries as approvals
from routing.audit import queries as audit
from routing.core import rights
from routing.core.errors import Invalid, NotFound
from routing.core.flags import DECLARED, FlagName
from routing.core.rights import Right
from routing.core.values import EnvironmentName
from routing.flags import past
from routing.flags import queries as flags
from routing.flags.queries import Grid


@require_safe
@gate.page("flags")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Show all flags in all environments that the person may see: now, `at` a past moment, or as
    an entry left them.
    """
    form = forms.FlagsFilter(request.GET)
    said = form.cleaned_data if form.is_valid() else {}
    if said.get("at") and said["at"] > visit.now:
        form.add_error("at", "That is still to come. Planned changes are on a page of their own.")
    if form.errors or not (said.get("at") or said.get("after")):
        told = levers.context(visit) | _found(said.get("q", "")) | {"form": form}
        status = Invalid.status if form.errors else 200
        return render(request, "dashboard/flags.html", told, status=status)
    shown = _after(visit, said["after"]) if said["after"] else _at(visit, said["at"])
    told = {"visit": visit, "form": form, "past": shown, "at": pasts.moment(shown.at)}
    return render(request, "dashboard/flags_past.html", told)


def _found(asked: str) -> dict[str, Any]:
    """Return which rows of the grid a search leaves, by their numbers; all without one."""
    words = asked.casefold().split()
    if not words:
        return {}
    rows = [
        number
        for number, flag in enumerate(FlagName, start=1)
        if all(word in _text(flag) for word in words)
    ]
    return {"search": asked, "found": rows, "of": len(FlagName)}


def _text(flag: FlagName) -> str:
    facts = DECLARED[flag]
    return f"{flag} {facts.purpose} {facts.when_off} owner {facts.owner}".casefold()


def _at(visit: Visit, at: datetime) -> pasts.PastGrid:
    return _past(visit, flags.grid_at(visit.environments, until=at), at=at)


def _after(visit: Visit, seq: int) -> pasts.PastGrid:
    entry = audit.entry(stream="control", seq=seq)
    if entry.environment not in visit.environments:
        raise NotFound(f"There is no entry {seq} of flags here.")
    return _past(visit, flags.grid_at(visit.environments, upto=seq), at=entry.at, upto=seq)


def _past(visit: Visit, then: Grid, *, at: datetime, upto: int | None = None) -> pasts.PastGrid:
    booked = {cell.changed_by for row in then.rows for cell in row.cells.values()}
    return pasts.past_grid(
        then,
        flags.grid(visit.environments),
        visit.environments,
        at=at,
        upto=upto,
        names=access.names(booked),
        readable=_readable(visit),
    )


def _readable(visit: Visit) -> frozenset[EnvironmentName]:
    """Return where the person may read the trail, and so learns who and why."""
    return frozenset(e for e in visit.environments if rights.can(visit.actor, Right.AUDIT_READ, e))


@require_safe
@gate.page("flags")
def flag(request: HttpRequest, visit: Visit, name: FlagName) -> HttpResponse:
    """Show one flag: what it is for, what it is where, and each booked change of it."""
    form = forms.HistoryFilter(request.GET, environments=visit.environments)
    if not form.is_valid():
        raise Invalid("There is no such part of this history. Open the flag's page again.")
    chosen = form.cleaned_data["in"]
    shown = [EnvironmentName(chosen)] if chosen else visit.environments
    found = past.history(name, shown, before_seq=form.cleaned_data["before"])
    names = access.names({turn.actor for turn in found.turns})
    grid = partials.flags_grid(tuple(visit.environments), visit.environment, now=visit.now)
    card = next((card for card in grid.rows if card.name is name), None)
    if card is None:
        raise NotFound(f"{name} was not laid in {visit.environment} yet.")
    asked = flags.asked(visit.environments)
    told = {
        "visit": visit,
        "card": card,
        "cells": (card.here, *card.elsewhere),
        "asked": [(e, asked.get((e, name))) for e in visit.environments],
        "declared": [e for e in EnvironmentName if e in DECLARED[name].on_in],
        "expires": DECLARED[name].expires,
        "waits_in": [e for e in visit.environments if name in approvals.policy(e).flags],
        "lines": [pasts.turn_line(turn, names, _readable(visit)) for turn in found.turns],
        "chosen": chosen,
        "older_than": form.cleaned_data["before"],
        "older": found.next_before_seq,
        "may_change": visit.may(Right.CHANGE),
    }
    return render(request, "dashboard/flag.html", told)
