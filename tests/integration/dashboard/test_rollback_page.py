"""The Rollback page: everybody reads, an admin plans and confirms, and a refusal says why."""

from __future__ import annotations

import re
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.core.flags import FlagName
from routing.core.values import EnvironmentName, Health
from routing.deployments import rollback
from tests.integration.dashboard.conftest import ClientOf
from tests.integration.deployments import bed
from tests.integration.deployments.test_rolling_back import judge, plan

pytestmark = pytest.mark.django_db(transaction=True)

DEV, STG, PROD = EnvironmentName
PAGE, START = "/e/development/rollback/", "/e/development/rollback/start/"


def fields(html: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html))


def test_a_viewer_reads_the_plan_and_has_no_lever(client_of: ClientOf) -> None:
    judge()
    html = client_of("viewer").get(PAGE + "?target=mcp_only").content.decode()
    assert "Plan: roll back development to MCP-only" in html
    assert "Set <code>ENABLE_INTELLIGENT_ROUTING</code> to <b>off</b>" in html
    assert "on → off" in html and "needs the role admin" in html
    assert 'id="roll-back"' not in html


def test_two_clicks_begin_it_and_the_page_shows_the_run(
    client_of: ClientOf, tmp_path: Folder
) -> None:
    judge()
    client = client_of("admin")
    html = client.get(PAGE + "?target=mcp_only").content.decode()
    said = fields(html)
    assert said["digest"] in html and "Roll back development to MCP-only" in html

    assert client.post(START, said)["Location"] == PAGE
    assert client.post(START, said).status_code == 302  # a second click joins
    (operation,) = rollback.history(DEV)
    running = client.get(PAGE).content.decode()
    assert "Roll back development to MCP-only" in running and "running" in running

    bed.run(operation, tmp_path, plan())
    html = client.get(PAGE).content.decode()
    assert "Rolled back development to MCP-only" in html and "verified" in html
    assert "Set ENABLE_INTELLIGENT_ROUTING to off, was on" in html
    alone = client.get("/e/development/partials/rollback_run/").content.decode()
    assert "Rolled back" in alone and not re.search(r"<form|<button|<input|<a ", alone)


def test_a_red_target_says_why_names_the_other_and_offers_no_button(client_of: ClientOf) -> None:
    judge(mcp=Health.UNHEALTHY)
    client = client_of("admin")
    html = client.get(PAGE + "?target=mcp_only").content.decode()
    assert "MCP-only is refused: mcp is unhealthy" in html
    assert "Alternative: direct-only" in html and 'id="roll-back"' not in html
    other = client.get(PAGE + "?target=direct_only").content.decode()
    assert 'id="roll-back"' in other
    assert 'value="mcp is unhealthy since' in other  # the reason, prefilled from the incident


def test_a_plan_that_is_no_longer_todays_is_told_and_shown_anew(client_of: ClientOf) -> None:
    judge()
    client = client_of("admin")
    said = fields(client.get(PAGE + "?target=mcp_only").content.decode())
    bed.set_flag(FlagName.DIRECT_FALLBACK, True)
    answer = client.post(START, said | {"reason": "kept as typed"})
    html = answer.content.decode()
    assert answer.status_code == 409 and "Nothing was written" in html
    assert 'value="kept as typed"' in html and fields(html)["digest"] != said["digest"]
    assert rollback.history(DEV) == ()


def test_production_wants_its_name_typed(client_of: ClientOf) -> None:
    judge(PROD)
    client = client_of("admin")
    said: dict[str, Any] = fields(
        client.get("/e/production/rollback/?target=mcp_only").content.decode()
    )
    said |= {"reason": "over budget since noon"}
    answer = client.post("/e/production/rollback/start/", said)
    assert answer.status_code == 400 and "Type the environment" in answer.content.decode()
    answer = client.post(
        "/e/production/rollback/start/", said | {"typed_environment": "production"}
    )
    assert answer.status_code == 302


def test_who_and_why_are_for_those_who_may_read_the_trail(
    client_of: ClientOf, tmp_path: Folder
) -> None:
    judge()
    admin = client_of("admin")
    for reason in ("the first reason", "the second reason"):
        said = fields(admin.get(PAGE + "?target=mcp_only").content.decode())
        admin.post(START, said | {"reason": reason})
        bed.run(rollback.history(DEV)[0], tmp_path, plan())
        judge()
    assert "the first reason" in admin.get(PAGE).content.decode()
    assert "the first reason" not in client_of("viewer").get(PAGE).content.decode()


def test_a_form_of_another_shape_is_refused_in_words(client_of: ClientOf) -> None:
    answer = client_of("admin").post(START, {"target": "nowhere"})
    assert answer.status_code == 400 and "plan anew" in answer.content.decode()
