"""A server that says nothing is given up on, by who cannot wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client

from hybridops.postgres import Connection
from routing import patience, wiring
from routing.access import people
from routing.changes import first_run
from routing.core.rights import shell_actor
from routing.core.values import EnvironmentName, Role
from tests import needs
from tests.integration.breakers.wire import Wire

pytestmark = pytest.mark.only_on("postgresql")


@pytest.fixture
def wire() -> Iterator[Wire]:
    url = urlsplit(needs.DATABASE_URL)
    one = Wire(url.hostname or "127.0.0.1", url.port or 5432)
    yield one
    one.mend()
    one.end()


def connect(wire: Wire) -> psycopg.Connection[object]:
    url = urlsplit(needs.DATABASE_URL)
    user = f"{url.username}:{url.password}@" if url.password else f"{url.username}@"
    at = url._replace(netloc=f"{user}127.0.0.1:{wire.port}", path="/postgres").geturl()
    return Connection.connect(at, autocommit=True)


def test_who_has_patience_for_so_long_waits_no_longer(wire: Wire) -> None:
    with connect(wire) as one:
        assert one.execute("SELECT 1").fetchone() == (1,)
        wire.freeze()
        began = time.monotonic()
        patient = patience.within(0.3)
        with patient, pytest.raises(psycopg.OperationalError, match=r"not answer within 0\.3 s"):
            one.execute("SELECT 2")
        assert time.monotonic() - began >= 0.3
        assert one.closed


def test_who_says_nothing_waits_until_it_answers(wire: Wire) -> None:
    with connect(wire) as one:
        wire.freeze()
        mending, began = threading.Timer(0.6, wire.mend), time.monotonic()
        mending.start()
        assert one.execute("SELECT 2").fetchone() == (2,)
        assert time.monotonic() - began >= 0.5
        mending.join()


@pytest.fixture
def ada(transactional_db: None) -> Client:
    """A browser in which a viewer is signed in."""
    by, now = shell_actor(user="tests", host="here"), wiring.now()
    first_run.lay(by=by, now=now, environments=tuple(EnvironmentName), embedded=True)
    roles = {EnvironmentName.DEVELOPMENT: Role.VIEWER}
    made = people.create_user(by=by, now=now, username="ada", grants=roles)
    said = {"username": "ada", "password": made.password}
    browser = Client(raise_request_exception=False)
    assert browser.post("/sign-in/", said).status_code == 302
    return browser


@pytest.fixture
def behind(wire: Wire) -> Iterator[Wire]:
    """The wire, with Django's own connection over it."""
    straight = {name: connection.settings_dict[name] for name in ("HOST", "PORT")}
    _lead({"HOST": "127.0.0.1", "PORT": str(wire.port)})
    yield wire
    wire.mend()
    _lead(straight)


def _lead(to: dict[str, Any]) -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    connection.settings_dict |= to
    connection.ensure_connection()


SAID = {"username": "ada", "password": "a wrong one"}
NEW = {"old": "a", "new": "b", "again": "b"}
VISITS: dict[str, Callable[[Client], Any]] = {
    "home": lambda browser: browser.get("/"),
    "sign in": lambda browser: browser.post("/sign-in/", SAID),
    "sign out": lambda browser: browser.post("/sign-out/"),
    "password": lambda browser: browser.get("/password/"),
    "new password": lambda browser: browser.post("/password/", NEW),
    "a page": lambda browser: browser.get("/e/development/flags/"),
}


@pytest.mark.parametrize("visit", VISITS)
def test_a_page_is_given_up_while_the_server_says_nothing(
    ada: Client, behind: Wire, visit: str
) -> None:
    behind.freeze()
    # Without a limit it waits until then, and finds an answer.
    mending = threading.Timer(20, behind.mend)
    mending.start()
    began = time.monotonic()
    answer = VISITS[visit](ada)
    took_s = time.monotonic() - began
    mending.cancel()
    assert answer.status_code == 503, answer.content.decode()
    assert "does not answer" in answer.content.decode()
    assert took_s < patience.READ_S + 3


class Freezing:
    """A middleware: the server goes silent when the view has answered and the session is new."""

    behind: Wire

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self._get_response(request)
        assert answer.status_code == 200
        request.session["seen"] = True
        self.behind.freeze()
        return answer


def test_a_page_whose_session_cannot_be_saved_any_more_says_so_too(
    ada: Client, behind: Wire, settings: Any
) -> None:
    Freezing.behind = behind
    at = settings.MIDDLEWARE.index("django.contrib.sessions.middleware.SessionMiddleware") + 1
    freezing = f"{__name__}.{Freezing.__name__}"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE[:at], freezing, *settings.MIDDLEWARE[at:]]
    browser = Client(raise_request_exception=False)  # made of the settings as they are now
    browser.cookies = ada.cookies
    answer = browser.get("/e/development/flags/")
    assert answer.status_code == 503, answer.content.decode()
    assert "does not answer" in answer.content.decode()


def test_without_its_middleware_a_page_waits_until_it_answers(
    ada: Client, behind: Wire, settings: Any
) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Patient" not in name]
    browser = Client()  # made of the settings as they are now
    behind.freeze()
    mending, began = threading.Timer(patience.CHANGE_S + 0.5, behind.mend), time.monotonic()
    mending.start()
    assert browser.post("/sign-in/", SAID).status_code == 401
    assert time.monotonic() - began > patience.CHANGE_S
    mending.join()
