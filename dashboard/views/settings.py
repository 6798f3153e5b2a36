"""Settings, people: who holds which role, new accounts, passwords; for admins alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from dashboard.views import gate
from dashboard.views.gate import Visit
from dashboard.views.levers import Notice
from dashboard.views.routes import cleaned
from routing.access import accounts, queries
from routing.access import people as using
from routing.access.people import Created
from routing.core.errors import Forbidden, NotFound, Refused
from routing.core.rights import Right
from routing.core.values import EnvironmentName, Role

ROLES = [(str(role), str(role)) for role in Role]
MEANINGS = (
    (Role.VIEWER, "looks at all pages but Audit and Settings"),
    (Role.REVIEWER, "also reads and verifies the trail, and approves"),
    (Role.OPERATOR, "also changes flags, matrix, breakers; deploys below production"),
    (Role.ADMIN, "everything, with rollback, production, people and tokens"),
)


class Why(forms.Form):
    """A reason that is booked."""

    reason = forms.CharField(required=False, max_length=500)


class Granting(Why):
    """A role here."""

    role = forms.ChoiceField(choices=ROLES)


class Naming(Granting):
    """A role here for a name: of a new account, or of one that there is."""

    username = forms.CharField(max_length=64)


@require_safe
@gate.page("settings", Right.SETTINGS)
def people(request: HttpRequest, visit: Visit) -> HttpResponse:
    """List who holds a role here."""
    return render(request, "dashboard/settings_people.html", _list(visit))


@require_safe
@gate.page("settings", Right.SETTINGS)
def person(request: HttpRequest, visit: Visit, user_id: int) -> HttpResponse:
    """Show one account, and what an admin can do with it."""
    return render(request, "dashboard/person.html", _one(visit, user_id))


@sensitive_variables("made")
@require_POST
@gate.page("settings", Right.SETTINGS)
def create(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Make an account with a role here; its one-time password is shown once."""
    said = cleaned(Naming(request.POST))
    try:
        made = using.create_user(
            by=visit.actor,
            now=visit.now,
            username=said["username"],
            grants={visit.environment: Role(said["role"])},
            one_time=True,
            reason=said["reason"],
        )
    except Forbidden:
        raise
    except Refused as error:
        told = _list(visit, [_no(error)]) | {"said": said}
        return render(request, "dashboard/settings_people.html", told, status=error.status)
    return render(request, "dashboard/person.html", _one(visit, made.user_id, made=made))


@require_POST
@gate.page("settings", Right.SETTINGS)
def admit(request: HttpRequest, visit: Visit) -> HttpResponse:
    """Give a role here to somebody who has an account."""
    said = cleaned(Naming(request.POST))
    try:
        number = queries.user_id(said["username"])
    except NotFound as error:
        told = _list(visit, [_no(error)]) | {"admitting": said}
        return render(request, "dashboard/settings_people.html", told, status=422)
    return _grant(request, visit, number, said)


@require_POST
@gate.page("settings", Right.SETTINGS)
def grant(request: HttpRequest, visit: Visit, user_id: int) -> HttpResponse:
    """Give a role here in place of the one that is held."""
    return _grant(request, visit, user_id, cleaned(Granting(request.POST)))


def _grant(request: HttpRequest, visit: Visit, user_id: int, said: dict[str, Any]) -> HttpResponse:
    def do() -> str:
        using.grant(
            by=visit.actor,
            now=visit.now,
            user_id=user_id,
            environment=visit.environment,
            role=Role(said["role"]),
            reason=said["reason"],
        )
        return f"{{}} is {said['role']} in {visit.environment}, from the next request on."

    return _do(request, visit, user_id, do)


@require_POST
@gate.page("settings", Right.SETTINGS)
def revoke(request: HttpRequest, visit: Visit, user_id: int) -> HttpResponse:
    """Take the role here."""
    said = cleaned(Why(request.POST))

    def do() -> str:
        using.revoke(
            by=visit.actor,
            now=visit.now,
            user_id=user_id,
            environment=visit.environment,
            reason=said["reason"],
        )
        return f"{{}} has no role in {visit.environment} any more, nor tokens made there."

    return _do(request, visit, user_id, do)


