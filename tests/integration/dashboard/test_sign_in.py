from __future__ import annotations

import pytest
from django.test import Client

from dashboard.views import gate
from routing import wiring
from routing.access import people
from routing.core.values import EnvironmentName, Role
from tests.integration.dashboard.conftest import SHELL, ClientOf

ABROAD = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\evil.example",
    "https:evil.example",
    "https://evil.example/",
    "javascript:alert(1)",
    "/ok\r\nSet-Cookie: a=b",
    "/\tevil",
    "evil",
    "",
]


@pytest.mark.parametrize("target", ABROAD)
def test_next_never_leads_abroad(laid: None, target: str) -> None:
    made = people.create_user(
        reason="for a test",
        by=SHELL,
        now=wiring.now(),
        username="somebody",
        grants={EnvironmentName.DEVELOPMENT: Role.VIEWER},
    )
    said = {"username": "somebody", "password": made.password, "next": target}
    answer = Client().post("/sign-in/", said)
    assert (answer.status_code, answer["Location"]) == (302, "/")


@pytest.mark.parametrize("target", ["/", "/e/staging/flags/?x=1", "/a//b", "/%2f%2fevil"])
def test_next_leads_on_within_the_site(target: str) -> None:
    assert gate.is_local(target)


def test_whoever_must_sign_in_comes_back_to_the_page_asked_for(laid: None) -> None:
    answer = Client().get("/e/staging/audit/?action=flag.change")
    assert answer["Location"] == "/sign-in/?next=/e/staging/audit/%3Faction%3Dflag.change"
    page = Client().get(answer["Location"]).content.decode()
    assert 'name="next" value="/e/staging/audit/?action=flag.change"' in page


def test_a_wrong_password_is_told_in_words_and_not_echoed(client_of: ClientOf) -> None:
    client_of("viewer")
    answer = Client().post("/sign-in/", {"username": "viewer-all", "password": "hunter2-wrong"})
    page = answer.content.decode()
    assert answer.status_code == 401
    assert "wrong" in page
    assert "hunter2-wrong" not in page
    assert 'value="viewer-all"' in page


def test_too_many_tries_say_when_to_come_back(client_of: ClientOf) -> None:
    client_of("viewer")
    said = {"username": "viewer-all", "password": "not the one"}
    answers = [Client().post("/sign-in/", said) for _ in range(7)]
    last = answers[-1]
    assert last.status_code == 429
    assert int(last["Retry-After"]) > 0
    assert f"{last['Retry-After']} s" in last.content.decode()


def test_names_with_markup_are_shown_as_text(laid: None) -> None:
    answer = Client().post("/sign-in/", {"username": "<b>x</b>", "password": "y"})
    assert "<b>x</b>" not in answer.content.decode()
    assert "&lt;b&gt;x&lt;/b&gt;" in answer.content.decode()


def test_forms_of_other_sites_are_refused(client_of: ClientOf) -> None:
    client = client_of("operator", enforce_csrf_checks=False)
    client.handler.enforce_csrf_checks = True
    said = {"to": "off", "base_version": "1"}
    answer = client.post("/e/development/flags/ai.caching.enabled/set/", said)
    assert answer.status_code == 403
    assert "Nothing was changed" in answer.content.decode()


def test_htmx_without_a_session_is_sent_to_sign_in_and_back(laid: None) -> None:
    answer = Client().post(
        "/e/development/flags/ai.caching.enabled/set/",
        headers={
            "HX-Request": "true",
            "HX-Current-URL": "http://testserver/e/development/flags/",
        },
    )
    assert answer["HX-Redirect"] == "/sign-in/?next=/e/development/flags/"
