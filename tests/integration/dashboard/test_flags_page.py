from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.template.loader import render_to_string
from pytest_django import DjangoAssertNumQueries

from dashboard import cards, partials
from dashboard.look import Look
from dashboard.views import levers
from dashboard.views.gate import Visit
from routing import wiring
from routing.changes import change
from routing.core.flags import FlagName, SetFlag
from routing.core.rights import Actor
from routing.core.values import ActorKind, EnvironmentName, Role
from routing.flags import queries
from tests.integration.dashboard.conftest import SHELL, ClientOf

VersionOf = Callable[..., int]
DEV, STG, PROD = EnvironmentName
CACHING, MCP = FlagName.CACHING, FlagName.MCP_INTEGRATION
HTMX = {"HX-Request": "true"}


def url(flag: str, environment: str = DEV) -> str:
    return f"/e/{environment}/flags/{flag}/set/"


def others_switch(
    flag: FlagName, on: bool, version: int, environment: EnvironmentName = DEV
) -> None:
    change.apply(
        by=SHELL,
        now=wiring.now(),
        environment=DEV,
        sets=[SetFlag(flag=flag, on=on, base_version=version)],
        reason="somebody else was here",
        confirmed=True,
        health=wiring.path_health(DEV),
    )


def lever_of(page: str, flag: str) -> str:
    found = re.search(
        rf'<li class="row row-\d+" data-flag="{re.escape(flag)}">.*?</li>', page, re.S
    )
    assert found, f"{flag} has no row of levers"
    return found[0]


def test_shows_every_flag_in_every_environment(client_of: ClientOf) -> None:
    page = client_of("viewer").get("/e/production/flags/").content.decode()
    for flag in FlagName:
        assert f'<b class="id">{flag}</b>' in page
        lever = lever_of(page, flag)
        assert [
            lever.count(f'<span class="where">{name}</span>') for name in (DEV, STG, PROD)
        ] == [
            1,
            1,
            0,
        ]


def test_a_viewer_gets_no_lever(client_of: ClientOf) -> None:
    page = client_of("viewer").get("/e/development/flags/").content.decode()
    assert "/set/" not in page
    assert "changing" in page or "switching needs" in page


def test_a_click_in_development_switches_and_leads_back(
    client_of: ClientOf, version_of: VersionOf
) -> None:
    client = client_of("operator")
    page = client.get("/e/development/flags/").content.decode()
    assert f'action="{url(CACHING)}"' in lever_of(page, CACHING)
    answer = client.post(url(CACHING), {"to": "off", "base_version": "1"}, follow=True)
    assert answer.redirect_chain == [("/e/development/flags/", 302)]
    said = answer.content.decode()
    assert re.search(r"ai\.caching\.enabled is off in development\. Audit entry #\d+\.", said)
    assert "Switch on" in lever_of(said, CACHING)
    assert version_of(CACHING) == 2


def test_htmx_gets_the_fresh_part_and_its_notice(client_of: ClientOf) -> None:
    client = client_of("operator")
    said = {"to": "off", "base_version": "1"}
    answer = client.post(url(CACHING), said, headers=HTMX)
    part = answer.content.decode()
    assert answer.status_code == 200
    assert "<html" not in part
    assert 'id="flags-grid"' in part
    assert 'hx-swap-oob="innerHTML:#notice"' in part
    assert "HX-Request" in answer["Vary"]


def test_the_slower_of_two_learns_what_holds_now(
    client_of: ClientOf, version_of: VersionOf
) -> None:
    client = client_of("operator")
    others_switch(CACHING, False, 1)
    answer = client.post(url(CACHING), {"to": "off", "base_version": "1"}, headers=HTMX)
    part = answer.content.decode()
    assert answer.status_code == 409
    assert f"Somebody was faster: {CACHING} is now off (by {SHELL.name}, just now)" in part
    assert "Nothing of yours was changed" in part
    assert "Switch on" in lever_of(part, CACHING)
    assert version_of(CACHING) == 2


def test_the_slower_without_script_gets_a_page(client_of: ClientOf) -> None:
    client = client_of("operator")
    others_switch(CACHING, False, 1)
    answer = client.post(url(CACHING), {"to": "off", "base_version": "1"})
    assert answer.status_code == 409
    assert "<html" in answer.content.decode()
    assert "It is off already" in answer.content.decode()


def test_what_stops_something_asks_first_and_says_what(
    client_of: ClientOf, version_of: VersionOf
) -> None:
    client = client_of("operator")
    said = {"to": "off", "base_version": "1"}
    answer = client.post(url(FlagName.BEDROCK_PROVIDER), said, headers=HTMX)
    part = answer.content.decode()
    assert answer.status_code == 409
    assert "emergency loses its only path: its callers get 503 no_path." in part
    assert 'name="confirmed"' in part
    assert version_of(FlagName.BEDROCK_PROVIDER) == 1
    answer = client.post(url(FlagName.BEDROCK_PROVIDER), said | {"confirmed": "true"})
    assert answer.status_code == 302
    assert version_of(FlagName.BEDROCK_PROVIDER) == 2


