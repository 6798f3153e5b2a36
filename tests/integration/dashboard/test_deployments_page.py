"""The Deployments pages: the list, one whole, two compared, and the import by plain forms."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from routing import wiring
from routing.audit import queries as audit
from routing.core.values import Action, EnvironmentName, Role
from routing.deployments import importing, queries
from routing.deployments.parsed import SmokeTest
from tests.integration.dashboard.conftest import SHELL, ClientOf
from tests.unit.deployments.papers import (
    BEGUN_MS,
    DRIFT,
    FILE,
    ID,
    SUMMARY,
    clean,
    markdown,
    results,
    summary,
    text_of,
)

DEV, STG, PROD = EnvironmentName
PAGE = "/e/development/deployments/"
MCP = SmokeTest.MCP_CONNECTION
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{ 7|add:7 }}"


def have(**more: Any) -> None:
    importing.import_document(
        by=SHELL, now=wiring.now(), file_name=FILE, data=markdown(**more).encode()
    )


def shown(client: Client, address: str = PAGE, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status, answer.content.decode()
    return str(answer.content.decode())


def send(client: Client, *files: tuple[str, str | bytes], address: str = PAGE) -> Any:
    uploads = [
        SimpleUploadedFile(name, text.encode() if isinstance(text, str) else text)
        for name, text in files
    ]
    return client.post(f"{address}import/", {"files": uploads})


def words(page: str) -> str:
    """Return the text of a page, on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_an_empty_environment_says_how_to_begin(client_of: ClientOf) -> None:
    assert "manage.py import_deployments" in shown(client_of("operator"))
    looking = words(shown(client_of("viewer")))
    assert "No deployment is known in development" in looking
    assert "Importing needs the role operator or admin here." in looking


def test_recorded_and_derived_stand_side_by_side(client_of: ClientOf) -> None:
    have(recorded_status="FAILED", tests=results(duration_ms=0))
    page = shown(client_of("viewer"))
    row = words(page[page.index("<tbody>") :])
    assert row.index("FAILED") < row.index("inconclusive") < row.index("0 of 10 proven")
    assert "imported" in row and ID in row
    assert 'class="pill failed"' in page and 'class="pill unproven"' in page
    assert "healthy" not in page[page.index("<tbody>") :], "no claim is drawn as a success"


def test_a_recorded_success_is_never_drawn_as_one(client_of: ClientOf) -> None:
    have()
    page = shown(client_of("viewer"))
    assert re.search(r'class="pill unproven"><svg.*?</svg>SUCCESS', page, re.S)


def test_filters_are_in_the_address_and_a_wrong_one_lists_nothing(client_of: ClientOf) -> None:
    have()
    client = client_of("viewer")
    assert ID in shown(client, f"{PAGE}?verdict=inconclusive")
    assert "No deployment matches" in shown(client, f"{PAGE}?verdict=failed")
    assert "No deployment matches" in shown(client, f"{PAGE}?origin=ran")
    assert ID not in shown(client, f"{PAGE}?verdict=good", status=400)
    assert "start over at the newest" in shown(client, f"{PAGE}?before=x", status=400)


def test_older_ones_are_a_page_away(client_of: ClientOf) -> None:
    for n in range(51):
        have(deployment_id=f"run-{n:02}-{BEGUN_MS + n}")
    client = client_of("viewer")
    first = shown(client)
    older = re.search(r'href="(\?[^"]*before=[^"]+)"', first)
    assert older
    second = shown(client, PAGE + older[1].replace("&amp;", "&"))
    assert len(re.findall(r'<a class="id" href="/e/development/deployments/run', first)) == 50
    assert len(re.findall(r'<a class="id" href="/e/development/deployments/run', second)) == 1


def test_a_deployment_shows_why_its_tests_prove_nothing(client_of: ClientOf) -> None:
    have(tests=results(failing=[MCP], duration_ms=0), errors=(DRIFT,))
    page = shown(client_of("viewer"), f"{PAGE}{ID}/")
    text = words(page)
    assert "recorded SUCCESS, derived failed" in text
    assert "1 of 10 tests failed: MCPRouter.mcp_connection." in text
    assert "in 0 ms nothing can have been called" in text
    assert "expected emergency → direct_bedrock actual emergency → direct kind vocabulary" in text
    assert "vocabulary_drift" in text and "zero_ms_tests" in text
    assert "status_contradicts" in text


def test_who_may_read_the_trail_is_led_to_the_entry(client_of: ClientOf) -> None:
    have()
    [entry] = audit.page(filters=audit.Filters(action=Action.DEPLOYMENT_IMPORT)).rows
    link = f'href="/e/development/audit/{entry.seq}/"'
    assert link in shown(client_of("reviewer"), f"{PAGE}{ID}/")
    assert link not in shown(client_of("viewer"), f"{PAGE}{ID}/")


def test_both_documents_are_there_as_text(client_of: ClientOf) -> None:
    client = client_of("operator")
    assert send(client, (FILE, markdown()), (SUMMARY, text_of(summary()))).status_code == 200
    page = shown(client, f"{PAGE}{ID}/")
    assert "### What was done" in page and "&quot;deploymentId&quot;" in page
    assert "2500 ms" in page and SUMMARY in page


