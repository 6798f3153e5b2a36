"""People and their roles: each change is booked in the transaction that makes it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.views.decorators.debug import sensitive_variables

from routing import stream
from routing.access import authority, booking, tokens
from routing.access.models import USERNAME, RoleGrant, User
from routing.core import reasons
from routing.core.errors import Invalid
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName, Role

# Without what is misread on paper or over the phone: 0 o, 1 i l.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A new account; `password` is shown now and never again."""

    user_id: int
    username: str
    pseudonym: str
    password: str

    def __repr__(self) -> str:
        return f"Created(user_id={self.user_id}, pseudonym={self.pseudonym!r})"


def any_exists() -> bool:
    """Tell whether there is any account yet."""
    return User.objects.exists()


def generate_password() -> str:
    """Return 20 random characters in groups of five (99 bits), easy to read out and type."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


@sensitive_variables("password", "secret")
def create_user(
    *,
    by: Actor,
    now: datetime,
    username: str,
    grants: Mapping[EnvironmentName, Role],
    password: str | None = None,
    one_time: bool = False,
    reason: str = "",
) -> Created:
    """Make an account with at least one role; without `password` a strong one is generated.

    A `one_time` password is replaced by its owner before anything else opens.
    Raises Forbidden unless `by` holds the right Settings in every environment of `grants`,
    Invalid for a name, password or reason that will not do, NotFound for an unknown environment.
    """
    where = next(iter(grants)) if len(grants) == 1 else None
    with booking.denied(by, now, Action.USER_CREATE, where, "new"):
        if not grants:
            raise Invalid("An account needs a role in at least one environment; name one.")
        authority.check(by, grants)
        reason = reasons.check_everywhere(reason, grants)
        secret = generate_password() if password is None else password
        user = User(username=username, created_at=now, created_by=by.id)
        user.one_time_password = one_time
        _check_name(username)
        booking.check_password(secret, user)
        user.set_password(secret)  # slow on purpose, so before the transaction
        with transaction.atomic():
            _insert(user)
            for environment, role in grants.items():
                _grant(user, environment, role, by, now)
            _book_created(user, grants, by=by, now=now, reason=reason)
            stream.announce("people", where)
    return Created(user_id=user.pk, username=username, pseudonym=user.pseudonym, password=secret)


def grant(
    *,
    by: Actor,
    now: datetime,
    user_id: int,
    environment: EnvironmentName,
    role: Role,
    reason: str = "",
) -> None:
    """Give the person the role in `environment`, in place of the one held there.

    It holds from the next request on. Tokens that the person made there and that reach beyond
    the new role are revoked with it. The same role again changes and books nothing.
    Raises Forbidden, Invalid (the reason), NotFound.
    """
    with booking.denied(by, now, Action.ROLE_GRANT, environment, booking.pseudonym(user_id)):
        authority.check(by, [environment])
        reason = reasons.check(reason, environment)
        with transaction.atomic():
            user = booking.locked(user_id)
            held = RoleGrant.objects.filter(user=user, environment=str(environment)).first()
            if held and held.role == role:
                return
            _grant(user, environment, role, by, now)
            revoked = tokens.withdraw(
                creator=user.pseudonym, environment=environment, role=role, now=now
            )
            booking.book(
                by=by,
                now=now,
                action=Action.ROLE_GRANT,
                environment=environment,
                user=user,
                reason=reason,
                before={"role": held.role} if held else None,
                after={"role": str(role)},
            )
            tokens.book_withdrawn(revoked, by=by, now=now, reason=reason)
            stream.announce("people", environment)  # open sockets check their person again


def revoke(
    *, by: Actor, now: datetime, user_id: int, environment: EnvironmentName, reason: str = ""
) -> None:
    """Take the person's role in `environment`, and revoke the tokens they made there.

    It holds from the next request on; a person without any role is signed out then. Without a
    role nothing changes and nothing is booked. Raises as `grant` does.
    """
    with booking.denied(by, now, Action.ROLE_REVOKE, environment, booking.pseudonym(user_id)):
        authority.check(by, [environment])
        reason = reasons.check(reason, environment)
        with transaction.atomic():
            user = booking.locked(user_id)
            held = RoleGrant.objects.filter(user=user, environment=str(environment)).first()
            if held is None:
                return
            held.delete()
            revoked = tokens.withdraw(
                creator=user.pseudonym, environment=environment, role=None, now=now
            )
            booking.book(
                by=by,
                now=now,
                action=Action.ROLE_REVOKE,
                environment=environment,
                user=user,
                reason=reason,
                before={"role": held.role},
            )
            tokens.book_withdrawn(revoked, by=by, now=now, reason=reason)
            stream.announce("people", environment)  # open sockets check their person again


def _check_name(username: str) -> None:
    try:
        USERNAME(username)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from error


def _insert(user: User) -> None:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        # Without the name: refusals are booked, and the trail holds no names of people.
        raise Invalid("There is already an account of that name; choose another.") from error


def _grant(user: User, environment: EnvironmentName, role: Role, by: Actor, now: datetime) -> None:
    RoleGrant.objects.update_or_create(
        user=user,
        environment_id=str(environment),
        defaults={"role": str(role), "granted_at": now, "granted_by": by.id},
    )


def _book_created(
    user: User,
    grants: Mapping[EnvironmentName, Role],
    *,
    by: Actor,
    now: datetime,
    reason: str,
) -> None:
    booking.book(
        by=by,
        now=now,
        action=Action.USER_CREATE,
        environment=None,
        user=user,
        reason=reason,
        after={"active": True},
    )
    for environment, role in grants.items():
        booking.book(
            by=by,
            now=now,
            action=Action.ROLE_GRANT,
            environment=environment,
            user=user,
            reason=reason,
            after={"role": str(role)},
        )