def test_a_rule_that_refuses_is_named(client_of: ClientOf, version_of: VersionOf) -> None:
    client = client_of("admin")
    said = {"to": "off", "base_version": "1", "confirmed": "true"}
    answer = client.post(url(FlagName.INTELLIGENT_ROUTING), said)
    assert answer.status_code == 422
    assert "mcp_only_unproven" in answer.content.decode()
    assert version_of(FlagName.INTELLIGENT_ROUTING) == 1


def test_in_production_the_lever_leads_to_the_review(client_of: ClientOf) -> None:
    page = client_of("operator").get("/e/production/flags/").content.decode()
    lever = lever_of(page, CACHING)
    assert f'href="{url(CACHING, PROD)}?to=off"' in lever
    assert "<form" not in lever


def test_the_review_asks_for_reason_and_place(client_of: ClientOf) -> None:
    page = client_of("operator").get(url(CACHING, PROD) + "?to=off").content.decode()
    assert "Nothing stops." in page
    assert 'name="reason"' in page
    assert 'name="typed_environment"' in page
    assert f"Switch off {CACHING} in production" in page


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({}, "needs a reason"),
        ({"reason": "no"}, "needs a reason"),
        ({"reason": "cache serves old answers"}, "Type the environment"),
        (
            {"reason": "cache serves old answers", "typed_environment": "prod"},
            "Type the environment",
        ),
    ],
)
def test_the_server_insists_on_reason_and_place(
    client_of: ClientOf, version_of: VersionOf, more: dict[str, str], problem: str
) -> None:
    said = {"to": "off", "base_version": "1"} | more
    answer = client_of("operator").post(url(CACHING, PROD), said)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert problem in page
    assert f'value="{more.get("reason", "")}"' in page
    assert version_of(CACHING, PROD) == 1


def test_a_full_review_switches_in_production(client_of: ClientOf, version_of: VersionOf) -> None:
    said = {
        "to": "off",
        "base_version": "1",
        "reason": "cache serves old answers",
        "typed_environment": "production",
    }
    answer = client_of("operator").post(url(CACHING, PROD), said)
    assert (answer.status_code, answer["Location"]) == (302, "/e/production/flags/")
    assert version_of(CACHING, PROD) == 2


def test_the_review_tells_an_operator_what_only_an_admin_may(client_of: ClientOf) -> None:
    path = url(FlagName.BEDROCK_PROVIDER, PROD) + "?to=off&cause=security"
    page = client_of("operator").get(path).content.decode()
    assert "only an admin may confirm that" in page
    assert '<button type="submit" class="danger"' not in page
    page = client_of("admin").get(path).content.decode()
    assert '<button type="submit" class="danger"' in page


def test_a_path_may_be_closed_for_security(client_of: ClientOf, version_of: VersionOf) -> None:
    others_switch(FlagName.BEDROCK_PROVIDER, False, 1)
    client = client_of("operator")
    page = client.get(url(MCP) + "?to=off").content.decode()
    assert "cause=security" in page
    page = client.get(url(MCP) + "?to=off&cause=security").content.decode()
    assert 'name="cause" value="security"' in page
    said = {"to": "off", "base_version": "1", "cause": "security", "confirmed": "true"}
    assert client.post(url(MCP), said).status_code == 302
    assert version_of(MCP) == 2


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"to": "sideways", "base_version": "1"},
        {"to": "off", "base_version": "x"},
        {"to": "off", "base_version": "9" * 30},
        {"to": "off", "base_version": "-1"},
        {"to": "off", "base_version": "1", "cause": "boredom"},
        {"to": "off", "base_version": "1", "reason": "null \x00 byte"},
    ],
)
def test_nonsense_is_refused_in_words(
    client_of: ClientOf, version_of: VersionOf, said: dict[str, str]
) -> None:
    answer = client_of("operator").post(url(CACHING), said)
    assert answer.status_code == 400
    assert "Nothing was changed" in answer.content.decode()
    assert version_of(CACHING) == 1


@pytest.mark.parametrize("path", ["/e/nowhere/flags/", url("NO_SUCH_FLAG"), "/e/development/x/"])
def test_what_is_not_there_is_a_quiet_404(client_of: ClientOf, path: str) -> None:
    answer = client_of("admin").get(path)
    assert answer.status_code == 404
    assert "There is no such page" in answer.content.decode()