def test_text_of_a_document_is_inert_wherever_it_stands(client_of: ClientOf) -> None:
    client = client_of("operator")
    broken = results(failing=[MCP], error=EVIL)
    bad = {"errors": (EVIL, f"{DRIFT}{EVIL}"), "warnings": (EVIL,)}
    answer = send(
        client,
        (FILE, markdown(process=f"\n{EVIL}\n", **bad)),
        (f"{EVIL}.json".replace("/", ""), text_of(summary(tests=broken, **bad))),
        ("bad.md", EVIL),
        ("worse.md", markdown().replace("SUCCESS", EVIL)),
    )
    pages = [answer.content.decode(), shown(client), shown(client, f"{PAGE}{ID}/")]
    pages.append(shown(client, f"{PAGE}compare/?before={ID}&after={ID}"))
    for page in pages:
        assert "<script>alert" not in page and "<img src=x" not in page
    assert pages[2].count("&lt;script&gt;alert(1)") >= 5
    assert "{{ 7|add:7 }}" in pages[2], "nor is it a template"


def test_a_deployment_of_another_environment_is_not_here(client_of: ClientOf) -> None:
    have(environment=STG)
    client = client_of("viewer")
    assert client.get(f"{PAGE}{ID}/").status_code == 404
    assert client.get(f"/e/staging/deployments/{ID}/").status_code == 200


def test_the_import_tells_what_became_of_each_file(client_of: ClientOf) -> None:
    client = client_of("operator")
    files = ((FILE, markdown()), ("other.md", "# Other\n"), (FILE, markdown()))
    answer = send(client, *files)
    text = words(answer.content.decode())
    assert answer.status_code == 200
    assert "3 files: 1 created, 1 unchanged, 1 refused" in text
    assert "titled &#x27;Other&#x27;" in answer.content.decode()
    assert [row.id for row in queries.page(filters=queries.Filters()).rows] == [ID]


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("other.md", "# Other\n", 400),
        (FILE, markdown(warnings=("x",)), 409),
        (FILE, b"\xff", 400),
        (FILE, b"x" * (2 * 1024 * 1024 + 1), 400),
    ],
    ids=["foreign", "conflict", "binary", "large"],
)
def test_nothing_taken_is_no_success(
    client_of: ClientOf, name: str, text: str | bytes, status: int
) -> None:
    have()
    answer = send(client_of("admin"), (name, text))
    assert answer.status_code == status
    assert "1 refused" in answer.content.decode()


def test_no_file_is_said_so(client_of: ClientOf) -> None:
    answer = client_of("operator").post(f"{PAGE}import/", {})
    assert answer.status_code == 400 and "No file was chosen" in answer.content.decode()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_who_may_not_import_is_told_in_words_and_it_is_booked(
    client_of: ClientOf, role: Role
) -> None:
    client = client_of(role)
    assert "Import documents" not in shown(client)
    for answer in (client.get(f"{PAGE}import/"), send(client, (FILE, markdown()))):
        assert answer.status_code == 403
        assert "needs the role operator or admin in development" in answer.content.decode()
    assert queries.page(filters=queries.Filters()).rows == ()
    newest = audit.page(filters=audit.Filters()).rows[0]
    assert (newest.outcome, newest.role) == ("refused", role)


def test_the_right_counts_where_the_document_says_it_ran(client_of: ClientOf) -> None:
    answer = send(client_of("operator", only=DEV), (FILE, markdown(environment=PROD)))
    assert answer.status_code == 403
    assert "role operator or admin in production" in answer.content.decode()
    assert queries.page(filters=queries.Filters()).rows == ()


def test_a_form_from_elsewhere_imports_nothing(client_of: ClientOf) -> None:
    client = client_of("admin")
    client.handler.enforce_csrf_checks = True
    assert send(client, (FILE, markdown())).status_code == 403
    assert queries.page(filters=queries.Filters()).rows == ()


def test_two_are_compared_by_two_selects(client_of: ClientOf) -> None:
    other = f"run-{BEGUN_MS + 60_000}"
    have()
    have(deployment_id=other, tests=results(failing=[MCP]))
    client = client_of("viewer")
    page = shown(client, f"{PAGE}compare/?before={ID}&after={other}")
    assert "2 differences" in words(page)
    assert f"test {MCP} pass, unproven fail, unproven" in words(page)
    assert page.count("<select") == 2 and page.count(" selected>") == 2
    bad = words(page[page.index('id="bad"') :])
    assert f"{MCP} 1 of 2" in bad and "never failed" in bad
    assert "There is no deployment" in shown(
        client, f"{PAGE}compare/?before={ID}&after=gone", status=404
    )


def test_comparing_before_there_is_anything(client_of: ClientOf) -> None:
    assert "nothing to compare yet" in shown(client_of("viewer"), f"{PAGE}compare/")


def test_a_comparison_shows_no_environment_without_a_role(client_of: ClientOf) -> None:
    have(environment=STG)
    client = client_of("viewer", only=DEV)
    assert "staging" not in shown(client, f"{PAGE}compare/")
    shown(client, f"{PAGE}compare/?before={ID}&after={ID}", status=404)


def test_the_page_is_in_the_rail(client_of: ClientOf) -> None:
    rail = shown(client_of("viewer"))
    assert f'<a href="{PAGE}" data-key="d" aria-current="page">' in rail


def test_a_document_that_says_nothing_wrong_says_so(client_of: ClientOf) -> None:
    have(**{"process": clean().process})
    page = words(shown(client_of("viewer"), f"{PAGE}{ID}/"))
    assert "Nothing about this record contradicts itself." in page
    assert "took not known" in page
