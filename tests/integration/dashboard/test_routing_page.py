"""The Routing page and the draft's: what they say, and what their forms do without script."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from routing import wiring
from routing.changes import override
from routing.changes.override import SetOverride
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Health, Operation, Path
from routing.matrix import overrides, queries, store
from tests.integration.dashboard.conftest import ClientOf

pytestmark = pytest.mark.django_db(transaction=True)
DEV, STG, PROD = EnvironmentName
PAGE, DRAFT = "/e/development/routing/", "/e/development/routing/draft/"
HTMX = {"HX-Request": "true"}
WHY = "mcp answers slowly"
DIRECT = Path.DIRECT_BEDROCK


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests left in memory, and what these leave, outlives no test."""
    monkeypatch.setattr(queries, "_current", queries.Snapshot())


def shown(client: Client, path: str = PAGE) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def plain(page: str) -> str:
    """Return the words of a page, spaces once."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def put(shell: Actor, environment: EnvironmentName = DEV, minutes: float = 60) -> int:
    now = wiring.now()
    wish = SetOverride(
        operation=Operation.STANDARD, path=DIRECT, ends_at=now + timedelta(minutes=minutes)
    )
    done = override.apply(
        by=shell,
        now=now,
        environment=environment,
        wish=wish,
        reason=WHY,
        health=dict.fromkeys(Path, Health.HEALTHY),
        typed_environment=str(environment),
    )
    return done.row.id


def form(**said: Any) -> dict[str, Any]:
    usual = {"do": "set", "operation": "standard", "path": "mcp", "minutes": "60", "reason": WHY}
    return usual | said


def revision(page: str) -> str:
    found = re.search(r'name="revision" value="(\d+)"', page)
    assert found
    return found[1]


def edited(page: str, **changes: str) -> dict[str, str]:
    """Return the editor's fields as a browser would send them, with `changes` of standard."""
    fields = dict(re.findall(r'<input (?:type="hidden" )?name="([\w-]+)" value="([^"]*)"', page))
    for name, options in re.findall(r'<select name="([\w-]+-\d+)".*?>(.*?)</select>', page):
        chosen = re.search(r'value="([^"]*)" selected', options)
        fields[name] = chosen[1] if chosen else ""
    (number,) = [
        n.split("-")[1] for n, v in fields.items() if (n[:9], v) == ("operation", "standard")
    ]
    return fields | {f"{name}-{number}": value for name, value in changes.items()}


def test_says_what_requests_follow_and_each_row_with_its_rule(client_of: ClientOf) -> None:
    words = plain(shown(client_of("viewer")))
    assert "development follows version 1 of its matrix" in words
    assert "None holds: every operation follows the matrix." in words
    assert "No draft of the next version is under way." in words
    assert "You may look; changing needs the role operator or admin here." in words
    assert "emergency direct_bedrock none" in words
    assert "what the product begins with" in words


def test_a_viewer_gets_no_lever(client_of: ClientOf, shell: Actor) -> None:
    put(shell)
    page = shown(client_of("viewer"))
    assert "End it now" not in page and "Override in" not in page
    assert "Begin a draft" not in shown(client_of("reviewer"), DRAFT)


def test_an_override_is_set_by_a_plain_form_and_ended_by_another(client_of: ClientOf) -> None:
    client = client_of("operator")
    answer = client.post(f"{PAGE}overrides/set/", form(path="direct_bedrock"))
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    page = shown(client)
    assert "standard is overridden to direct_bedrock until" in page
    assert "60 min left" in page or "1 h 0 min left" in page
    (held,) = overrides.open_ones(DEV)
    answer = client.post(f"{PAGE}overrides/{held.id}/end/", {"reason": "quick again"})
    assert answer.status_code == 302
    words = plain(shown(client))
    assert "The override of standard has ended in development" in words
    assert "ended by operator-all: quick again" in words
    assert not overrides.open_ones(DEV)


def test_the_slower_of_two_is_told_who_was_faster(client_of: ClientOf) -> None:
    first, second = client_of("admin"), client_of("operator")
    first.post(f"{PAGE}overrides/set/", form())
    answer = second.post(f"{PAGE}overrides/set/", form(path="direct_bedrock"), headers=HTMX)
    assert answer.status_code == 409
    assert "is overridden to mcp already" in answer.content.decode()