def test_a_flag_off_its_declaration_stands_out(client_of: ClientOf) -> None:
    others_switch(CACHING, False, 1)
    page = client_of("viewer").get("/e/development/flags/").content.decode()
    assert page.count('differs"') == 1
    assert f"{CACHING} is off in development, declared on" in page
    assert "declared on here" in page


def write_around_us(environment: EnvironmentName) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            'UPDATE routing_flagstate SET "on" = NOT "on" '
            "WHERE flag_id = 'ai.caching.enabled' AND environment_id = %s",
            [str(environment)],
        )


def test_a_change_around_us_waits_for_an_admin(client_of: ClientOf) -> None:
    admin, operator = client_of("admin"), client_of("operator")
    write_around_us(STG)
    page = admin.get("/e/staging/flags/").content.decode()
    assert "Flags of staging were changed around us; that is not applied" in page
    assert "booked <b>on, version 1</b>, found <b>off, version 1</b>" in page
    assert 'value="adopt"' in page
    seen = operator.get("/e/staging/flags/").content.decode()
    assert "An admin adopts it or reverts" in seen
    assert 'value="adopt"' not in seen
    assert "changed around us" not in admin.get("/e/production/flags/").content.decode().lower()
    told = admin.get("/e/staging/").content.decode()
    assert "Somebody changed flags of staging around us, which is not applied" in told


@pytest.mark.parametrize(("do", "on"), [("revert", True), ("adopt", False)])
def test_an_admin_settles_it_by_a_button(client_of: ClientOf, do: str, on: bool) -> None:
    admin = client_of("admin")
    write_around_us(STG)
    page = admin.get("/e/staging/flags/").content.decode()
    touches = re.search(r'name="touches" value="(\d+)"', page)
    assert touches
    said = {"do": do, "touches": touches[1], "reason": "found at night"}
    assert admin.post("/e/staging/flags/drift/", said | {"touches": "0"}).status_code == 409
    answer = admin.post("/e/staging/flags/drift/", said, follow=True).content.decode()
    assert f"What was changed around us is {do.rstrip('t') + 'ted'}." in answer
    assert "flag-drift" not in answer
    kept = queries.flag_row(CACHING, [STG]).cells[STG]
    assert kept.state.on is on


def test_the_live_part_is_the_same_included_and_fetched(client_of: ClientOf) -> None:
    """Ages are the one thing that may differ between two moments."""
    client = client_of("operator")
    page = client.get("/e/staging/flags/").content.decode()
    alone = client.get("/e/staging/partials/flags_grid/").content.decode()
    assert _without_ages(alone) in _without_ages(page)


def _without_ages(html: str) -> str:
    return re.sub(r"data-ago>[^<]*<", "data-ago><", html).strip()


def test_the_live_part_is_the_same_for_everyone_and_holds_no_form(client_of: ClientOf) -> None:
    alone = {
        _without_ages(client_of(role).get("/e/staging/partials/flags_grid/").content.decode())
        for role in ("viewer", "admin")
    }
    assert len(alone) == 1
    assert not re.search(r"<form|<button|<input|csrf", alone.pop())


@pytest.mark.parametrize("name", list(partials.PARTIALS))
def test_one_live_part_has_one_name_in_five_places(laid: None, name: str) -> None:
    part = partials.PARTIALS[name]
    assert part.template == f"dashboard/_{name}.html"
    shown = partials.render(name, Look(DEV, wiring.now()))
    assert f'id="{name.replace("_", "-")}"' in shown
    assert callable(getattr(cards, name))


def visit(*environments: EnvironmentName) -> Visit:
    by = Actor(
        kind=ActorKind.USER, id="user:x", name="x", grants=dict.fromkeys(environments, Role.ADMIN)
    )
    return Visit(actor=by, environment=environments[0], section="flags", now=wiring.now())


def test_reading_all_flags_costs_the_same_however_many_environments(
    laid: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # Flags, names, release, ends, when they were asked for, what may be undone; two of them who
    # runs the newest. PostgreSQL is asked for its time, and told how long that may take.
    queries = 8 if connection.vendor == "sqlite" else 10
    for environments in ((DEV,), (DEV, STG, PROD)):
        with django_assert_num_queries(queries):
            levers.context(visit(*environments))


def test_rendering_asks_the_database_nothing(
    laid: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    told: dict[str, Any] = levers.context(visit(DEV, STG, PROD))
    with django_assert_num_queries(0):
        render_to_string("dashboard/flags.html", told)


def test_the_style_sheet_has_a_row_for_every_flag() -> None:
    from pathlib import Path

    css = (Path(partials.__file__).parent / "static/dashboard/app.css").read_text()
    for row in range(1, len(FlagName) + 1):
        assert f".row-{row} {{ --row: {row}; }}" in css
