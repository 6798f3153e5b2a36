"""Changes with a time, several at once, undone, and under break-glass, as pages show them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from dashboard import told
from dashboard.look import Look
from routing import wiring
from routing.access import people
from routing.changes import due, glass
from routing.core.errors import RuleBroken
from routing.core.rights import Actor
from routing.core.values import ActorKind, EnvironmentName, Health, Path, Role
from routing.flags import queries as flags
from routing.glass import queries as broken
from routing.schedule import queries
from tests.integration.dashboard.conftest import SHELL, ClientOf

DEV, STG, PROD = EnvironmentName
CACHING, MONITORING = "ai.caching.enabled", "ai.monitoring.enabled"
SUPPORT = "ENABLE_BEDROCK_SUPPORT_MODE"
UNKNOWN = dict.fromkeys(Path, Health.UNKNOWN)


def is_on(flag: str, environment: EnvironmentName) -> bool:
    (row,) = [r for r in flags.grid([environment]).rows if r.name == flag]
    return row.cells[environment].state.on


def switch(client: Client, flag: str, to: str, place: str = "staging", **more: str) -> Any:
    said = {"to": to, "base_version": "1", "reason": "a window for repairs"} | more
    return client.post(f"/e/{place}/flags/{flag}/set/", said, follow=True)


def text(answer: Any) -> str:
    """Return what a person reads, spaces made plain."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", answer.content.decode()))


def test_the_review_says_so_where_no_decision_is_stored(client_of: ClientOf) -> None:
    page = text(client_of("operator").get(f"/e/staging/flags/{CACHING}/set/?to=off"))
    assert "No decision is stored yet, so nothing can be said of the effect." in page


def test_a_change_for_later_changes_nothing_yet_and_is_listed(client_of: ClientOf) -> None:
    client = client_of("operator")
    at = wiring.now() + timedelta(days=2)
    page = text(switch(client, CACHING, "off", at=f"{at:%Y-%m-%dT%H:%M}", zone="Europe/Berlin"))
    assert "Nothing is changed yet. Planned for" in page
    assert is_on(CACHING, STG)
    (row,) = queries.waiting(STG)
    assert (row.zone, row.asked_by != "") == ("Europe/Berlin", True)
    listed = text(client.get("/e/staging/schedule/"))
    assert "1 change waits in staging" in listed and f"{CACHING} off" in listed
    assert "Europe/Berlin" in listed
    answer = client.post(
        f"/e/staging/schedule/{row.id}/cancel/", {"reason": "not needed any more"}, follow=True
    )
    assert f"Planned change {row.id} will not be made." in text(answer)
    assert queries.waiting(STG) == ()


def test_an_end_is_cancelled_and_its_change_stays(client_of: ClientOf) -> None:
    client = client_of("operator")
    switch(client, CACHING, "off", ends_after="60")
    (row,) = queries.waiting(STG)
    listed = text(client.get("/e/staging/schedule/"))
    assert "Cancel this end" in listed and "keep the change without an end" in listed
    place = f"/e/staging/schedule/{row.id}/cancel/"
    assert client.post(place, {"reason": ""}).status_code == 400
    answer = client.post(place, {"reason": "it is better without"}, follow=True)
    assert f"End {row.id} is cancelled" in text(answer)
    assert queries.waiting(STG) == () and not is_on(CACHING, STG)


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2027-03-28T02:30", "Choose 2027-03-28 01:59 (00:59 UTC) or 2027-03-28 03:00"),
        ("2027-10-31T02:30", "comes twice in Europe/Berlin"),
        ("2001-01-01T00:00", "within 90 days"),
        ("at noon", "no date and time to the minute"),
    ],
)
def test_a_time_that_will_not_do_is_refused_and_what_was_typed_stays(
    client_of: ClientOf, at: str, words: str
) -> None:
    answer = switch(client_of("operator"), CACHING, "off", at=at, zone="Europe/Berlin")
    assert answer.status_code == 400
    assert words in text(answer)
    assert f'value="{at}"' in answer.content.decode()
    assert 'value="Europe/Berlin"' in answer.content.decode()
    assert queries.waiting(STG) == ()


def test_a_change_for_a_while_shows_when_it_goes_back(client_of: ClientOf) -> None:
    client = client_of("operator")
    page = text(switch(client, CACHING, "off", ends_after="60"))
    assert "It goes back by itself at" in page
    assert "goes back by itself, 60 min left" in page or "goes back by itself, 1 h 0 min" in page
    end = queries.waiting(STG)[0].due_at
    due.run((STG,), end, lambda _: UNKNOWN)
    assert is_on(CACHING, STG)


def test_production_offers_only_ends_within_an_hour_for_monitoring(client_of: ClientOf) -> None:
    client = client_of("admin")
    page = client.get(f"/e/production/flags/{MONITORING}/set/?to=off").content.decode()
    offered = re.findall(
        r'<option value="(\d*)"', page.split('id="ends-after"')[1].split("</s")[0]
    )
    assert offered == ["15", "30", "60"]
    said = {"typed_environment": "production", "confirmed": "true"}
    answer = switch(client, MONITORING, "off", "production", **said)
    assert answer.status_code == 422 and is_on(MONITORING, PROD)
    assert switch(client, MONITORING, "off", "production", ends_after="60", **said)
    assert not is_on(MONITORING, PROD)


