"""The Support page: what each role sees and may do, by plain forms and by htmx."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from routing import wiring
from routing.audit import queries as audit
from routing.changes import change
from routing.core.flags import FlagName, SetFlag
from routing.core.values import EnvironmentName
from routing.support import mode
from tests.integration.dashboard.conftest import SHELL, ClientOf

DEV, STG, PROD = EnvironmentName
FLAG = FlagName.SUPPORT_MODE
PAGE = "/e/development/support/"
HTMX = {"HX-Request": "true"}
WHY = "slow answers since noon"


@pytest.fixture(autouse=True)
def _own_home(settings: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    settings.HYBRIDOPS_HOME = tmp_path


def switch(on: bool, version: int = 1, environment: EnvironmentName = DEV) -> None:
    change.apply(
        by=SHELL,
        now=wiring.now(),
        environment=environment,
        sets=[SetFlag(flag=FLAG, on=on, base_version=version)],
        reason="for the tests",
        typed_environment=str(environment),
        health=wiring.path_health(environment),
    )


def shown(client: Client, address: str = PAGE) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def button(page: str, name: str) -> str:
    found = re.search(rf'<button[^>]*id="support-{name}"[^>]*>', page)
    return found[0] if found else ""


def post(client: Client, verb: str, **said: Any) -> Any:
    return client.post(f"{PAGE}{verb}/", said)


def is_active() -> bool:
    return mode.status(DEV, wiring.now()).active


def test_stands_in_the_rail_for_everyone_who_may_look(client_of: ClientOf) -> None:
    assert f'href="{PAGE}"' in shown(client_of("viewer"), "/e/development/flags/")


def test_with_the_flag_off_the_lever_is_disabled_and_says_why(client_of: ClientOf) -> None:
    page = shown(client_of("operator"))
    assert "disabled" in button(page, "activate")
    assert 'aria-describedby="support-obstacle"' in button(page, "activate")
    words = re.search(r'<p id="support-obstacle">(.*?)</p>', page, re.S)
    assert words and str(FLAG) in words[1] and 'href="/e/development/flags/"' in words[1]


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_who_may_only_look_gets_no_lever(client_of: ClientOf, role: str) -> None:
    switch(True)
    page = shown(client_of(role))
    assert "You may look" in page
    assert "/support/activate/" not in page and "/support/audit/" not in page


@pytest.mark.parametrize("role", ["operator", "admin"])
def test_is_activated_and_deactivated_without_script(client_of: ClientOf, role: str) -> None:
    switch(True)
    client = client_of(role)
    assert "disabled" not in button(shown(client), "activate")
    answer = post(client, "activate", reason=WHY, hours="4")
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    page = shown(client)
    assert "Support mode is active in development" in page and WHY in page
    assert f"{role}-all" in page and "user:" not in page
    session = re.search(r'name="session" value="(\d+)"', page)
    assert session and is_active()
    assert post(client, "deactivate", session=session[1]).status_code == 302
    page = shown(client)
    assert "Support mode has ended in development" in page and not is_active()
    assert f"{role}-all: {WHY}" in page  # in the list of sessions


def test_the_levers_are_refused_to_whoever_may_only_look(client_of: ClientOf) -> None:
    switch(True)
    client = client_of("viewer")
    for verb in ("activate", "deactivate", "audit"):
        assert post(client, verb, reason=WHY).status_code == 403
    assert not is_active()


def test_activation_with_the_flag_off_is_refused_in_words_and_booked(client_of: ClientOf) -> None:
    answer = post(client_of("operator"), "activate", reason="nonce-99 here")
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "support_flag_off" in page and 'value="nonce-99 here"' in page
    newest = audit.page(filters=audit.Filters()).rows[0]
    assert (newest.outcome, newest.reason) == ("refused", "nonce-99 here")


def test_a_missing_reason_is_told_and_nothing_is_opened(client_of: ClientOf) -> None:
    switch(True)
    client = client_of("operator")
    assert post(client, "activate", reason="no").status_code == 400
    answer = client.post(f"{PAGE}activate/", {"reason": "no"}, headers=HTMX)
    # htmx takes no content from a 400; it gets the form back as 422
    assert answer.status_code == 422 and 'value="no"' in answer.content.decode()
    assert not is_active()


def test_the_slower_of_two_is_told_who_was_faster(client_of: ClientOf) -> None:
    switch(True)
    faster, slower = client_of("admin"), client_of("operator")
    post(faster, "activate", reason="the first reason")
    answer = post(slower, "activate", reason=WHY)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "activated by admin-all" in page and "the first reason" in page
    assert "Nothing of yours was changed." in page


def test_a_session_that_is_over_by_now_is_not_ended_again(client_of: ClientOf) -> None:
    switch(True)
    client = client_of("operator")
    post(client, "activate", reason=WHY)
    session = mode.status(DEV, wiring.now()).session
    assert session
    post(client, "deactivate", session=session.id)
    post(client, "activate", reason="another case now")
    assert post(client, "deactivate", session=session.id).status_code == 409
    assert is_active()


def test_a_session_whose_flag_went_off_says_that_it_does_not_count(client_of: ClientOf) -> None:
    switch(True)
    client = client_of("operator")
    post(client, "activate", reason=WHY)
    switch(False, version=2)
    page = shown(client)
    assert "Support mode is switched off in development" in page
    assert "is still open but does not count: its flag is off" in page


def test_htmx_gets_the_section_and_the_words_alone(client_of: ClientOf) -> None:
    switch(True)
    client = client_of("operator")
    answer = client.post(f"{PAGE}activate/", {"reason": WHY}, headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 200 and "<html" not in page
    assert page.count('id="support"') == 1 and 'hx-swap-oob="innerHTML:#notice"' in page
    assert "HX-Request" in answer["Vary"]


def test_before_the_first_audit_nothing_is_known(client_of: ClientOf) -> None:
    page = shown(client_of("viewer"))
    assert "Nobody has audited development yet" in page and "never run" in page
    assert "Nobody has used support mode in development yet." in page


def test_an_audit_is_run_by_a_plain_form_and_its_findings_are_shown(client_of: ClientOf) -> None:
    client = client_of("operator")
    answer = client.post(f"{PAGE}audit/")
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    page = shown(client)
    assert "No process serves development." in page  # evidence of a real look
    assert '<h3 id="found-high">' in page and "manage.py serve" in page
    assert "by operator-all, in" in page
    assert "No process serves development." in shown(client_of("viewer"))


def test_audits_of_other_environments_stay_there(client_of: ClientOf) -> None:
    client = client_of("operator")
    client.post(f"{PAGE}audit/")
    assert "Nobody has audited staging yet" in shown(client, "/e/staging/support/")


def test_what_people_typed_is_shown_as_text(client_of: ClientOf) -> None:
    switch(True)
    client = client_of("operator")
    post(client, "activate", reason="<script>alert(1)</script>")
    page = shown(client)
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_a_hidden_field_that_makes_no_sense_is_refused(client_of: ClientOf) -> None:
    client = client_of("operator")
    assert post(client, "activate", reason=WHY, hours="99").status_code == 400
    assert post(client, "deactivate", reason=WHY, session="x").status_code == 400
