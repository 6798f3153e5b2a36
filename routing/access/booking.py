"""What every change of an account shares: its lock, its entry, its refusals, its password."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime

from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.views.decorators.debug import sensitive_variables

from routing.access.models import User
from routing.audit import ledger
from routing.core.errors import Invalid, NotFound
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName

LONGEST_PASSWORD = 128


def denied(
    by: Actor, now: datetime, action: Action, where: EnvironmentName | None, object_id: str
) -> AbstractContextManager[None]:
    """Book a refusal that concerns an account."""
    return ledger.denied(
        by=by, now=now, action=action, environment=where, object_type="user", object_id=object_id
    )


@sensitive_variables("password")
def check_password(password: str, user: User) -> None:
    """Raise Invalid, with what is wrong, for a password that will not do."""
    if len(password) > LONGEST_PASSWORD or not password.isprintable():
        raise Invalid(f"Use a password of at most {LONGEST_PASSWORD} printable characters.")
    try:
        password_validation.validate_password(password, user)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from error


def pseudonym(user_id: int) -> str:
    """Return what is booked for an account; `unknown` where there is none."""
    found = User.objects.filter(pk=user_id).values_list("pseudonym", flat=True).first()
    return found or "unknown"


def locked(user_id: int) -> User:
    """Return the account, kept from other writers until the commit; raises NotFound."""
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise NotFound("There is no such account; reload the list of people.")
    return user


def book(
    *,
    by: Actor,
    now: datetime,
    action: Action,
    environment: EnvironmentName | None,
    user: User,
    reason: str,
    before: Mapping[str, str | bool] | None = None,
    after: Mapping[str, str | bool] | None = None,
) -> None:
    """Book what was done to an account, under its pseudonym."""
    ledger.record(
        by=by,
        now=now,
        action=action,
        environment=environment,
        object_type="user",
        object_id=user.pseudonym,
        reason=reason,
        before=before,
        after=after,
    )
