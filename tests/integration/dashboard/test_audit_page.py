from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from routing import wiring
from routing.audit import queries
from routing.changes import change
from routing.core.flags import FlagName, SetFlag
from routing.core.values import Action, EnvironmentName
from tests.integration.dashboard.conftest import SHELL, ClientOf

DEV, STG, PROD = EnvironmentName


def switch(times: int = 1, reason: str = "<script>alert(1)</script> & more") -> int:
    """Switch one development flag to and fro; return the last entry's number."""
    from routing.flags import queries as flags

    seq = 0
    for _ in range(times):
        state = flags.flag_row(FlagName.CACHING, [DEV]).cells[DEV].state
        seq = change.apply(
            by=SHELL,
            now=wiring.now(),
            environment=DEV,
            sets=[SetFlag(flag=FlagName.CACHING, on=not state.on, base_version=state.version)],
            reason=reason,
            health=wiring.path_health(DEV),
        ).entry_seq
    return seq


def entries(page: str) -> list[int]:
    return [int(n) for n in re.findall(r'audit/(\d+)/">#', page)]


def test_lists_changes_in_words_newest_first(client_of: ClientOf) -> None:
    seq = switch()
    page = client_of("reviewer").get("/e/development/audit/").content.decode()
    assert seq in entries(page)
    assert entries(page) == sorted(entries(page), reverse=True)
    assert "ai.caching.enabled" in page
    assert "<b>off</b>" in page


def test_text_of_people_stays_text(client_of: ClientOf) -> None:
    seq = switch()
    client = client_of("reviewer")
    for path in ("/e/development/audit/", f"/e/development/audit/{seq}/"):
        page = client.get(path).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page


def test_shows_people_by_name_and_what_is_booked_beside_it(client_of: ClientOf) -> None:
    client = client_of("operator")
    client.post("/e/development/flags/ai.caching.enabled/set/", {"to": "off", "base_version": "1"})
    row = queries.page(filters=queries.Filters(action=Action.FLAG_CHANGE)).rows[0]
    page = client_of("reviewer").get("/e/development/audit/").content.decode()
    assert f'<span title="{row.actor}" class="tight">operator-all</span>' in page


def test_a_filter_by_name_finds_the_person(client_of: ClientOf) -> None:
    operator = client_of("operator")
    switch()
    operator.post(
        "/e/development/flags/ai.caching.enabled/set/", {"to": "on", "base_version": "2"}
    )
    client = client_of("reviewer")
    mine = client.get("/e/development/audit/?actor=operator-all").content.decode()
    assert len(entries(mine)) == 1
    shells = client.get(f"/e/development/audit/?actor={quote(SHELL.id)}").content.decode()
    assert set(entries(shells)).isdisjoint(entries(mine))
    assert entries(shells)


def test_shows_only_this_environment_or_none(client_of: ClientOf) -> None:
    client = client_of("reviewer")
    here = client.get("/e/production/audit/").content.decode()
    nowhere = client.get("/e/production/audit/?where=nowhere").content.decode()
    for seq in entries(here):
        assert queries.entry(stream="control", seq=seq).environment == "production"
    for seq in entries(nowhere):
        assert queries.entry(stream="control", seq=seq).environment == ""
    assert entries(here) and entries(nowhere)
    assert "signed in" in nowhere


def test_an_entry_of_another_environment_is_not_here(client_of: ClientOf) -> None:
    seq = switch()
    client = client_of("reviewer")
    assert client.get(f"/e/development/audit/{seq}/").status_code == 200
    assert client.get(f"/e/production/audit/{seq}/").status_code == 404


@pytest.mark.parametrize("seq", ["99999999", "0", "9" * 18, "9" * 40])
def test_an_entry_that_is_not_there_is_a_404(client_of: ClientOf, seq: str) -> None:
    assert client_of("reviewer").get(f"/e/development/audit/{seq}/").status_code == 404


def test_an_entry_shows_its_place_in_the_chain(client_of: ClientOf) -> None:
    seq = switch()
    row = queries.entry(stream="control", seq=seq)
    page = client_of("reviewer").get(f"/e/development/audit/{seq}/").content.decode()
    assert row.hash in page
    assert row.prev in page
    assert f"chained to #{seq - 1}" in page


def test_pages_follow_one_another_without_gap_or_overlap(client_of: ClientOf) -> None:
    switch(60)
    client = client_of("reviewer")
    seen: list[int] = []
    path = "/e/development/audit/?action=flag.change"
    while path:
        page = client.get(path).content.decode()
        seen += entries(page)
        older = re.search(r'href="(\?[^"]*before=\d+)"', page)
        path = "/e/development/audit/" + older[1].replace("&amp;", "&") if older else ""
    assert len(seen) == len(set(seen)) == 60
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    "query", ["?action=flag.eat", "?since=yesterday", "?before=x", "?before=0", "?outcome=maybe"]
)
def test_a_filter_that_makes_no_sense_is_told(client_of: ClientOf, query: str) -> None:
    answer = client_of("reviewer").get("/e/development/audit/" + query)
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "Nothing is listed while a filter is wrong." in page
    assert not entries(page)


def test_a_time_span_is_read_as_utc(client_of: ClientOf) -> None:
    seq = switch()
    at = queries.entry(stream="control", seq=seq).at
    client = client_of("reviewer")
    since = f"?since={at:%Y-%m-%dT%H:%M}"
    assert seq in entries(client.get("/e/development/audit/" + since).content.decode())
    until = f"?until={at:%Y-%m-%dT%H:%M}"
    assert seq not in entries(client.get("/e/development/audit/" + until).content.decode())


def test_verifying_says_that_the_chain_holds(client_of: ClientOf) -> None:
    client = client_of("reviewer")
    page = client.post("/e/development/audit/verify/").content.decode()
    assert "The chain holds." in page
    part = client.post("/e/development/audit/verify/", headers={"HX-Request": "true"})
    assert part.content.decode().lstrip().startswith('<div id="verified"')


@pytest.mark.django_db(transaction=True)
def test_verifying_names_the_first_entry_that_was_altered(client_of: ClientOf) -> None:
    from routing.audit import guards

    seq = switch()
    client = client_of("reviewer")
    guards.lift(connection)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE routing_entry SET actor = 'nobody' WHERE seq = %s", [seq])
    guards.install(connection)
    page = client.post("/e/development/audit/verify/").content.decode()
    assert f"cannot be trusted from entry #{seq} on" in page
    assert "The chain holds" not in page


def test_many_entries_cost_no_more_queries_than_few(
    client_of: ClientOf, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = client_of("reviewer")
    for times in (1, 40):
        switch(times)
        with django_assert_max_num_queries(7):
            client.get("/e/development/audit/")
