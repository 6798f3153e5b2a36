"""Settings: people and tokens, by the use cases that the commands use."""

from __future__ import annotations

import re

from django.test import Client

from routing import wiring
from routing.access import people, queries, tokens
from routing.audit import queries as audit
from routing.core.values import EnvironmentName, Role
from tests.integration.dashboard.conftest import SHELL, ClientOf

DEV, STG, PROD = EnvironmentName
AT = "/e/staging/settings/"
TOKEN = {
    "name": "batch <b>jobs</b>",
    "role": "viewer",
    "operations": ["standard"],
    "days": "7",
    "at_once": "5",
    "per_second": "6",
    "tokens_per_minute": "7",
    "reason": "for nightly jobs",
}
WHY = {"reason": "for a test"}


def secret(page: str) -> str:
    shown = re.search(r'id="secret-value">([^<]+)<', page)
    assert shown, page
    return shown[1]


def made(name: str, **roles: Role) -> int:
    grants = {EnvironmentName(place): role for place, role in roles.items()}
    return people.create_user(
        reason="for a test", by=SHELL, now=wiring.now(), username=name, grants=grants
    ).user_id


def test_a_one_time_password_is_shown_once_and_opens_one_page(client_of: ClientOf) -> None:
    admin = client_of("admin")
    page = admin.post(
        f"{AT}create/", {"username": "grace", "role": "operator"} | WHY
    ).content.decode()
    first = secret(page)
    number = queries.user_id("grace")
    assert first not in admin.get(f"{AT}{number}/").content.decode()
    trail = str(audit.page(filters=audit.Filters(), size=500))
    assert first not in trail and "grace" not in trail
    grace = Client()
    assert grace.post("/sign-in/", {"username": "grace", "password": first}).status_code == 302
    for path in ("/", "/e/staging/", "/e/staging/partials/flags_grid/"):
        assert grace.get(path)["Location"] == "/password/"
    for new, again, words in (
        (first, first, "another password"),
        ("short", "short", "at least 12"),
        ("long-enough-for-all", "long-enough-for-al1", "differ"),
    ):
        answer = grace.post("/password/", {"old": first, "new": new, "again": again})
        assert answer.status_code == 400 and words in answer.content.decode()
    own = "long-enough-for-all"
    wrong = grace.post("/password/", {"old": "x", "new": own, "again": own})
    assert "present password is wrong" in wrong.content.decode()
    assert grace.post("/password/", {"old": first, "new": own, "again": own}).status_code == 302
    assert grace.get("/e/staging/").status_code == 200
    assert Client().post("/sign-in/", {"username": "grace", "password": first}).status_code == 401


def test_a_reset_ends_the_sessions_and_a_closed_account_stays_out(client_of: ClientOf) -> None:
    admin, operator = client_of("admin"), client_of("operator")
    number = queries.user_id("operator-all")
    first = secret(admin.post(f"{AT}{number}/reset/", WHY).content.decode())
    assert operator.get("/e/staging/")["Location"].startswith("/sign-in/")
    login = {"username": "operator-all", "password": first}
    assert operator.post("/sign-in/", login).status_code == 302
    assert admin.post(f"{AT}{number}/close/", {"reason": "left us"}).status_code == 302
    assert operator.get("/password/")["Location"].startswith("/sign-in/")
    assert operator.post("/sign-in/", login).status_code == 401
    assert "closed" in admin.get(AT).content.decode()
    assert admin.post(f"{AT}{number}/reset/", WHY).status_code == 422
    assert admin.post(f"{AT}{number}/reopen/", WHY).status_code == 302
    assert operator.post("/sign-in/", login).status_code == 302


