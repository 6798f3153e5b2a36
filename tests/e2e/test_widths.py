"""What a page is for can be seen at the widths that people have: a laptop's and a phone's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.serving import Server

SignedIn = Callable[..., Page]
PHONE = {"width": 360, "height": 760}
DEV = "/e/development/"
# The longest words that the router knows for why a request went elsewhere.
LONG = "fallback_breaker_open"


def hidden_px(scroller: Locator) -> int:
    """Return how much of what scrolls sideways cannot be seen."""
    return int(scroller.evaluate("e => e.scrollWidth - e.clientWidth"))


@pytest.mark.parametrize("width", [1280, 1366, 1440])
def test_the_longest_reason_is_seen_whole(signed_in: SignedIn, width: int) -> None:
    page = signed_in("viewer", viewport={"width": width, "height": 900}, java_script_enabled=False)
    page.goto(DEV)
    cell = page.locator("#request-table tbody tr").first.locator("td:last-child")
    cell.evaluate(f"e => {{ e.innerHTML = '<span class=\"reason odd\">{LONG} 412</span>' }}")
    assert hidden_px(page.locator("#request-table .scroll")) == 0


def test_every_page_shows_its_own_tab_on_a_phone(signed_in: SignedIn) -> None:
    page = signed_in("admin", viewport=PHONE)
    page.goto(DEV)
    addresses = [link.get_attribute("href") for link in page.locator(".rail .pages a").all()]
    assert len(addresses) >= 6
    for address in addresses:
        page.goto(str(address))
        expect(page.locator('.rail [aria-current="page"]')).to_be_in_viewport(ratio=1)


def test_a_phone_shows_how_each_deployment_ended(signed_in: SignedIn) -> None:
    page = signed_in("viewer", viewport=PHONE)
    page.goto(f"{DEV}deployments/")
    derived = page.locator('tbody td[data-is="Derived"]')
    assert derived.count() > 0
    for cell in derived.all():
        cell.scroll_into_view_if_needed()
        expect(cell).to_be_in_viewport(ratio=1)
    assert hidden_px(page.locator(".list")) == 0


def test_the_trail_breaks_no_word_beside_an_empty_column(
    server: Server, signed_in: SignedIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(server.env, "LOGNAME", "on-call-of-the-shop")  # who is at the shell
    server.manage("create_token", "--environment", "development", "--role", "viewer")
    page = signed_in("admin", viewport={"width": 1280, "height": 900})
    page.goto(DEV)
    page.goto(f"{DEV}audit/")
    who = page.locator(".trail tbody td:nth-child(3) > span")
    seen = [
        (one.inner_text(), one.evaluate("e => e.getClientRects().length")) for one in who.all()
    ]
    assert "on-call-of-the-shop" in str(seen)
    # Only a name that is wider than its column may break.
    assert {lines for name, lines in seen if len(name) <= 30} == {1}
    date = page.locator("#id_since")
    assert date.evaluate("e => e.clientWidth") >= 190