@sensitive_variables("made")
@require_POST
@gate.page("settings", Right.SETTINGS)
def reset(request: HttpRequest, visit: Visit, user_id: int) -> HttpResponse:
    """Give a new one-time password, shown once."""
    said = cleaned(Why(request.POST))
    try:
        made = accounts.reset_password(
            by=visit.actor, now=visit.now, user_id=user_id, reason=said["reason"]
        )
    except NotFound:
        raise
    except Refused as error:
        return _refusal(request, visit, user_id, error)
    return render(request, "dashboard/person.html", _one(visit, user_id, made=made))


@require_POST
@gate.page("settings", Right.SETTINGS)
def close(request: HttpRequest, visit: Visit, user_id: int) -> HttpResponse:
    """Close the account."""
    said = cleaned(Why(request.POST))

    def do() -> str:
        accounts.close(by=visit.actor, now=visit.now, user_id=user_id, reason=said["reason"])
        return "The account of {} is closed; sessions have ended, tokens are revoked."

    return _do(request, visit, user_id, do)


@require_POST
@gate.page("settings", Right.SETTINGS)
def reopen(request: HttpRequest, visit: Visit, user_id: int) -> HttpResponse:
    """Open a closed account again."""
    said = cleaned(Why(request.POST))

    def do() -> str:
        accounts.reopen(by=visit.actor, now=visit.now, user_id=user_id, reason=said["reason"])
        return "The account of {} is open again, with the roles that it had."

    return _do(request, visit, user_id, do)


def _do(request: HttpRequest, visit: Visit, user_id: int, do: Callable[[], str]) -> HttpResponse:
    try:
        words = do()
    except NotFound:
        raise
    except Refused as error:
        return _refusal(request, visit, user_id, error)
    name = queries.account(user_id).username
    messages.success(request, words.format(name), extra_tags="done")
    return redirect("person", environment=visit.environment, user_id=user_id)


def _refusal(request: HttpRequest, visit: Visit, user_id: int, error: Refused) -> HttpResponse:
    told = _one(visit, user_id, notices=[_no(error)])
    return render(request, "dashboard/person.html", told, status=error.status)


def _no(error: Refused) -> Notice:
    return Notice(kind="refused", text=f"{error.message} Nothing was changed.")


def _list(visit: Visit, notices: Sequence[Notice] = ()) -> dict[str, Any]:
    rows = queries.people(visit.environment)
    names = queries.names({row.granted_by for row in rows})
    return {
        "visit": visit,
        "tab": "settings",
        "people": [
            replace(row, granted_by=names.get(row.granted_by, row.granted_by)) for row in rows
        ],
        "meanings": MEANINGS,
        "needs_reason": visit.environment is not EnvironmentName.DEVELOPMENT,
        "notices": notices,
    }


def _one(
    visit: Visit,
    user_id: int,
    *,
    made: Created | None = None,
    notices: Sequence[Notice] = (),
) -> dict[str, Any]:
    row = queries.account(user_id)
    return {
        "visit": visit,
        "tab": "settings",
        "person": row,
        "role": row.roles.get(visit.environment),
        "roles_elsewhere": [
            (place, role) for place, role in row.roles.items() if place in visit.environments
        ],
        "creator": queries.names({row.created_by}).get(row.created_by, row.created_by),
        "is_self": row.pseudonym == visit.actor.id,
        "beyond": [place for place in row.roles if visit.actor.role(place) is not Role.ADMIN],
        "password": made.password if made else "",
        "meanings": MEANINGS,
        "needs_reason": visit.environment is not EnvironmentName.DEVELOPMENT,
        "needs_reason_whole": any(e is not EnvironmentName.DEVELOPMENT for e in row.roles),
        "notices": notices,
    }