def test_an_override_onto_a_path_that_is_off_lists_what_stops_and_asks(
    client_of: ClientOf,
) -> None:
    client = client_of("admin")
    flag = "/e/development/flags/ENABLE_MCP_INTEGRATION/set/"
    assert client.post(flag, {"to": "off", "base_version": "1", "confirmed": "true"})
    said = form(operation="emergency")
    answer = client.post(f"{PAGE}overrides/set/", said)
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "emergency loses its only path" in page and "I know what stops" in page
    assert not overrides.open_ones(DEV)
    assert client.post(f"{PAGE}overrides/set/", said | {"confirmed": "true"}).status_code == 302


def test_htmx_gets_the_overrides_the_sentence_and_the_words_alone(client_of: ClientOf) -> None:
    said = form(path="direct_bedrock")
    answer = client_of("operator").post(f"{PAGE}overrides/set/", said, headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 200 and "<html" not in page
    assert page.count('id="overrides"') == page.count('hx-swap-oob="innerHTML:#notice"') == 1
    assert 'id="routing-head" hx-swap-oob="true"' in page
    assert "standard is overridden to direct_bedrock until" in page
    assert "HX-Request" in answer["Vary"]


def test_the_effect_is_shown_without_a_change(client_of: ClientOf) -> None:
    client = client_of("operator")
    answer = client.post(f"{PAGE}overrides/set/", form(do="look", reason=""), headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 200 and "<html" not in page
    assert "No decision is stored yet, so nothing can be said of the effect." in page
    assert not overrides.open_ones(DEV)


@pytest.mark.parametrize(
    "said", [{"minutes": "241"}, {"operation": "none"}, {"path": "direct"}, {"do": "burn"}]
)
def test_a_field_that_no_form_of_ours_sends_is_refused(
    client_of: ClientOf, said: dict[str, str]
) -> None:
    answer = client_of("operator").post(f"{PAGE}overrides/set/", form(**said))
    assert answer.status_code == 400
    assert not overrides.open_ones(DEV)


def test_production_wants_its_name_typed(client_of: ClientOf) -> None:
    client = client_of("admin")
    path = "/e/production/routing/overrides/set/"
    answer = client.post(path, form(path="direct_bedrock"), headers=HTMX)
    assert answer.status_code == 422  # htmx takes no content from a 400
    page = answer.content.decode()
    assert "Type the environment" in page and f'value="{WHY}"' in page
    said = form(path="direct_bedrock", typed_environment="production")
    assert client.post(path, said).status_code == 302


def test_what_people_typed_is_shown_as_text(client_of: ClientOf) -> None:
    client = client_of("operator")
    client.post(f"{PAGE}overrides/set/", form(reason="<script>alert(1)</script>"))
    page = shown(client)
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_explaining_needs_a_server_and_keeps_what_was_asked(client_of: ClientOf) -> None:
    client = client_of("viewer")
    said = {"operation": "emergency", "priority": "low", "subject": "acme/ada", "prompt": "Help"}
    answer = client.post(f"{PAGE}explain/", said)
    page = answer.content.decode()
    assert answer.status_code == 503
    assert "This process routes nothing" in page
    assert 'value="acme/ada"' in page and ">Help</textarea>" in page


def test_a_draft_is_begun_edited_previewed_and_published_by_plain_forms(
    client_of: ClientOf,
) -> None:
    client = client_of("operator")
    assert "development has no draft of its matrix" in shown(client, DRAFT)
    assert client.post(f"{DRAFT}begin/", {"reason": WHY}).status_code == 302
    page = shown(client, DRAFT)
    assert "None yet: edit a row below and save." in page
    assert client.post(f"{DRAFT}save/", edited(page, split="20")).status_code == 302
    page = shown(client, DRAFT)
    assert "standard: share sent to the other path none → 20 % to direct_bedrock." in page
    assert "A draft of the next version waits, begun by operator-all." in plain(shown(client))
    said = {"revision": revision(page), "base_version": "1", "reason": WHY}
    answer = client.post(f"{DRAFT}publish/", said)
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    words = plain(shown(client))
    assert "development follows version 2 of its matrix." in words
    assert "20 % begin on direct_bedrock" in words
    assert f"in force operator-all {WHY}" in words


def test_problems_are_listed_at_once_and_keep_the_draft_from_being_published(
    client_of: ClientOf,
) -> None:
    client = client_of("operator")
    client.post(f"{DRAFT}begin/")
    page = shown(client, DRAFT)
    client.post(f"{DRAFT}save/", edited(page, split="101", budget_ms="0"))
    words = plain(shown(client, DRAFT))
    assert "The row of standard has no time: set a budget of at least 1 ms." in words
    assert "The row of standard sends 101 % to the other path; give 0 to 100." in words
    assert "Mend what is listed first." in words
    said = {"revision": revision(shown(client, DRAFT)), "base_version": "1", "reason": WHY}
    assert client.post(f"{DRAFT}publish/", said).status_code == 400
    assert store.read(DEV).version == 1


def test_what_is_no_number_is_shown_again_beside_what_is_wrong(client_of: ClientOf) -> None:
    client = client_of("operator")
    client.post(f"{DRAFT}begin/")
    said = edited(shown(client, DRAFT), split="ten", budget_ms="9" * 40)
    answer = client.post(f"{DRAFT}save/", said, headers=HTMX)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert "has the split &#x27;ten&#x27;; give a whole number." in page
    assert 'value="ten"' in page and f'value="{"9" * 40}"' in page
    kept = queries.draft(DEV)
    assert kept is not None and kept.revision == 1


def test_a_narrowed_row_is_added_and_dropped(client_of: ClientOf) -> None:
    client = client_of("operator")
    client.post(f"{DRAFT}begin/")
    more = {"add-operation": "standard", "add-priority": "low"}
    client.post(f"{DRAFT}save/", edited(shown(client, DRAFT)) | more)
    page = shown(client, DRAFT)
    assert "standard at low: a row of its own" in page
    (number,) = re.findall(r'name="drop-(\d+)"', page)
    client.post(f"{DRAFT}save/", edited_narrowed(page) | {f"drop-{number}": "true"})
    kept = queries.draft(DEV)
    assert kept is not None and not kept.matrix.narrowed


def edited_narrowed(page: str) -> dict[str, str]:
    fields = dict(re.findall(r'<input (?:type="hidden" )?name="([\w-]+)" value="([^"]*)"', page))
    for name, options in re.findall(r'<select name="([\w-]+-\d+)".*?>(.*?)</select>', page):
        chosen = re.search(r'value="([^"]*)" selected', options)
        fields[name] = chosen[1] if chosen else ""
    return fields


def test_an_edit_of_an_older_revision_changes_nothing_and_says_so(client_of: ClientOf) -> None:
    first, second = client_of("admin"), client_of("operator")
    first.post(f"{DRAFT}begin/")
    page = shown(second, DRAFT)
    first.post(f"{DRAFT}save/", edited(page, split="5"))
    answer = second.post(f"{DRAFT}save/", edited(page, split="90"))
    assert answer.status_code == 409
    assert "Nothing of yours was changed" in answer.content.decode()


def test_what_would_stop_is_listed_before_publishing(client_of: ClientOf) -> None:
    client = client_of("admin")
    flag = "/e/development/flags/ENABLE_MCP_INTEGRATION/set/"
    client.post(flag, {"to": "off", "base_version": "1", "confirmed": "true"})
    client.post(f"{DRAFT}begin/", {"reason": WHY})
    page = shown(client, DRAFT)
    fields = edited(page)
    (number,) = [
        n.split("-")[1] for n, v in fields.items() if (n[:9], v) == ("operation", "emergency")
    ]
    client.post(f"{DRAFT}save/", fields | {f"primary-{number}": "mcp"})
    page = shown(client, DRAFT)
    assert "emergency loses its only path" in page and "I know what stops" in page
    said = {"revision": revision(page), "base_version": "1", "reason": WHY}
    assert client.post(f"{DRAFT}publish/", said).status_code == 409
    assert client.post(f"{DRAFT}publish/", said | {"confirmed": "true"}).status_code == 302


def test_an_old_version_is_offered_as_a_draft(client_of: ClientOf) -> None:
    client = client_of("operator")
    client.post(f"{DRAFT}begin/")
    client.post(f"{DRAFT}save/", edited(shown(client, DRAFT), split="20"))
    said = {"revision": "2", "base_version": "1", "reason": WHY}
    client.post(f"{DRAFT}publish/", said)
    assert f"{DRAFT}?version=1" in shown(client)
    assert 'name="version" type="number" min="1" value="1"' in shown(client, f"{DRAFT}?version=1")
    client.post(f"{DRAFT}begin/", {"version": "1"})
    assert "20 % to direct_bedrock → none." in shown(client, DRAFT)


def test_the_live_part_is_the_same_included_and_fetched(client_of: ClientOf, shell: Actor) -> None:
    put(shell)
    client = client_of("viewer")
    alone = client.get("/e/development/partials/matrix_table/").content.decode()
    assert alone.strip() in shown(client)
    assert 'data-version="1.1"' in alone


def test_the_overview_says_that_an_override_holds(client_of: ClientOf, shell: Actor) -> None:
    put(shell)
    words = plain(shown(client_of("viewer"), "/e/development/"))
    assert "standard is overridden to direct_bedrock until" in words
    assert "standard runs off its intended path" not in words
