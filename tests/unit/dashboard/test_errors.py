"""A database that does not answer is told as what it is, and nothing else is."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import HttpResponse
from django.test import RequestFactory

from dashboard.views.errors import DatabaseAway


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


def test_every_view_stands_behind_it() -> None:
    assert settings.MIDDLEWARE[-1] == "dashboard.views.errors.DatabaseAway"
