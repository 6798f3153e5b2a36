"""Deploying from the page: who may, two clicks, refusals in words, and the steps as they go."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from routing.core.values import EnvironmentName
from routing.deployments import deploy
from routing.deployments.ledger import OperationRow
from tests.integration.dashboard.conftest import ClientOf
from tests.integration.deployments import bed

pytestmark = pytest.mark.django_db(transaction=True)

DEV, STG, PROD = EnvironmentName
PAGE = "/e/development/operations/"


def key(client: Client, page: str = PAGE) -> str:
    shown = client.get(page).content.decode()
    found = re.search(r'name="key" value="([0-9a-f]{32})"', shown)
    assert found, shown
    return found[1]


def post(client: Client, page: str = PAGE, **said: Any) -> Any:
    asked = {"reason": "from the page", "flags": "keep"} | said
    if "key" not in asked:
        asked["key"] = key(client, page)
    return client.post(f"{page}deploy/", asked)


def only(environment: EnvironmentName = DEV) -> OperationRow:
    (found,) = deploy.recent(environment)
    return found


def test_a_click_opens_a_deployment_and_shows_its_steps(client_of: ClientOf) -> None:
    client = client_of("operator")
    answer = post(client)
    made = only()
    assert answer.status_code == 302 and answer["Location"] == f"{PAGE}{made.id}/"
    shown = client.get(answer["Location"]).content.decode()
    assert "0 of 12 steps done" in shown and "Smoke tests" in shown
    assert 'hx-trigger="every 1s"' in shown
    assert made.by.role(DEV) is not None and made.reason == "from the page"


def test_two_clicks_on_one_form_are_one_deployment_even_after_its_end(
    client_of: ClientOf, tmp_path: Path
) -> None:
    client = client_of("operator")
    same = key(client)
    first = post(client, key=same)
    assert post(client, key=same)["Location"] == first["Location"]
    bed.run(only(), tmp_path, bed.plan())
    assert post(client, key=same)["Location"] == first["Location"]
    assert only().is_over


def test_a_run_that_is_over_stops_asking_and_leads_to_its_evidence(
    client_of: ClientOf, tmp_path: Path
) -> None:
    client = client_of("operator")
    where = post(client)["Location"]
    bed.run(only(), tmp_path, bed.plan())
    steps = client.get(where, headers={"HX-Request": "true"}).content.decode()
    assert "hx-trigger" not in steps and "<html" not in steps
    assert "1 of 1 passed, 1 proven" in steps and "succeeded" in steps
    evidence = client.get(f"/e/development/deployments/{only().id}/").content.decode()
    assert "MCPRouter.mcp_connection" in evidence and "proven" in evidence


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_who_may_only_look_sees_no_form_and_is_refused(client_of: ClientOf, role: str) -> None:
    client = client_of(role)
    assert "operator or admin" in client.get(PAGE).content.decode()
    assert post(client, key="0" * 32).status_code == 403
    assert deploy.recent(DEV) == ()


def test_production_is_an_admins_and_wants_its_name(client_of: ClientOf) -> None:
    page = "/e/production/operations/"
    assert post(client_of("operator"), page, key="0" * 32).status_code == 403
    admin = client_of("admin")
    refused = post(admin, page, typed_environment="prod")
    assert refused.status_code == 400 and "Type the environment" in refused.content.decode()
    assert post(admin, page, typed_environment="production").status_code == 302
    assert only(PROD).environment is PROD


def test_a_second_deployment_is_refused_in_words_and_keeps_what_was_typed(
    client_of: ClientOf,
) -> None:
    client = client_of("operator")
    post(client)
    refused = post(client, reason="quite another one")
    shown = refused.content.decode()
    assert refused.status_code == 422 and "is under way" in shown and "quite another one" in shown


def test_a_run_of_another_environment_is_not_found(client_of: ClientOf) -> None:
    client = client_of("operator")
    post(client)
    assert client.get(f"/e/staging/operations/{only().id}/").status_code == 404
    assert client.get(f"{PAGE}nothing-here/").status_code == 404


def test_nonsense_in_the_form_is_refused(client_of: ClientOf) -> None:
    client = client_of("operator")
    assert post(client, key="x").status_code == 400
    assert post(client, flags="toggle").status_code == 400
    assert deploy.recent(DEV) == ()
