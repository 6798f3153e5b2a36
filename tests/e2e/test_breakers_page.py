"""The Breakers page in real browsers: forced in one window, seen in another, released."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Complaints
from tests.e2e.serving import Server

SignedIn = Callable[..., Page]
PAGE = "/e/staging/breakers/"
WHY = "answers nonsense since noon"
PATH = "direct_bedrock"  # the only one that emergencies have: forcing it open asks first
FORCE = f"Force the breaker of {PATH} in staging"
RELEASE = f"Release the breaker of {PATH} in staging"


def card(page: Page, path: str = PATH) -> Locator:
    return page.get_by_role("article", name=f"Breaker of {path}")


def force(page: Page, to: str) -> None:
    page.locator(f"#reason-{PATH}").fill(WHY)
    page.locator(f"#to-{PATH}").select_option(to)
    page.get_by_role("button", name=FORCE).click()


def test_forced_in_one_window_it_is_seen_in_another_and_released(
    signed_in: SignedIn, server: Server, complaints: Complaints
) -> None:
    complaints.allow("409")
    one, other = signed_in("operator"), signed_in("viewer")
    one.goto(PAGE)
    other.goto(PAGE)
    expect(card(other)).to_contain_text("Calls go through.")
    expect(other.get_by_role("button", name="Force")).to_have_count(0)
    force(one, "open")
    expect(one.locator("#breaker-levers")).to_contain_text("emergency loses its only path")
    expect(one.locator(f"#reason-{PATH}")).to_have_value(WHY)
    one.get_by_label("I know what stops").check()
    one.get_by_role("button", name=FORCE).click()
    expect(one.locator("#notice")).to_contain_text("in staging is forced open.")
    expect(card(other)).to_contain_text("A person holds every call back", timeout=3_000)
    expect(card(other)).not_to_contain_text(WHY)
    expect(card(one)).to_contain_text(WHY)
    listed = server.manage("breaker", "list", "--environment", "staging")
    assert [row["state"] for row in listed] == ["forced_open", "closed"]
    one.locator(f"#why-{PATH}").fill("mended by the provider")
    one.get_by_role("button", name=RELEASE).click()
    expect(one.locator("#notice")).to_contain_text("in staging is half-open.")
    expect(card(other).locator("h2")).to_contain_text("half-open", timeout=3_000)


def test_a_command_beside_the_server_is_seen_without_a_reload(
    signed_in: SignedIn, server: Server
) -> None:
    page = signed_in("operator")
    page.goto("/e/development/breakers/")
    heading = card(page, "mcp").locator("h2")
    where = ("--environment", "development", "--path", "mcp", "--reason", "from the shell")
    server.manage("breaker", "force", *where, "--state", "closed", "--for", "15m")
    expect(heading).to_contain_text("forced closed", timeout=3_000)
    expect(page.get_by_role("button", name="Release the breaker of mcp")).to_be_visible()
    server.manage("breaker", "release", *where)
    expect(heading).not_to_contain_text("forced", timeout=3_000)


def test_works_without_scripts(signed_in: SignedIn) -> None:
    page = signed_in("operator", java_script_enabled=False)
    page.goto(PAGE)
    force(page, "closed")
    expect(page.locator("#notice")).to_contain_text("is forced closed")
    page.locator(f"#why-{PATH}").fill("enough seen of it")
    page.get_by_role("button", name=RELEASE).click()
    expect(page.locator("#notice")).to_contain_text("is closed")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_at_360_pixels(
    signed_in: SignedIn, server: Server, scheme: str
) -> None:
    page = signed_in("admin", viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page.goto("/e/production/breakers/")
    expect(page.locator("#breaker-board")).to_be_visible()
    for closed in page.locator("details").all():
        closed.evaluate("one => { one.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
