"""What stands above everything else: kill files, and a database that is not seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import F
from pytest_django import DjangoAssertNumQueries

from dashboard import hub, partials
from dashboard.look import Look, Reader
from routing import wiring
from routing.core import killing
from routing.core.killing import Order
from routing.core.standing import Problem, Standing
from routing.core.values import EnvironmentName
from routing.fleet import heartbeat
from routing.fleet.models import Process
from tests.integration.dashboard.conftest import ClientOf

pytestmark = pytest.mark.django_db
DEV, STG, PROD = EnvironmentName
SEEN = Standing(source="database", stale=False, age_s=0.5)
PROBLEM = Problem(
    part="flags", environment="development", why="its checksum is wrong",
    instead="the coded defaults hold", missing=False,
)  # fmt: skip


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def give(text: str) -> None:
        said = killing.read(text)
        one = Order(environment=DEV, said=said, since=wiring.now())
        monkeypatch.setattr(wiring, "kill_order", lambda e: one if e is DEV else None)

    return give


def stand(monkeypatch: pytest.MonkeyPatch, told: Standing) -> None:
    monkeypatch.setattr(wiring, "standing", lambda: told)


def alarms(environment: EnvironmentName = DEV) -> str:
    return partials.render("alarms", Look(environment, wiring.now()))


def test_mostly_there_is_nothing_to_see(monkeypatch: pytest.MonkeyPatch) -> None:
    stand(monkeypatch, SEEN)
    assert 'role="alert"' not in alarms()
    assert " hidden>" in alarms()


def test_a_kill_file_is_the_first_thing_on_the_overview(
    client_of: ClientOf, order: Callable[[str], None]
) -> None:
    order("mcp_only")
    page = client_of("viewer").get("/e/development/").content.decode()
    said = "The kill file of development says mcp_only: every request goes to mcp, emergencies too"
    assert said in page
    assert page.index(said) < page.index('id="state-header"')
    assert said in client_of("operator").get("/e/development/flags/").content.decode()
    assert said not in client_of("admin").get("/e/staging/").content.decode()


def test_one_that_nobody_understands_says_what_it_is_taken_for(
    order: Callable[[str], None],
) -> None:
    order("<b>halt</b>")
    html = alarms()
    assert "is not understood: no request goes anywhere" in html
    assert "&lt;b&gt;halt" in html and "<b>halt" not in html


def test_an_old_state_is_said_with_its_age_and_what_was_served_instead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand(monkeypatch, replace(SEEN, stale=True, age_s=61.2, problems=(PROBLEM,)))
    assert "The database was last seen 61 s ago" in alarms()
    assert "checksum is wrong; the coded defaults hold" in alarms()
    assert "checksum" not in alarms(STG)


def test_what_was_served_instead_stays_open_for_a_day(
    monkeypatch: pytest.MonkeyPatch, laid: None
) -> None:
    ended = wiring.now() - timedelta(hours=1)
    told = replace(SEEN, problems=(PROBLEM,), began_at=ended - timedelta(hours=1), ended_at=ended)
    stand(monkeypatch, told)
    look = Look(DEV, wiring.now())
    assert "was not served from what was last known" in partials.render("open_items", look)
    stand(monkeypatch, replace(told, ended_at=ended - timedelta(hours=24)))
    assert "last known" not in partials.render("open_items", Look(DEV, wiring.now()))


def test_they_ask_the_database_nothing(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    stand(monkeypatch, replace(SEEN, stale=True, age_s=None))
    with django_assert_num_queries(0):
        assert "nothing is known of what it held last" in alarms()


async def test_open_pages_hear_of_it_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand(monkeypatch, replace(SEEN, stale=True, age_s=7.0))

    def away(_: Look) -> dict[str, Any]:
        raise OperationalError("the server closed the connection")

    grid = replace(partials.PARTIALS["flags_grid"], facts=away)
    monkeypatch.setattr(partials, "PARTIALS", {**partials.PARTIALS, "flags_grid": grid})
    keeping = asyncio.create_task(hub.keep())
    while hub.current() is None and not keeping.done():  # noqa: ASYNC110 - the hub tells nobody that it is open
        await asyncio.sleep(0)
    try:
        open_one = hub.current()
        assert open_one is not None
        done = await open_one._render(DEV, Reader.EVERYONE, ("alarms", "flags_grid"))
        assert list(done) == ["alarms"] and "7 s ago" in done["alarms"]
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def report(name: str, version: int, *, ago_s: float = 0) -> None:
    facts = heartbeat.Facts(
        name=name, pid=1, host="here", kind="server", environments=(DEV,), code_version="0"
    )
    heartbeat.start(facts, now=wiring.now(), versions={"flags:development": version})
    heard = F("heartbeat_at") - timedelta(seconds=ago_s)  # by the database's own clock
    Process.objects.filter(name=name).update(heartbeat_at=heard)


def test_the_flags_page_counts_who_runs_them_and_names_who_does_not(
    client_of: ClientOf, transactional_db: None
) -> None:
    for name in ("one", "two", "three"):
        report(name, 1)
    client = client_of("operator")
    page = client.get("/e/development/flags/").content.decode()
    assert "0 of 3 processes" not in page
    assert "3 of 3 processes at version" in page
    report("four", -1)
    report("five", -1, ago_s=60)
    part = client.get("/e/development/partials/propagation/").content.decode()
    assert "3 of 4 processes at version" in part
    assert "four (four:" in part and "still runs version -1" in part
    assert "five (five:" in part and "is gone" in part
