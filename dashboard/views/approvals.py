"""The Approvals page: proposals, one proposal in full, and what each of two persons may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from dashboard.cards import approvals as cards
from dashboard.forms import BIGGEST, Times
from dashboard.views import gate, levers, making
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from dashboard.views.routes import cleaned
from routing import wiring
from routing.access import queries as access
from routing.approvals import queries
from routing.approvals.queries import ProposalRow
from routing.changes import change, consent, preview, proposal, proposal_ends
from routing.core.errors import Forbidden, Invalid, NotFound, Refused, Stale
from routing.core.flags import FlagName, SetFlag
from routing.core.guards import Answer, Judgement
from routing.core.rights import Right
from routing.core.values import EnvironmentName, ProposalState
from routing.flags import queries as flags

SHOWN = 50
_ENDS = (ProposalState.PROPOSED, ProposalState.APPROVED)


class Proposing(Times):
    """One flag to one state from the version that was looked at; `replaces` is an edit."""

    flag = forms.ChoiceField(choices=[(str(f), str(f)) for f in FlagName])
    to = forms.ChoiceField(choices=[("on", "on"), ("off", "off")])
    base_version = forms.IntegerField(min_value=0, max_value=BIGGEST)
    reason = forms.CharField(required=False, strip=False)
    replaces = forms.IntegerField(required=False, min_value=1, max_value=BIGGEST)


class Agreeing(forms.Form):
    """`digest` is of the content that the person looked at."""

    digest = forms.CharField(max_length=64)
    note = forms.CharField(required=False, strip=False)


class Ending(forms.Form):
    """Why it shall not be."""

    reason = forms.CharField(required=False, strip=False)


class Applying(forms.Form):
    """What production asks for, beside the digest."""

    digest = forms.CharField(max_length=64)
    typed_environment = forms.CharField(required=False, max_length=32)
    confirmed = forms.BooleanField(required=False)


@require_safe
@gate.page("approvals")
def page(request: HttpRequest, visit: Visit) -> HttpResponse:
    """List the proposals, those that wait first."""
    rows = queries.latest(visit.environment, SHOWN)
    found = _cards(visit, rows)
    opened = [card for card in found if card.is_open]
    agreed = sum(card.is_approved for card in opened)
    told = {
        "visit": visit,
        "headline": cards.headline(len(opened) - agreed, agreed, visit.environment),
        "opened": opened,
        "past": [card for card in found if not card.is_open],
        "policy": [line.name for line in cards.policy_lines(_policy(visit)) if line.needs],
        "may_settle": visit.may(Right.SETTINGS),
    }
    return render(request, "dashboard/approvals.html", told)


@require_safe
@gate.page("approvals")
def detail(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """Show one proposal: before and after, its reach, who, why, and what may be done."""
    return render(request, "dashboard/approval.html", context(visit, number))


@require_POST
@gate.page("approvals")
def propose(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Make a proposal out of the review of a flag."""
    said = cleaned(Proposing(request.POST))
    wanted = SetFlag(
        flag=FlagName(said["flag"]), on=said["to"] == "on", base_version=said["base_version"]
    )
    try:
        row = proposal.make(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            reason=said["reason"],
            sets=[wanted],
            health=wiring.path_health(visit.environment),
            due=making.due(said),
            lasts=making.span(said),
            replaces=said["replaces"],
        )
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _not_proposed(request, visit, error, said)
    words = f"Proposal {row.number} is made. Nothing has changed; it waits for a second person."
    messages.success(request, words, extra_tags="done")
    return redirect("approval", environment=visit.environment, number=row.number)


def _not_proposed(
    request: HttpRequest, visit: Visit, error: Refused, said: Mapping[str, Any]
) -> HttpResponse:
    """Tell why no proposal was made, on the review that it came from."""
    shown = levers.review(visit, FlagName(said["flag"]), {"to": said["to"]})
    return levers.review_page(
        request,
        visit,
        shown,
        said=said,
        notices=[Notice(kind="refused", text=error.message)],
        replaces=said["replaces"],
        status=error.status,
    )


