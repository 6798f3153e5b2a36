"""The Cost page: unknown amounts said as unknown, limits in words, set by who may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
from django.test import Client

from dashboard.partials import without_ages
from routing import wiring
from routing.changes import budget
from routing.changes.budget import LimitWish, PriceWish
from routing.core.budget import Period, Unit
from routing.core.cost import NANOS
from routing.core.values import EnvironmentName
from routing.cost import snapshot, store
from routing.cost.models import CostPolicy, Spend
from tests.integration.dashboard.conftest import SHELL, ClientOf
from tests.integration.dashboard.sockets import Socket, cookie_of, play

committing = pytest.mark.django_db(transaction=True)
DEV, STG, PROD = EnvironmentName
PAGE = "/e/staging/cost/"
PART = "/e/staging/partials/cost_board/"
HTMX = {"HX-Request": "true"}
WHY = "as the contract says"


@pytest.fixture(autouse=True)
def _forget(db: None) -> Iterator[None]:
    yield
    CostPolicy.objects.all().delete()
    snapshot.refresh()


def spent(nanos: int = 0, **more: Any) -> None:
    usual = {
        "environment": "staging",
        "day": wiring.now().date(),
        "operation": "standard",
        "tenant": "acme",
        "model": "claude",
        "currency": "EUR" if nanos else "",
        "synthetic": False,
        "requests": 3,
        "input_tokens": 1200,
        "output_tokens": 345,
        "unpriced": 0 if nanos else 3,
        "nanos": nanos,
    }
    Spend.objects.create(**(usual | more))


def limited(most: str = "50", **more: Any) -> None:
    wish = LimitWish(period=Period.DAY, unit=Unit.MONEY, most=most, currency="EUR", **more)
    budget.apply(
        by=SHELL,
        now=wiring.now(),
        environment=STG,
        wanted=budget.wanted(STG, wish),
        reason=WHY,
        confirmed=True,
    )


def shown(client: Client, address: str = PAGE) -> str:
    """The page as it reads: without tags, spaces drawn together."""
    answer = client.get(address)
    assert answer.status_code == 200
    return read(answer)


def read(answer: Any) -> str:
    text = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return " ".join(unescape(text).split())


def test_says_that_nothing_is_known_before_anything_is_set(client_of: ClientOf) -> None:
    page = shown(client_of("viewer"))
    assert "No request was billed in staging this month" in page
    assert "No price is known by itself" in page
    assert "Nothing limits what staging spends" in page
    assert "0.00" not in page and "You may look" in page


def test_tokens_without_a_price_are_shown_and_their_amount_is_unknown(client_of: ClientOf) -> None:
    spent()
    spent(model="tool", input_tokens=0, output_tokens=0, requests=2, unpriced=2, untold=2)
    spent(synthetic=True, requests=9, input_tokens=50, output_tokens=50)
    page = shown(client_of("viewer"))
    assert "What staging spends is unknown: none of its requests has a price" in page
    assert "5 requests used 1,200 tokens in and 345 out this month" in page
    assert "3 requests went to models without a price. Set one" in page
    assert "2 requests have tokens that nobody told: MCP tells none" in page
    assert "9 requests of our own (synthetic) used 100 tokens" in page
    assert "claude no price is set 3 requests" in page
    assert "tool 2 not told not told unknown 2 not priced" in page
    assert "EUR" not in page


def test_what_is_known_in_part_is_at_least_that_much(client_of: ClientOf) -> None:
    client = client_of("viewer")
    spent(1234 * NANOS + 567_000_000, operation="emergency")
    page = shown(client)
    assert "staging spent 1,234.57 EUR this month and 1,234.57 EUR today" in page
    spent()
    page = shown(client)
    assert "staging spent at least 1,234.57 EUR this month" in page
    spent(NANOS, currency="USD", model="other")
    assert "at least 1,234.57 EUR + 1.00 USD" in shown(client)


@pytest.mark.parametrize(
    ("nanos", "more", "words"),
    [
        (20, {}, ("under 50 %", "20.00 EUR of 50.00 EUR · 40 %", "It alerts and refuses nothing")),
        (25, {}, ("over 50 %", "25.00 EUR of 50.00 EUR · 50 %")),
        (46, {"hard_stop": True}, ("over 90 %", "92 %", "emergencies go on")),
        (60, {}, ("spent", "60.00 EUR of 50.00 EUR · 120 %")),
        (
            50,
            {"hard_stop": True, "stops_emergencies": True},
            ("spent, requests refused", "100 %", "emergencies too"),
        ),
    ],
)
def test_a_limit_says_in_words_how_it_stands_and_what_it_does(
    client_of: ClientOf, nanos: int, more: dict[str, Any], words: tuple[str, ...]
) -> None:
    spent(nanos * NANOS)
    limited(**more)
    client = client_of("viewer")
    page = shown(client)
    for said in ("whole environment, today", *words):
        assert said in page
    overview = shown(client, "/e/staging/")
    assert ("The budget of staging is spent" in overview) == (nanos >= 25)
    assert ("429 refused_budget" in overview) == bool(more and nanos >= 50)


@pytest.mark.parametrize("role", ["viewer", "reviewer", "operator"])
def test_who_may_only_look_gets_no_lever(client_of: ClientOf, role: str) -> None:
    client = client_of(role)
    assert "Set a price" not in shown(client)
    assert post(client, "price").status_code == 403
    assert post(client, "limit").status_code == 403
    assert not CostPolicy.objects.exists()


FORMS: dict[str, dict[str, Any]] = {
    "price": {"model": "claude", "input": "3", "output": "15", "currency": "EUR"},
    "limit": {"unit": "money", "period": "month", "most": "1000", "currency": "EUR"},
}


def post(client: Client, form: str, headers: dict[str, str] | None = None, **said: Any) -> Any:
    usual = {"base": 0, "do": "set", "reason": WHY}
    return client.post(f"{PAGE}{form}/", usual | FORMS[form] | said, headers=headers or {})


def test_an_admin_sets_and_removes_by_plain_forms(client_of: ClientOf) -> None:
    client = client_of("admin")
    assert post(client, "price").status_code == 302
    assert post(client, "limit", base=1, tenant="acme", hard_stop="true").status_code == 302
    page = shown(client)
    assert "The limit is set in staging. Audit entry #" in page
    assert "claude 3.00 EUR 15.00 EUR no request" in page
    assert "tenant acme, this month" in page and "0.00 EUR of 1,000.00 EUR" in page
    assert post(client, "limit", base=2, tenant="acme", do="remove").status_code == 302
    asked = post(client, "price", base=3, do="remove")
    assert asked.status_code == 409 and "claude costs is unknown from now on" in read(asked)
    assert post(client, "price", base=3, do="remove", confirmed="true").status_code == 302
    assert store.read(STG).prices == {} and store.read(STG).currency == ""


REFUSED: tuple[tuple[str, dict[str, Any], int, str], ...] = (
    ("price", {"input": "three"}, 422, "is no amount"),
    ("price", {"currency": "eur"}, 422, "is no currency"),
    ("price", {"model": " "}, 422, "Name the model"),
    ("price", {"reason": ""}, 422, "needs a reason"),
    ("price", {"base": 7}, 409, "Somebody was faster"),
    ("limit", {"most": "0"}, 422, "more than 0"),
    ("limit", {"stops_emergencies": "true"}, 422, "make it a hard stop"),
    ("limit", {"hard_stop": "1", "stops_emergencies": "1"}, 409, "Not done yet"),
    ("limit", {"do": "remove"}, 422, "no limit month/money"),
)


def test_a_refusal_says_why_and_keeps_what_was_typed(client_of: ClientOf) -> None:
    client = client_of("admin")
    for form, said, status, words in REFUSED:
        for headers in ({}, HTMX):
            answer = post(client, form, headers, **said)
            plain = 400 if status == 422 else status
            assert answer.status_code == (status if headers else plain), (form, said)
            page = read(answer)
            assert words in page, (form, said)
            name = {"price": "output", "limit": "most"}[form]
            typed = said.get(name, FORMS[form][name])
            assert f'name="{name}" value="{typed}"' in answer.content.decode()
    assert not CostPolicy.objects.exists()


def test_the_change_feed_and_the_trail_tell_of_it(client_of: ClientOf) -> None:
    limited()
    client = client_of("reviewer")
    assert "Changed prices or limits" in shown(client, "/e/staging/")
    assert "changed prices or limits of staging" in shown(client, "/e/staging/audit/")


@committing
def test_the_live_part_is_the_same_included_fetched_and_pushed(client_of: ClientOf) -> None:
    client = client_of("viewer")
    cookie = cookie_of(client)
    spent(NANOS)
    limited()
    page, fetched = (client.get(address).content.decode() for address in (PAGE, PART))

    async def scene() -> None:
        socket = Socket(cookie, environment="staging", topics="cost_board")
        assert await socket.open() is None
        pushed = await socket.part("cost_board")
        assert without_ages(pushed).strip() == without_ages(fetched).strip()
        await socket.leave()

    play(scene)
    assert without_ages(fetched).strip() in without_ages(page)
    assert "<form" not in fetched and "csrf" not in fetched


def test_a_wish_of_a_price_is_read_as_it_was_written() -> None:
    wanted = budget.wanted(DEV, PriceWish(model=" m ", input="0.25", output=" 1 ", currency="EUR"))
    assert wanted.prices["m"].input_nanos == NANOS // 4