def test_an_admin_of_one_place_cannot_take_an_account_of_another(client_of: ClientOf) -> None:
    here = client_of("admin", only=STG)
    number = made("ada", staging=Role.VIEWER, production=Role.ADMIN)
    page = here.get(f"{AT}{number}/").content.decode()
    assert "for an admin of all of them" in page and "/reset/" not in page
    for verb in ("reset", "close", "reopen"):
        assert here.post(f"{AT}{number}/{verb}/").status_code == 403
    assert queries.account(number).is_active
    assert here.post(f"{AT}{number}/grant/", {"role": "operator"} | WHY).status_code == 302
    assert here.post(f"{AT}{number}/revoke/", WHY).status_code == 302
    assert queries.account(number).roles == {PROD: Role.ADMIN}
    assert (
        here.post(f"{AT}admit/", {"username": "ada", "role": "reviewer"} | WHY).status_code == 302
    )
    assert queries.account(number).roles[STG] is Role.REVIEWER


def test_nobody_closes_the_own_account(client_of: ClientOf) -> None:
    admin = client_of("admin")
    number = queries.user_id("admin-all")
    assert "Close the account" not in admin.get(f"{AT}{number}/").content.decode()
    assert admin.post(f"{AT}{number}/close/", WHY).status_code == 422
    assert admin.get(AT).status_code == 200


def test_a_token_is_issued_shown_once_and_revoked(client_of: ClientOf) -> None:
    admin = client_of("admin")
    page = admin.post(f"{AT}tokens/issue/", TOKEN).content.decode()
    tokens.load()
    found = tokens.find(secret(page), wiring.now())
    assert found is not None and found.environment is STG
    assert (found.limits.at_once, found.emergency) == (5, False)
    page = admin.get(f"{AT}tokens/").content.decode()
    assert found.id in page and "batch &lt;b&gt;jobs&lt;/b&gt;" in page
    assert "5 at once, 6 a second, 7 tokens a minute" in page
    revoke = f"{AT}tokens/{found.id}/revoke/"
    assert admin.post(revoke).status_code == 400
    assert admin.post(revoke, {"reason": "leaked"}).status_code == 302
    tokens.load()
    assert tokens.current().by_digest == {}
    assert "revoked" in admin.get(f"{AT}tokens/").content.decode()


def test_a_token_form_that_will_not_do_is_told(client_of: ClientOf) -> None:
    admin = client_of("admin")
    answer = admin.post(f"{AT}tokens/issue/", TOKEN | {"tenant": "NOT A TENANT"})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "Name the tenant" in page and "Nothing was changed" in page


def test_outside_development_each_form_asks_for_a_reason_and_has_to_get_one(
    client_of: ClientOf,
) -> None:
    admin = client_of("admin")
    number = made("ada", staging=Role.VIEWER)
    asked = {
        "create/": {"username": "grace", "role": "viewer"},
        "admit/": {"username": "ada", "role": "operator"},
        f"{number}/grant/": {"role": "operator"},
        f"{number}/revoke/": {},
        f"{number}/reset/": {},
        f"{number}/close/": {},
        "tokens/issue/": TOKEN | {"reason": ""},
    }
    for path, said in asked.items():
        answer = admin.post(f"{AT}{path}", said)
        assert answer.status_code == 400, path
        page = answer.content.decode()
        assert "needs a reason" in page and "Nothing was changed" in page, path
    assert queries.account(number).roles == {STG: Role.VIEWER}
    assert queries.account(number).is_active
    for path, fields in (("", 2), (f"{number}/", 4), ("tokens/", 1)):
        page = admin.get(f"{AT}{path}").content.decode()
        assert len(re.findall(r'name="reason"[^>]*required minlength="5"', page)) == fields, path


def test_in_development_a_reason_may_be_left_out(client_of: ClientOf) -> None:
    admin, here = client_of("admin"), "/e/development/settings/"
    secret(admin.post(f"{here}create/", {"username": "grace", "role": "viewer"}).content.decode())
    number = queries.user_id("grace")
    secret(admin.post(f"{here}{number}/reset/").content.decode())
    # What opens staging as well is not of development alone.
    people.grant(
        by=SHELL, now=wiring.now(), user_id=number, environment=STG, role=Role.VIEWER, **WHY
    )
    assert admin.post(f"{here}{number}/close/").status_code == 400
    page = admin.get(f"{here}{number}/").content.decode()
    assert page.count("required minlength") == 2 and page.count("Reason (optional)") == 2
