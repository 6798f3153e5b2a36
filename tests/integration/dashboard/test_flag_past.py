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
from routing.flags import queries, uses
from tests.integration.dashboard.conftest import SHELL, ClientOf
from tests.integration.flags.around import raw_delete, uncounted

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
    assert "by shell" not in page  # who may not read the trail learns of nobody
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
        ("0001-01-01T00:00+01:00", "Enter a valid date/time."),
    ],
)
def test_a_moment_that_is_none_is_said_beside_the_field(
    client_of: ClientOf, asked: str, words: str
) -> None:
    answer = client_of("viewer").get("/e/development/flags/", {"at": asked})
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert 'id="flags-grid"' in answer.content.decode()
    assert f'value="{asked}"' in answer.content.decode()


def test_an_offset_is_told_in_utc(client_of: ClientOf) -> None:
    client = client_of("viewer")
    page = client.get("/e/development/flags/", {"at": "2026-03-04T05:06:07+02:00"})
    assert "2026-03-04 03:06:07 UTC" in page.content.decode()
    assert 'value="2026-03-04T03:06:07.000"' in page.content.decode()
    odd = {"since": "0001-01-01T00:00+01:00"}
    assert client_of("operator").get("/e/development/audit/", odd).status_code == 400


def test_a_search_that_is_too_long_says_so(client_of: ClientOf) -> None:
    answer = client_of("viewer").get("/e/development/flags/", {"q": "x" * 101})
    assert answer.status_code == 400
    assert "at most 100 characters" in answer.content.decode()


def test_where_the_trail_was_altered_the_others_are_told(client_of: ClientOf) -> None:
    client = client_of("operator")
    switch(False, STG)
    seq = Entry.objects.filter(stream="control", action="flag.change").latest("seq").seq
    with uncounted():
        row = Entry.objects.get(stream="control", seq=seq)
        Entry.objects.filter(pk=row.pk).update(body=bytes(row.body) + b" ")
    now = pasts.moment(wiring.now())
    answer = client.get(f"/e/development/flags/?at={now}")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert f"Entry {seq} was altered" in page
    assert "All 14 states were as they are now; of staging nobody knows" in page
    assert "not known" in cell(page, CACHING, STG)
    assert cell(page, CACHING, PROD).split()[0] == "on"
    history = client.get(f"/e/development/flags/{CACHING}/")
    assert history.status_code == 200 and "altered" in history.content.decode()


def test_a_row_that_went_is_not_as_it_is_now(client_of: ClientOf) -> None:
    client = client_of("viewer")
    raw_delete(DEV)
    page = client.get(f"/e/staging/flags/?at={pasts.moment(wiring.now())}").content.decode()
    assert "1 of 21 states were not as they are now" in page
    assert "now without a row" in cell(page, CACHING, DEV)


def test_as_an_entry_left_them(client_of: ClientOf) -> None:
    client = client_of("operator")
    switch(False)
    seq = Entry.objects.filter(stream="control", action="flag.change").latest("seq").seq
    switch(True)
    page = client.get(f"/e/development/flags/?after={seq}").content.decode()
    assert f"as entry #{seq} left them" in page
    assert cell(page, CACHING, DEV).split()[0] == "off"
    assert client.get("/e/development/flags/?after=99999").status_code == 404
    only = client_of("operator", only=STG)
    assert only.get(f"/e/staging/flags/?after={seq}").status_code == 404
    assert f"?after={seq}" in client.get(f"/e/development/flags/{CACHING}/").content.decode()


def test_no_answer_holds_an_id_twice(client_of: ClientOf) -> None:
    asked = client_of("operator").post(
        "/e/development/flags/ai.provider.bedrock.enabled/set/",
        {"to": "off", "base_version": "1"},
        headers={"HX-Request": "true"},
    )
    assert asked.status_code == 409
    ids = re.findall(r' id="([^"]+)"', asked.content.decode())
    assert sorted(ids) == sorted(set(ids))


def test_to_look_is_not_to_ask(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uses, "_noted", {})
    client = client_of("operator")
    for place in ("", "routing/", "flags/"):
        assert client.get(f"/e/development/{place}").status_code == 200
    assert not [by for _, by in uses._noted if by == uses.DECISION]


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
    assert "shell:" not in page.partition("Every booked change")[2]


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
