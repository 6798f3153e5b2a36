"""Who is asking: sign in, sign out, and the actor behind a request or a socket."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib import import_module

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django.views.decorators.debug import sensitive_variables

from routing import stream
from routing.access import accounts, delays, failures, network
from routing.access.failures import Key, Kind
from routing.access.models import RoleGrant, User, is_username
from routing.audit import ledger
from routing.core import rights
from routing.core.errors import MustChange, NotSignedIn, TooMany
from routing.core.rights import Actor, Right
from routing.core.values import Action, ActorKind, EnvironmentName, Role

IDLE = timedelta(minutes=30)
ABSOLUTE = timedelta(hours=12)
TOUCH = timedelta(minutes=1)  # a session is written once a minute, not with every request
SKEW = timedelta(minutes=1)
BEGAN, SEEN = "began", "seen"  # seconds since 1970

WRONG = (
    "The name or the password is wrong, or the account has no role. Check both; if you are sure "
    "of them, ask an admin for a role."
)
SIGN_IN = "You are not signed in. Sign in to go on."
ONE_TIME = "Your password was given to you for one time. Choose your own to go on."
ENDED = (
    "Your session has ended: it lasts 12 hours, or 30 minutes without use, and as long as you "
    "have a role. Sign in again."
)


@sensitive_variables("password")
def sign_in(request: HttpRequest, *, username: str, password: str, now: datetime) -> Actor:
    """Begin a session of the person `username`, under a new key, and book it.

    Raises NotSignedIn in the same words and after the same work whether the name is unknown, the
    password wrong, or the account closed; TooMany with `retry_after_s` after 5 failures.
    """
    name = unicodedata.normalize("NFKC", username).strip().lower()
    account, peer = _digest(name), _peer(request)
    try:
        delays.charge(account, peer, now=now)
    except TooMany:
        failures.note(Key(kind=Kind.DELAYED, account=account, network=peer), now=now)
        raise
    user = _authenticate(request, name, password)
    if user is None:
        failures.note(Key(kind=Kind.WRONG, account=account, network=peer), now=now)
        raise NotSignedIn(WRONG)
    try:
        return _open(request, user, account, now)
    except Exception:
        # What was rolled back must not live on in this request or its cookie.
        request.session = type(request.session)()
        request.user = AnonymousUser()
        raise


@sensitive_variables("password")
def _authenticate(request: HttpRequest, name: str, password: str) -> User | None:
    # A name that cannot exist goes the way of an unknown one: some databases refuse its bytes.
    known = name if is_username(name) else ""
    readable = password.encode("utf-8", "replace").decode()
    user = auth.authenticate(request, username=known, password=readable)
    return user if isinstance(user, User) and _grants(user) else None


def _open(request: HttpRequest, user: User, account: str, now: datetime) -> Actor:
    with transaction.atomic():
        delays.clear(account, _peer(request))
        # Django keeps the key when the same person signs in again; a planted one would stay.
        request.session.flush()
        auth.login(request, user)
        request.session[BEGAN] = request.session[SEEN] = int(now.timestamp())
        request.session.save()
        by = _actor(request, user, _grants(user))
        ledger.record(
            by=by,
            now=now,
            action=Action.SIGNIN,
            environment=None,
            object_type="user",
            object_id=by.id,
            facts={"account": account},  # ties it to the failures booked before
        )
    return by


def sign_out(request: HttpRequest, *, now: datetime) -> None:
    """End the session and book it; without one, do nothing."""
    try:
        by = actor(request, now=now, active=False, renewing=True)
    except NotSignedIn:
        return
    with transaction.atomic():
        auth.logout(request)
        ledger.record(
            by=by,
            now=now,
            action=Action.SIGNOUT,
            environment=None,
            object_type="user",
            object_id=by.id,
        )
        stream.announce("sessions", None)


@sensitive_variables("old", "new")
def renew_password(request: HttpRequest, *, old: str, new: str, now: datetime) -> None:
    """Give the person of this session a password of their own; it stays, all others end.

    Raises NotSignedIn, and Invalid for a wrong old password or a new one that will not do.
    """
    by = actor(request, now=now, renewing=True)
    accounts.change_password(by=by, now=now, old=old, new=new)
    user = User.objects.get(pseudonym=by.id)
    request.session.cycle_key()
    request.session[auth.HASH_SESSION_KEY] = user.get_session_auth_hash()


def check(
    by: Actor, right: Right, environment: EnvironmentName, *, now: datetime, page: str
) -> None:
    """Raise Forbidden, booked, unless `by` holds `right` in `environment`, to open `page`."""
    with ledger.denied(
        by=by,
        now=now,
        action=Action.PAGE_OPEN,
        environment=environment,
        object_type="page",
        object_id=page,
    ):
        rights.check(by, right, environment)


def actor(
    request: HttpRequest, *, now: datetime, active: bool = True, renewing: bool = False
) -> Actor:
    """Return who is asking, with roles read afresh; raises NotSignedIn.

    A session that is over, or whose person is closed or without any role, is ended here.
    `active` is False for what a page asks by itself, which must not keep a session alive. While
    the password is a one-time one, MustChange is raised for all but the page that renews it.
    """
    user = auth.get_user(request)
    session = request.session
    grants = _grants(user) if isinstance(user, User) else {}
    if isinstance(user, User) and grants and _lasts(session, now):
        if user.one_time_password and not renewing:
            raise MustChange(ONE_TIME)
        if active and now.timestamp() - session[SEEN] >= TOUCH.total_seconds():
            session[SEEN] = int(now.timestamp())
        return _actor(request, user, grants)
    if auth.SESSION_KEY in session or isinstance(user, User):
        auth.logout(request)
        raise NotSignedIn(ENDED)
    raise NotSignedIn(SIGN_IN)


def for_session(session_key: str, *, now: datetime) -> Actor:
    """Return whose session that is, for a socket that checks again; raises NotSignedIn.

    It does not count as use of the session.
    """
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    return actor(request, now=now, active=False)


def flush_failures(*, now: datetime) -> int:
    """Book the failures counted since the last time and forget old ones; return the entries."""
    delays.prune(now=now)
    return failures.flush(now=now)


def _lasts(session: SessionBase, now: datetime) -> bool:
    """Tell whether a session is within its times.

    One that begins in the future is over too: the clock was set back, and it would last too long.
    """
    began, seen = session.get(BEGAN), session.get(SEEN)
    if not isinstance(began, int) or not isinstance(seen, int):
        return False
    age_s, idle_s = now.timestamp() - began, now.timestamp() - seen
    return (
        -SKEW.total_seconds() <= age_s < ABSOLUTE.total_seconds()
        and -SKEW.total_seconds() <= idle_s < IDLE.total_seconds()
    )


def _grants(user: User) -> Mapping[EnvironmentName, Role]:
    rows = RoleGrant.objects.filter(user=user).values_list("environment_id", "role")
    return {EnvironmentName(environment): Role(role) for environment, role in rows}


def _actor(request: HttpRequest, user: User, grants: Mapping[EnvironmentName, Role]) -> Actor:
    key = request.session.session_key or ""
    return Actor(
        kind=ActorKind.USER,
        id=user.pseudonym,
        name=user.username,
        grants=grants,
        request_id=getattr(request, "request_id", ""),
        session=hashlib.sha256(key.encode()).hexdigest()[:16],
        peer=_peer(request),
    )


def _peer(request: HttpRequest) -> str:
    return network.of(request.META.get("REMOTE_ADDR", ""))


def _digest(name: str) -> str:
    # Keyed: people type their password into the field of the name, and the trail is for ever.
    return salted_hmac("hybridops.signin.account", name, algorithm="sha256").hexdigest()[:16]
