"""The Flags page searched and as of a past moment; the page of one flag with its history."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from dashboard.cards import pasts
from routing import wiring
from routing.audit.models import Entry
from routing.changes import change
from routing.core.flags import FlagName, SetFlag
from routing.core.values import EnvironmentName
from routing.flags import queries
from tests.integration.dashboard.conftest import SHELL, ClientOf

DEV, STG, PROD = EnvironmentName
CACHING = FlagName.CACHING


def switch(on: bool, environment: EnvironmentName = DEV, why: str = "kept for later") -> datetime:
    """Switch caching and return when that was booked."""
    state = queries.flag_row(CACHING, [environment]).cells[environment].state
    done = change.apply(
        by=SHELL,
        now=wiring.now(),
        environment=environment,
        sets=[SetFlag(flag=CACHING, on=on, base_version=state.version)],
        reason=why,
        confirmed=True,
        health=wiring.path_health(environment),
    )
    return Entry.objects.get(stream="control", seq=done.entry_seq).at


def cell(page: str, flag: FlagName, environment: EnvironmentName) -> str:
    found = re.search(
        rf'<td[^>]* data-flag="{re.escape(flag)}" data-is="{environment}">(.*?)</td>', page, re.S
    )
    assert found, f"{flag} has no cell for {environment}"
    return re.sub(r"<[^>]+>", " ", found[1])


def test_the_past_stands_beside_what_differs_now(client_of: ClientOf) -> None:
    client = client_of("viewer")
    at = switch(False)
    before = pasts.moment(at - timedelta(milliseconds=1))
    page = client.get(f"/e/development/flags/?at={before}").content.decode()
    assert "1 of 21 states were not as they are now" in page
    assert cell(page, CACHING, DEV).split()[0] == "on"
    assert "now off" in cell(page, CACHING, DEV)
    assert "now" not in cell(page, CACHING, STG)
    assert "/set/" not in page
    after = pasts.moment(at + timedelta(milliseconds=1))
    page = client.get(f"/e/development/flags/?at={after}").content.decode()
    assert "All 21 states were as they are now" in page
    assert cell(page, CACHING, DEV).split()[0] == "off"


def test_the_past_shows_only_where_one_has_a_role(client_of: ClientOf) -> None:
    page = client_of("viewer", only=STG).get("/e/staging/flags/?at=2000-01-01T00:00")
    text = page.content.decode()
    assert "No flags were laid yet" in text
    assert text.count("not laid yet") == len(FlagName)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("2999-01-01T00:00", "That is still to come."),
        ("yesterday", "Enter a valid date/time."),
    ],
)
def test_a_moment_that_is_none_is_said_beside_the_field(
    client_of: ClientOf, asked: str, words: str
) -> None:
    answer = client_of("viewer").get("/e/development/flags/", {"at": asked})
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert 'id="flags-grid"' in answer.content.decode()


@pytest.mark.parametrize(
    ("asked", "rows"),
    [("cache", [6]), ("ENABLE_", [1, 2, 3, 4]), ("owner health", [7]), ("CACHE nowhere", [])],
)
def test_a_search_leaves_the_rows_that_say_it(
    client_of: ClientOf, asked: str, rows: list[int]
) -> None:
    page = client_of("viewer").get("/e/development/flags/", {"q": asked}).content.decode()
    found = re.search(r'<div id="found" class="stack found([^"]*)">', page)
    assert found and found[1].split() == [f"f-{row}" for row in rows]
    assert f"{len(rows)} of 7 flags" in page
    assert (
        'class="found'
        not in client_of("viewer", only=DEV).get("/e/development/flags/").content.decode()
    )


def test_a_history_has_its_differences_inline(client_of: ClientOf) -> None:
    switch(False, why="serves answers of yesterday")
    switch(False, STG, why="the same in staging")
    page = client_of("operator").get(f"/e/development/flags/{CACHING}/").content.decode()
    lines = re.findall(r'<tr data-entry="\d+">(.*?)</tr>', page, re.S)
    told = [" ".join(re.sub(r"<[^>]+>", " ", line).split()) for line in lines]
    assert len(told) == 5
    assert "staging on → to off version 2" in told[0]
    assert "the same in staging" in told[0]
    assert "development on → to off version 2" in told[1]
    assert "serves answers of yesterday" in told[1]
    assert all("laid" in line for line in told[2:])
    only = client_of("viewer").get(f"/e/development/flags/{CACHING}/?in=staging")
    assert only.content.decode().count("<tr data-entry=") == 2


def test_who_may_not_read_the_trail_learns_no_reason(client_of: ClientOf) -> None:
    switch(False, why="serves answers of yesterday")
    page = client_of("viewer").get(f"/e/development/flags/{CACHING}/").content.decode()
    assert "serves answers of yesterday" not in page
    assert "told to who may read the trail there" in page
    assert "/audit/" not in page


def test_a_history_tells_nothing_of_places_where_one_has_no_role(client_of: ClientOf) -> None:
    switch(False, STG, why="the same in staging")
    client = client_of("operator", only=DEV)
    page = client.get(f"/e/development/flags/{CACHING}/").content.decode()
    assert "staging" not in page.replace("declared on in</dt><dd>development, staging", "")
    answer = client.get(f"/e/development/flags/{CACHING}/?in=staging")
    assert answer.status_code == 400
    assert "the same in staging" not in answer.content.decode()


def test_the_page_of_a_flag_tells_its_facts(client_of: ClientOf) -> None:
    page = client_of("operator").get(f"/e/production/flags/{CACHING}/").content.decode()
    text = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert f"{CACHING} is on in production" in text
    assert "owner routing" in text
    assert "expires never: a lever for good" in text
    assert "asked for in production not yet" in text
    assert f"/e/production/flags/{CACHING}/set/?to=off" in page


def test_what_nobody_asks_for_is_called_left_over(laid: None) -> None:
    later = wiring.now() + timedelta(days=31)
    grid = queries.grid([DEV])
    from dashboard import cards
    from routing.deployments import desired

    told = cards.flags_grid(grid, DEV, names={}, now=later, desired=desired.of(DEV))
    assert {card.leftover[:15] for card in told.rows} == {"never asked for"}
    asked = dict.fromkeys(FlagName, later)
    told = cards.flags_grid(grid, DEV, names={}, now=later, desired=desired.of(DEV), asked=asked)
    assert not any(card.leftover for card in told.rows)