@require_POST
@gate.page("approvals")
def approve(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """Agree to what was looked at."""
    said = cleaned(Agreeing(request.POST))

    def do() -> str:
        row = proposal.approve(
            by=visit.actor, now=visit.now, environment=visit.environment, number=number, **said
        )
        who = access.names({row.proposed_by}).get(row.proposed_by, row.proposed_by)
        return f"You approved proposal {number}. Nothing has changed yet; {who} can apply it."

    return _do(request, visit, number, do, said)


@require_POST
@gate.page("approvals")
def reject(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """Say no, or take an approval back."""
    said = cleaned(Ending(request.POST))

    def do() -> str:
        proposal.reject(
            by=visit.actor, now=visit.now, environment=visit.environment, number=number, **said
        )
        return f"You rejected proposal {number}. Nothing was changed."

    return _do(request, visit, number, do, {"rejecting": True, **said})


@require_POST
@gate.page("approvals")
def withdraw(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """Take a proposal back."""
    said = cleaned(Ending(request.POST))

    def do() -> str:
        proposal.withdraw(
            by=visit.actor, now=visit.now, environment=visit.environment, number=number, **said
        )
        return f"Proposal {number} is withdrawn. Nothing was changed."

    return _do(request, visit, number, do, said)


@require_POST
@gate.page("approvals")
def apply(request: HttpRequest, visit: Visit, number: int) -> HttpResponse:
    """Put an approved proposal in force."""
    said = cleaned(Applying(request.POST))

    def do() -> str:
        done = proposal.apply(
            by=visit.actor,
            now=visit.now,
            environment=visit.environment,
            number=number,
            health=wiring.path_health(visit.environment),
            **said,
        )
        at = cards.at(done.content)
        how = f"planned for {at}" if at else "done"
        return f"{cards.title(done.content)}: {how}. Audit entry #{done.entry_seq}."

    return _do(request, visit, number, do, said)


def _do(
    request: HttpRequest,
    visit: Visit,
    number: int,
    do: Callable[[], str],
    said: Mapping[str, Any],
) -> HttpResponse:
    """Do it and say so, or tell why not beside the fresh state and what was typed."""
    try:
        words = do()
    except (Forbidden, NotFound):
        raise
    except Refused as error:
        return _refusal(request, visit, number, error, said)
    if not gate.is_htmx(request):
        messages.success(request, words, extra_tags="done")
        return redirect("approval", environment=visit.environment, number=number)
    told = context(visit, number, notices=[Notice(kind="done", text=words)])
    return render(request, "dashboard/bits/approval_answer.html", told)


def _refusal(
    request: HttpRequest, visit: Visit, number: int, error: Refused, said: Mapping[str, Any]
) -> HttpResponse:
    kind = "stale" if error.status == 409 else "refused"
    told = context(visit, number, notices=[Notice(kind=kind, text=error.message)])
    told |= {"said": said}
    if not gate.is_htmx(request):
        return render(request, "dashboard/approval.html", told, status=error.status)
    # The page's htmx takes no content from a 400.
    status = 422 if isinstance(error, Invalid) else error.status
    return render(request, "dashboard/bits/approval_answer.html", told, status=status)


def context(visit: Visit, number: int, *, notices: Sequence[Notice] = ()) -> dict[str, Any]:
    """Return all that the page of one proposal is told."""
    visit = replace(visit, waiting=queries.waiting(visit.environment, now=visit.now))
    row = queries.proposal(visit.environment, number)
    [card] = _cards(visit, [row])
    told: dict[str, Any] = {
        "visit": visit,
        "card": card,
        "notices": notices,
        "is_mine": row.proposed_by == visit.actor.id,
        "may_approve": visit.may(Right.APPROVE),
        "needs_typed": visit.environment is EnvironmentName.PRODUCTION,
    }
    if not card.is_open:
        return told
    judged = _judged(visit, row)
    right = row.content.right
    return told | {
        "effects": (judged.effects or (judged.sentence,)) if judged else (),
        "lately": _lately(visit, row),
        "needs_confirm": judged is not None and judged.answer is Answer.CONFIRM,
        "obstacle": proposal.obstacle(row, by=visit.actor, now=visit.now),
        "may_apply": visit.may(right),
        "cannot_apply": _cannot_apply(visit, judged),
        "may_withdraw": visit.may(right if told["is_mine"] else Right.SETTINGS),
        "edits": _edits(row) if told["is_mine"] else "",
    }


def _cards(visit: Visit, rows: Sequence[ProposalRow]) -> list[cards.ProposalCard]:
    people = {who for row in rows for who in (row.proposed_by, row.approved_by, row.ended_by)}
    names, grid = access.names(people - {""}), flags.grid((visit.environment,))
    policy = _policy(visit)
    return [
        cards.proposal_card(
            row,
            now=visit.now,
            grid=grid,
            policy=policy,
            names=names,
            moved=_moved(row) if row.state in _ENDS else "",
        )
        for row in rows
    ]


def _policy(visit: Visit) -> queries.Policy:
    return queries.policy(visit.environment)


def _moved(row: ProposalRow) -> str:
    if not row.is_whole:
        return "its stored text is not what was proposed"
    return proposal_ends.moved(row)


def _judged(visit: Visit, row: ProposalRow) -> Judgement | None:
    if row.content.policy is not None:
        return None
    try:
        return change.judge_sets(
            now=visit.now,
            environment=visit.environment,
            sets=proposal.sets_of(row.content),
            health=wiring.path_health(visit.environment),
            ends_at=None if row.content.lasts is None else visit.now + row.content.lasts,
        )
    except (Stale, NotFound, Invalid):  # it moved while this page was made
        return None


def _lately(visit: Visit, row: ProposalRow) -> tuple[str, ...]:
    if row.content.policy is not None:
        return ()
    try:
        found = preview.of_flags(visit.environment, proposal.sets_of(row.content))
    except (Stale, NotFound, Invalid):  # it moved while this page was made
        return ()
    return preview.told(found)


def _cannot_apply(visit: Visit, judged: Judgement | None) -> str:
    if judged is None:
        return ""
    try:
        consent.check(judged, by=visit.actor, environment=visit.environment, confirmed=True)
    except Refused as error:
        return error.message
    return ""


def _edits(row: ProposalRow) -> str:
    """Return the flag whose review edits this proposal, empty where no review can."""
    sets = row.content.sets
    return str(sets[0].flag) if len(sets) == 1 and sets[0].percentage == 100 else ""
