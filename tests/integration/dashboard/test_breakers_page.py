"""The Breakers page: what each role sees and may do, by plain forms and by htmx."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from dashboard.partials import without_ages
from routing import wiring
from routing.breakers.models import BreakerMove
from routing.changes import breaker
from routing.changes.breaker import Done, Force
from routing.core.circuit import Forced
from routing.core.values import Breaker, EnvironmentName, Path
from routing.fleet.models import Environment
from tests.integration.dashboard.conftest import SHELL, ClientOf
from tests.integration.dashboard.sockets import Socket, cookie_of, play

committing = pytest.mark.django_db(transaction=True)
DEV, STG, PROD = EnvironmentName
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
PAGE = "/e/staging/breakers/"
PART = "/e/staging/partials/breaker_board/"
HTMX = {"HX-Request": "true"}
WHY = "answers nonsense since noon"


def force(path: Path = MCP, state: Forced = Breaker.FORCED_OPEN) -> Done:
    return breaker.force(
        by=SHELL,
        now=wiring.now(),
        environment=STG,
        wish=Force(path=path, state=state, lasts=timedelta(minutes=30), base=0),
        reason=WHY,
        health=wiring.path_health(STG),
        confirmed=True,
    )


def shown(client: Client, address: str = PAGE) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return str(answer.content.decode())


def post(client: Client, verb: str, path: Path = MCP, **said: Any) -> Any:
    usual = {"base": 0, "to": "open", "minutes": "30", "reason": WHY}
    return client.post(f"{PAGE}{path}/{verb}/", usual | said)


def state(path: Path = MCP, environment: EnvironmentName = STG) -> Breaker:
    return breaker.current(environment, path, now=wiring.now()).state


def test_stands_in_the_rail_for_everyone_who_may_look(client_of: ClientOf) -> None:
    assert f'href="{PAGE}"' in shown(client_of("viewer"), "/e/staging/flags/")


def test_says_of_a_breaker_that_never_moved_just_that(client_of: ClientOf) -> None:
    page = shown(client_of("viewer"))
    assert "Both breakers of staging are closed" in page
    assert page.count("always: it never moved") == 2
    assert 'class="pill on"' in page and "pill healthy" not in page


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_who_may_only_look_gets_no_lever(client_of: ClientOf, role: str) -> None:
    client = client_of(role)
    assert "You may look" in shown(client) and "breaker-levers" not in shown(client)
    assert post(client, "force").status_code == 403
    assert state() is Breaker.CLOSED


def test_the_live_part_holds_no_form_and_tells_who_and_why_by_right(client_of: ClientOf) -> None:
    force()
    viewer, reviewer = (shown(client_of(role), PART) for role in ("viewer", "reviewer"))
    for part in (viewer, reviewer):
        assert "<form" not in part and "csrf" not in part
        assert "A person holds every call back" in part
    assert WHY in reviewer and SHELL.id in reviewer
    assert WHY not in viewer and SHELL.id not in viewer


@committing
def test_the_live_part_is_the_same_included_fetched_and_pushed(client_of: ClientOf) -> None:
    client = client_of("reviewer")
    cookie = cookie_of(client)
    force()
    page, fetched = shown(client), shown(client, PART)

    async def scene() -> None:
        socket = Socket(cookie, environment="staging", topics="breaker_board")
        assert await socket.open() is None
        pushed = await socket.part("breaker_board")
        assert without_ages(pushed).strip() == without_ages(fetched).strip()
        await socket.leave()

    play(scene)
    assert without_ages(fetched).strip() in without_ages(page)


@committing
def test_a_force_is_pushed_at_once(client_of: ClientOf) -> None:
    cookie = cookie_of(client_of("viewer"))

    async def scene() -> None:
        socket = Socket(cookie, environment="staging", topics="breaker_board")
        assert await socket.open() is None
        assert "Calls go through" in await socket.part("breaker_board")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await sync_to_async(force, thread_sensitive=False)()
        assert "A person holds every call back" in await socket.part("breaker_board")
        assert loop.time() - began < 1.5
        await socket.leave()

    play(scene)


def test_a_plain_form_forces_and_releases(client_of: ClientOf) -> None:
    client = client_of("operator")
    answer = post(client, "force")
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    page = shown(client)
    assert "is forced open. Audit entry #" in page
    base = re.search(r'name="base" value="(\d+)"', page.split('id="release-mcp"')[0][-1500:])
    assert base is not None
    answer = post(client, "release", base=base[1], reason="mended")
    assert answer.status_code == 302
    assert state() is Breaker.HALF_OPEN


def test_htmx_gets_the_levers_and_a_notice(client_of: ClientOf) -> None:
    answer = client_of("operator").post(
        f"{PAGE}mcp/force/",
        {"base": 0, "to": "closed", "minutes": "15", "reason": WHY},
        headers=HTMX,
    )
    html = answer.content.decode()
    assert answer.status_code == 200
    assert 'id="breaker-levers"' in html and 'hx-swap-oob="innerHTML:#notice"' in html
    assert "<html" not in html
    assert "Release the breaker of" in html


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_what_stops_is_listed_and_asked_for(client_of: ClientOf, headers: dict[str, str]) -> None:
    client = client_of("operator")
    said = {"base": 0, "to": "open", "minutes": "30", "reason": WHY}
    answer = client.post(f"{PAGE}{DIRECT}/force/", said, headers=headers)
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "emergency loses its only path" in html and 'name="confirmed"' in html
    assert f'value="{WHY}"' in html
    assert state(DIRECT) is Breaker.CLOSED
    answer = client.post(f"{PAGE}{DIRECT}/force/", said | {"confirmed": "true"}, headers=headers)
    assert answer.status_code in (200, 302)
    assert state(DIRECT) is Breaker.FORCED_OPEN


def test_who_was_slower_is_told_what_holds_now(client_of: ClientOf) -> None:
    client = client_of("operator")
    force()
    answer = post(client, "force", to="closed")
    assert answer.status_code == 409
    assert "Somebody was faster" in answer.content.decode()
    assert state() is Breaker.FORCED_OPEN


def test_a_refusal_keeps_what_was_typed(client_of: ClientOf) -> None:
    answer = client_of("operator").post(
        f"{PAGE}mcp/force/",
        {"base": 0, "to": "closed", "minutes": "60", "reason": "abc"},
        headers=HTMX,
    )
    html = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="abc"' in html and '<option value="60" selected>' in html


def test_words_that_no_form_of_ours_sends_change_nothing(client_of: ClientOf) -> None:
    client = client_of("operator")
    assert post(client, "force", minutes="100000").status_code == 400
    assert post(client, "force", to="ajar").status_code == 400
    assert client.post(f"{PAGE}elsewhere/force/").status_code == 404
    assert client.get(f"{PAGE}mcp/force/").status_code == 405
    assert not BreakerMove.objects.exists()


def test_production_is_typed(client_of: ClientOf) -> None:
    client = client_of("admin")
    address = "/e/production/breakers/"
    assert "Type <b>production</b>" in shown(client, address)
    said = {"base": 0, "to": "closed", "minutes": "15", "reason": WHY}
    assert client.post(f"{address}mcp/force/", said).status_code == 400
    said["typed_environment"] = "production"
    assert client.post(f"{address}mcp/force/", said).status_code == 302
    assert state(MCP, PROD) is Breaker.FORCED_CLOSED


def test_without_a_configured_path_it_says_so(client_of: ClientOf) -> None:
    client = client_of("operator")
    Environment.objects.filter(pk="staging").update(mcp_target="", bedrock_target="")
    page = shown(client)
    assert "No breakers in staging" in page and "No path is configured in staging" in page
