"""A database that does not answer is told as what it is, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings

from dashboard.views.errors import DatabaseAway
from dashboard.views.gate import Patient
from routing import patience


def answer(error: Exception) -> HttpResponse | None:
    edge = DatabaseAway(lambda _: HttpResponse())
    return edge.process_exception(RequestFactory().get("/"), error)


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(
    kind: type[Exception],
) -> None:
    told = answer(kind("database is locked"))
    assert told is not None
    assert (told.status_code, told["Retry-After"]) == (503, "5")
    assert "The database does not answer" in told.content.decode()
    assert "database is locked" not in told.content.decode()


@pytest.mark.parametrize("error", [IntegrityError("twice"), ValueError("ours")])
def test_every_other_error_stays_what_it_is(error: Exception) -> None:
    assert answer(error) is None


class Beside:
    """A middleware that fails beside the view."""

    error: Exception

    def __init__(self, get_response: object) -> None:
        pass

    def __call__(self, request: HttpRequest) -> HttpResponse:
        raise self.error


@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    ("error", "status"), [(OperationalError("gone"), 503), (ValueError("ours"), 500)]
)
async def test_what_fails_beside_a_view_is_told_alike(
    client: type[Client | AsyncClient], error: Exception, status: int
) -> None:
    Beside.error = error
    with override_settings(MIDDLEWARE=[f"{__name__}.{Beside.__name__}"]):
        browser = client(raise_request_exception=False)
        told: Any = (
            await browser.get("/sign-in/")
            if isinstance(browser, AsyncClient)
            else await sync_to_async(browser.get)("/sign-in/")
        )
    assert told.status_code == status
    assert ("The database does not answer" in told.content.decode()) is (status == 503)
    assert (told.get("Retry-After") == "5") is (status == 503)


def test_every_view_stands_behind_it() -> None:
    assert settings.MIDDLEWARE[-1] == "dashboard.views.errors.DatabaseAway"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_page_s_questions_have_an_end_on_the_loop_and_on_threads(method: str) -> None:
    limit_s = patience.READ_S if method in ("GET", "HEAD") else patience.CHANGE_S

    async def asked(_: object) -> list[float | None]:
        return [patience.seconds(), await sync_to_async(patience.seconds)()]

    request = RequestFactory().generic(method, "/sign-in/")
    assert await Patient(asked)(request) == [limit_s, limit_s]  # type: ignore[arg-type]
    assert Patient(lambda _: patience.seconds())(request) == limit_s  # type: ignore[arg-type]
    assert patience.seconds() is None
    assert settings.MIDDLEWARE[0] == "dashboard.views.gate.Patient"
