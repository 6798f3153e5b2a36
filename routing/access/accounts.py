"""An account as a whole: a new password, closing it, opening it again."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from routing import stream
from routing.access import authority, booking, people, tokens
from routing.access.models import RoleGrant, User
from routing.access.people import Created
from routing.core import reasons, rights
from routing.core.errors import Forbidden, Invalid, NotFound, RuleBroken
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName


@sensitive_variables("secret")
def reset_password(*, by: Actor, now: datetime, user_id: int, reason: str = "") -> Created:
    """Give the person a new one-time password; the old one and all sessions end at once.

    Needs the right Settings wherever the person has a role: the password opens all of them.
    Raises Forbidden, Invalid (the reason), NotFound, RuleBroken (a closed account).
    """
    with booking.denied(by, now, Action.USER_RESET, None, booking.pseudonym(user_id)):
        reason = reasons.check_everywhere(reason, _check_whole(by, user_id))
        secret = people.generate_password()
        hashed = make_password(secret)  # slow on purpose, so before the transaction
        with transaction.atomic():
            user = booking.locked(user_id)
            _check_whole(by, user_id)  # a role granted in between counts
            if not user.is_active:
                raise RuleBroken("The account is closed; reopen it first.", rule="account_closed")
            user.password, user.one_time_password = hashed, True
            user.save(update_fields=["password", "one_time_password"])
            booking.book(
                by=by,
                now=now,
                action=Action.USER_RESET,
                environment=None,
                user=user,
                reason=reason,
                after={"one_time_password": True},
            )
            stream.announce("sessions", None)
    return Created(
        user_id=user.pk, username=user.username, pseudonym=user.pseudonym, password=secret
    )


def close(*, by: Actor, now: datetime, user_id: int, reason: str = "") -> None:
    """Close the account: sessions end, and the tokens that the person made are revoked.

    The roles stay, for the day it is reopened. A closed one is left alone and books nothing.
    Needs what `reset_password` needs. Raises as that does, RuleBroken for one's own account.
    """
    with booking.denied(by, now, Action.USER_CLOSE, None, booking.pseudonym(user_id)):
        reason = reasons.check_everywhere(reason, _check_whole(by, user_id))
        with transaction.atomic():
            user = booking.locked(user_id)
            _check_whole(by, user_id)
            if user.pseudonym == by.id:
                raise RuleBroken(
                    "Nobody closes the own account; ask another admin.", rule="close_own_account"
                )
            if not user.is_active:
                return
            user.is_active = False
            user.save(update_fields=["is_active"])
            revoked = [
                token
                for environment in EnvironmentName
                for token in tokens.withdraw(
                    creator=user.pseudonym, environment=environment, role=None, now=now
                )
            ]
            _book_open(Action.USER_CLOSE, user, by=by, now=now, reason=reason)
            tokens.book_withdrawn(revoked, by=by, now=now, reason=reason)
            stream.announce("people", None)


def reopen(*, by: Actor, now: datetime, user_id: int, reason: str = "") -> None:
    """Open a closed account again, with the roles that it has; its tokens stay revoked.

    Needs what `reset_password` needs. Raises Forbidden, Invalid (the reason), NotFound.
    """
    with booking.denied(by, now, Action.USER_REOPEN, None, booking.pseudonym(user_id)):
        reason = reasons.check_everywhere(reason, _check_whole(by, user_id))
        with transaction.atomic():
            user = booking.locked(user_id)
            _check_whole(by, user_id)
            if user.is_active:
                return
            user.is_active = True
            user.save(update_fields=["is_active"])
            _book_open(Action.USER_REOPEN, user, by=by, now=now, reason=reason)
            stream.announce("people", None)


@sensitive_variables("old", "new")
def change_password(*, by: Actor, now: datetime, old: str, new: str) -> None:
    """Give oneself another password; all sessions end but the one that the caller renews.

    Raises Invalid for a wrong old one, or a new one that is the old or will not do.
    """
    with booking.denied(by, now, Action.PASSWORD_CHANGE, None, by.id):
        user = User.objects.filter(pseudonym=by.id).first()
        if user is None:
            raise NotFound("Only a person has a password.")
        if not user.check_password(old):
            raise Invalid("The present password is wrong. Nothing was changed.")
        if old == new:
            raise Invalid("Choose another password than the present one.")
        booking.check_password(new, user)
        hashed = make_password(new)
        with transaction.atomic():
            fresh = booking.locked(user.pk)
            if fresh.password != user.password:  # reset, or changed, while this one was typed
                raise Invalid("The present password is wrong. Nothing was changed.")
            fresh.password, fresh.one_time_password = hashed, False
            fresh.save(update_fields=["password", "one_time_password"])
            booking.book(
                by=by,
                now=now,
                action=Action.PASSWORD_CHANGE,
                environment=None,
                user=fresh,
                reason="",
                after={"one_time_password": False},
            )
            stream.announce("sessions", None)


def _check_whole(by: Actor, user_id: int) -> list[EnvironmentName]:
    """Return what the account opens; raises unless `by` has the right Settings in all of it."""
    if not User.objects.filter(pk=user_id).exists():
        raise NotFound("There is no such account; reload the list of people.")
    grants = RoleGrant.objects.filter(user_id=user_id).values_list("environment_id", flat=True)
    places = [EnvironmentName(name) for name in grants]
    authority.check(by, places)
    if not grants and not any(rights.can(by, Right.SETTINGS, e) for e in EnvironmentName):
        raise Forbidden("This needs the role admin. Ask an admin.")
    return places


def _book_open(action: Action, user: User, *, by: Actor, now: datetime, reason: str) -> None:
    booking.book(
        by=by,
        now=now,
        action=action,
        environment=None,
        user=user,
        reason=reason,
        before={"active": not user.is_active},
        after={"active": user.is_active},
    )
