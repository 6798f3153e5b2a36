"""What tests of access stand on: environments, an operator at the shell, browsers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import pytest
from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from routing.access import failures, people, signin, tokens
from routing.audit import queries as audit
from routing.audit.queries import EntryRow, Filters
from routing.core.errors import HybridOpsError, NotSignedIn
from routing.core.rights import Actor, shell_actor
from routing.core.values import Action, EnvironmentName, Residency, Role
from routing.fleet import store
from routing.fleet.store import PathSettings

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
DEV, STG, PROD = EnvironmentName
SHELL = shell_actor(user="ada", host="ops1")
PASSWORD = "correct-horse-battery"

T = TypeVar("T")


class Browser:
    """Keeps a cookie, and goes through Django's own session middleware like a real one."""

    def __init__(self, address: str = "192.0.2.7") -> None:
        self.address = address
        self.cookie = ""

    def visit(self, use: Callable[[HttpRequest], T]) -> T:
        """Do `use` within one request; keep the cookie that comes back."""
        request = RequestFactory().get("/", REMOTE_ADDR=self.address)
        request.COOKIES[settings.SESSION_COOKIE_NAME] = self.cookie
        setattr(request, "request_id", "req-1")  # noqa: B010 - as the middleware does
        outcome: list[T | HybridOpsError] = []

        def view(request: HttpRequest) -> HttpResponse:
            try:
                outcome.append(use(request))
            except HybridOpsError as error:
                outcome.append(error)
            return HttpResponse()

        response = SessionMiddleware(view)(request)
        assert isinstance(response, HttpResponse)
        if settings.SESSION_COOKIE_NAME in response.cookies:
            self.cookie = response.cookies[settings.SESSION_COOKIE_NAME].value
        [result] = outcome
        if isinstance(result, HybridOpsError):
            raise result
        return result

    def sign_in(self, username: str, password: str = PASSWORD, *, now: datetime = NOW) -> Actor:
        return self.visit(
            lambda request: signin.sign_in(request, username=username, password=password, now=now)
        )

    def actor(self, now: datetime = NOW, *, active: bool = True) -> Actor:
        return self.visit(lambda request: signin.actor(request, now=now, active=active))

    def sign_out(self, now: datetime = NOW) -> None:
        self.visit(lambda request: signin.sign_out(request, now=now))


@pytest.fixture(autouse=True)
def _clean_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test a process that has counted and loaded nothing."""
    monkeypatch.setattr(failures, "_counts", failures.Counts())
    monkeypatch.setattr(tokens, "_current", tokens.Snapshot())


@pytest.fixture
def environments(db: None) -> None:
    lay_environments()


def lay_environments() -> None:
    for name in EnvironmentName:
        store.create(name, PathSettings(residency=Residency.LOCAL))


def person(username: str, **roles: Role) -> people.Created:
    """Make a person with `PASSWORD`; `development=Role.VIEWER` and so on."""
    grants = {EnvironmentName(name): role for name, role in roles.items()}
    return people.create_user(
        reason="for a test", by=SHELL, now=NOW, username=username, grants=grants, password=PASSWORD
    )


def as_person(username: str) -> Actor:
    """Return the actor that `username` is after signing in."""
    return Browser().sign_in(username)


def refusal(browser: Browser, username: str, password: str) -> NotSignedIn:
    """Try to sign in in vain; return the answer."""
    with pytest.raises(NotSignedIn) as refused:
        browser.sign_in(username, password)
    return refused.value


def entries(action: Action | None = None) -> list[EntryRow]:
    """Return what was booked, the oldest first."""
    page = audit.page(filters=Filters(action=action), size=100)
    return list(reversed(page.rows))