def test_what_did_not_come_is_an_open_item_until_it_is_seen(client_of: ClientOf) -> None:
    client = client_of("operator")
    at = wiring.now() + timedelta(hours=1)
    switch(client, CACHING, "off", at=f"{at:%Y-%m-%dT%H:%M}", zone="UTC")
    (row,) = queries.waiting(STG)
    late = row.due_at + timedelta(minutes=16)
    due.run((STG,), late, lambda _: UNKNOWN)
    items = [item.text for item in told.open_items(Look(STG, late))]
    assert items[0].startswith("The change planned for") and "(missed)" in items[0]
    page = client.get("/e/staging/schedule/")
    assert "1 planned change did not come in staging" in text(page)
    client.post(f"/e/staging/schedule/{row.id}/see/")
    assert not [i for i in told.open_items(Look(STG, late)) if "(missed)" in i.text]


def test_several_flags_are_chosen_reviewed_and_changed_at_once(client_of: ClientOf) -> None:
    client = client_of("operator")
    assert "All of them or none" in text(client.get("/e/staging/flags/set/"))
    chosen = f"to-{CACHING}=off&to-{SUPPORT}=on"
    review = client.get(f"/e/staging/flags/set/?{chosen}").content.decode()
    said = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', review))
    said.pop("csrfmiddlewaretoken", None)
    assert said == {
        f"to-{CACHING}": "off",
        f"base-{CACHING}": "1",
        f"to-{SUPPORT}": "on",
        f"base-{SUPPORT}": "1",
    }
    switch(client, SUPPORT, "on")
    stale = client.post("/e/staging/flags/set/", said | {"reason": "a window"})
    assert stale.status_code == 409 and is_on(CACHING, STG)
    assert "Somebody was faster" in text(stale)
    said[f"to-{SUPPORT}"], said[f"base-{SUPPORT}"] = "off", "2"
    answer = client.post("/e/staging/flags/set/", said | {"reason": "a window"}, follow=True)
    assert f"{SUPPORT} is off, {CACHING} is off in staging." in text(answer)


def test_a_set_in_which_nothing_changes_is_not_reviewed(client_of: ClientOf) -> None:
    page = text(client_of("operator").get(f"/e/staging/flags/set/?to-{CACHING}=on"))
    assert "no flag was chosen that is not so already" in page


def test_a_change_is_undone_without_script_while_it_is_offered(client_of: ClientOf) -> None:
    client, admin = client_of("operator"), client_of("admin")
    page = switch(client, CACHING, "off")
    (address,) = re.findall(r'action="(/e/staging/flags/undo/\d+/)"', page.content.decode())
    assert admin.get("/e/staging/flags/").content.decode().count("/undo/") == 0
    answer = client.post(address, follow=True)
    assert f"Undone: {CACHING} is on again in staging." in text(answer)
    assert is_on(CACHING, STG)


def test_nothing_is_offered_to_undo_in_production(client_of: ClientOf) -> None:
    page = switch(
        client_of("operator"), CACHING, "off", "production", typed_environment="production"
    )
    assert not is_on(CACHING, PROD)
    assert "/undo/" not in page.content.decode()


def test_broken_glass_stands_on_every_page_of_its_environment_alone(client_of: ClientOf) -> None:
    client = client_of("admin")
    said = {"minutes": "30", "reason": "mcp is down, nobody answers"}
    client.post("/e/staging/break-glass/begin/", said)
    for page in ("", "flags/", "routing/", "breakers/", "deployments/", "rollback/", "audit/"):
        answer = client.get(f"/e/staging/{page}")
        assert "The glass is broken in staging" in text(answer), page
    assert "The glass is broken" not in text(client.get("/e/production/flags/"))
    items = [item.text for item in told.open_items(Look(STG, wiring.now()))]
    assert items[0].startswith("The glass is broken until")


def test_its_review_is_closed_by_another_person_with_words(client_of: ClientOf) -> None:
    client = client_of("admin")
    said = {"minutes": "30", "reason": "mcp is down, nobody answers"}
    client.post("/e/staging/break-glass/begin/", said)
    (row,) = broken.unreviewed(STG)
    client.post(f"/e/staging/break-glass/{row.id}/end/")
    page = text(client.get("/e/staging/break-glass/"))
    assert "You broke it; another reviewer or admin" in page
    own = client.post(f"/e/staging/break-glass/{row.id}/review/", {"words": "all was well"})
    assert own.status_code == 403
    items = [item.text for item in told.open_items(Look(STG, wiring.now()))]
    assert "waits for its review" in items[0]
    breaker = Actor(kind=ActorKind.USER, id=row.broken_by, name="admin", grants={STG: Role.ADMIN})
    made = people.create_user(
        reason="for a test",
        by=breaker,
        now=wiring.now(),
        username="puppet",
        grants={STG: Role.REVIEWER},
    )
    puppet = Actor(
        kind=ActorKind.USER, id=made.pseudonym, name="puppet", grants={STG: Role.REVIEWER}
    )
    with pytest.raises(RuleBroken, match="count as one pair of eyes"):
        glass.review(by=puppet, now=wiring.now(), environment=STG, id=row.id, words="all was well")
    answer = client_of("reviewer").post(
        f"/e/staging/break-glass/{row.id}/review/", {"words": "all was well"}, follow=True
    )
    assert f"The review of break-glass {row.id} is closed." in text(answer)
    assert broken.unreviewed(STG) == ()


def test_the_glass_a_shell_broke_shows_who_and_until_when(client_of: ClientOf) -> None:
    now = wiring.now()
    glass.begin(by=SHELL, now=now, environment=STG, minutes=5, reason="pages are away")
    page = text(client_of("viewer").get("/e/staging/break-glass/"))
    assert "shell:tests@here: “pages are away”" in page
    assert "min left" in page
