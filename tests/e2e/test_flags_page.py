"""The Flags and Audit pages in a real browser, with the content policy in force."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import Complaints

SignedIn = Callable[..., Page]
CACHING = "ai.caching.enabled"
FLAGS = (
    "ENABLE_INTELLIGENT_ROUTING",
    "ENABLE_DIRECT_BEDROCK_FALLBACK",
    "ENABLE_MCP_INTEGRATION",
    "ENABLE_BEDROCK_SUPPORT_MODE",
    "ai.provider.bedrock.enabled",
    CACHING,
    "ai.monitoring.enabled",
)


def lever(page: Page, flag: str) -> Locator:
    return page.locator(f'.levers [data-flag="{flag}"]').get_by_role("button")


def state(page: Page, flag: str) -> Locator:
    return page.locator(f'#flags-grid [data-flag="{flag}"] .pill')


def switch(page: Page, flag: str) -> str:
    """Click the lever of `flag` and return what it is now."""
    wanted = "off" if "Switch off" in lever(page, flag).inner_text() else "on"
    lever(page, flag).click()
    expect(state(page, flag)).to_have_text(wanted)
    return wanted


def test_one_click_in_development_switches_and_says_so(signed_in: SignedIn) -> None:
    page = signed_in("operator")
    page.goto("/e/development/flags/")
    address = page.url
    first = switch(page, CACHING)
    expect(page.locator("#notice")).to_contain_text(f"{CACHING} is {first} in development.")
    second = switch(page, CACHING)
    assert {first, second} == {"on", "off"}
    assert page.url == address


def test_the_focus_stays_on_the_lever_that_was_pulled(signed_in: SignedIn) -> None:
    page = signed_in("operator")
    page.goto("/e/development/flags/")
    lever(page, CACHING).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Audit entry #")
    expect(lever(page, CACHING)).to_be_focused()


def test_the_same_without_script(signed_in: SignedIn) -> None:
    page = signed_in("operator", java_script_enabled=False)
    page.goto("/e/development/flags/")
    first = switch(page, CACHING)
    expect(page.locator("#notice")).to_contain_text(f"{CACHING} is {first} in development.")
    assert switch(page, CACHING) != first


def test_the_slower_of_two_operators_sees_what_won(
    signed_in: SignedIn, complaints: Complaints
) -> None:
    complaints.allow("409")
    faster, slower = signed_in("operator"), signed_in("admin")
    for page in (faster, slower):
        page.goto("/e/development/flags/")
    lever(slower, CACHING).hover()  # about to press: what stands under a pointer stays as it is
    won = switch(faster, CACHING)
    lever(slower, CACHING).click()
    expect(slower.locator("#notice")).to_contain_text("Somebody was faster")
    expect(slower.locator("#notice")).to_contain_text("by operator-of-tests")
    expect(state(slower, CACHING)).to_have_text(won)
    switch(slower, CACHING)


def test_a_change_that_stops_something_asks_where_the_eye_is(
    signed_in: SignedIn, complaints: Complaints
) -> None:
    complaints.allow("409")
    page = signed_in("operator")
    page.goto("/e/development/flags/")
    lever(page, "ai.provider.bedrock.enabled").click()
    asked = page.locator("#review")
    expect(asked).to_contain_text("emergency loses its only path")
    expect(asked.get_by_label("Reason")).to_be_focused()
    expect(state(page, "ai.provider.bedrock.enabled")).to_have_text("on")
    asked.get_by_label("I know what stops").check()
    asked.get_by_role("button").click()
    expect(state(page, "ai.provider.bedrock.enabled")).to_have_text("off")
    switch(page, "ai.provider.bedrock.enabled")


def test_production_is_reviewed_before_it_changes(signed_in: SignedIn) -> None:
    page = signed_in("operator")
    page.goto("/e/production/flags/")
    page.locator(f'.levers [data-flag="{CACHING}"] .lever').get_by_role("link").click()
    expect(page).to_have_title(re.compile(f"Switch off {CACHING} · production · HybridOps"))
    page.get_by_label("Reason").fill("serves answers of yesterday")
    page.get_by_label("Type production to go on").fill("production")
    page.get_by_role("button", name=f"Switch off {CACHING} in production").click()
    expect(state(page, CACHING)).to_have_text("off")
    expect(page.locator("#flags-state")).to_contain_text("declared on")
    page.goto(page.url.replace("/flags/", f"/flags/{CACHING}/set/?to=on"))
    page.get_by_label("Reason").fill("answers are of today again")
    page.get_by_label("Type production to go on").fill("production")
    page.get_by_role("button", name=f"Switch on {CACHING} in production").click()
    expect(state(page, CACHING)).to_have_text("on")


@pytest.mark.parametrize("width", [1440, 1000, 700, 360])
def test_each_lever_stands_in_the_row_of_its_flag(signed_in: SignedIn, width: int) -> None:
    page = signed_in("operator", viewport={"width": width, "height": 900})
    page.goto("/e/development/flags/")
    for flag in FLAGS:
        row = page.locator(f'#flags-grid [data-flag="{flag}"]').bounding_box()
        button = lever(page, flag).bounding_box()
        assert row and button
        assert row["y"] <= button["y"]
        assert button["y"] + button["height"] <= row["y"] + row["height"]


@pytest.mark.parametrize(
    "path",
    [
        "/e/production/flags/",
        "/e/production/audit/",
        "/e/production/audit/7/",
        f"/e/production/flags/{CACHING}/set/?to=off",
    ],
)
def test_nothing_sticks_out_at_360_pixels(signed_in: SignedIn, path: str) -> None:
    page = signed_in("operator", viewport={"width": 360, "height": 740})
    page.goto(path)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360


def test_the_keyboard_leads_from_page_to_page(signed_in: SignedIn) -> None:
    page = signed_in("reviewer")
    page.goto("/e/staging/flags/")
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**/e/staging/audit/")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Do not listen to single keys").check()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).not_to_be_visible()


def test_a_reviewer_verifies_the_trail_with_one_click(signed_in: SignedIn) -> None:
    page = signed_in("reviewer")
    page.goto("/e/production/audit/")
    page.get_by_role("button", name="Verify the whole trail").click()
    expect(page.locator("#verified")).to_contain_text("The chain holds.")


def test_production_looks_like_production(signed_in: SignedIn) -> None:
    page = signed_in("viewer")

    def frame() -> str:
        width: str = page.locator(".frame").evaluate("e => getComputedStyle(e).borderTopWidth")
        return width

    page.goto("/e/production/flags/")
    assert frame() == "3px"
    expect(page).to_have_title("Flags · production · HybridOps")
    page.goto("/e/staging/flags/")
    assert frame() == "0px"


def test_a_viewer_finds_no_lever(signed_in: SignedIn) -> None:
    page = signed_in("viewer")
    page.goto("/e/development/flags/")
    expect(page.locator(".lever button, .lever a")).to_have_count(0)
    expect(page.get_by_role("link", name="Audit")).to_have_count(0)
