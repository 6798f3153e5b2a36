"""Undo by keyboard while it is offered; a change for later, counted down by the page's clock."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from zoneinfo import ZoneInfo

from playwright.sync_api import Page, expect

from routing import wiring
from tests.e2e.conftest import Complaints

SignedIn = Callable[..., Page]
CACHING = "ai.caching.enabled"
TRIES = 5  # each is offered for 10 s, and a loaded machine may need longer to press a key


def test_the_last_change_is_undone_by_one_key(signed_in: SignedIn, complaints: Complaints) -> None:
    complaints.allow("422")
    page = signed_in("operator")
    page.goto("/e/development/flags/")
    state = page.locator(f'#flags-grid [data-flag="{CACHING}"] .pill')
    lever = page.locator(f'.levers [data-flag="{CACHING}"]').get_by_role("button")
    for _ in range(TRIES):
        before = state.inner_text()
        lever.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#notice")).to_contain_text("Audit entry #")
        if not page.locator("#undo").is_visible():
            continue  # over before it was drawn
        expect(page.locator("#undo")).to_contain_text(CACHING)
        page.keyboard.press("u")
        expect(page.locator("#notice")).to_contain_text(re.compile("Undone:|Over:"))
        if "Undone:" in page.locator("#notice").inner_text():
            expect(state).to_have_text(before)
            return
    raise AssertionError("it was never undone in time")


def test_a_change_is_planned_in_ones_own_zone_and_counted_down(signed_in: SignedIn) -> None:
    page = signed_in("operator", timezone_id="Australia/Lord_Howe")
    page.clock.install()
    page.goto(f"/e/staging/flags/{CACHING}/set/?to=off")
    page.get_by_label("Reason").fill("a window for repairs")
    page.get_by_text("Not now, or only for a while").click()
    zone = page.get_by_label("Time zone")
    expect(zone).to_have_value("Australia/Lord_Howe")
    due = (wiring.now() + timedelta(hours=30)).astimezone(ZoneInfo("Australia/Lord_Howe"))
    page.get_by_label("At (empty: now)").fill(f"{due:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name=f"Switch off {CACHING} in staging").click()
    expect(page.locator("#notice")).to_contain_text("Nothing is changed yet.")
    page.goto("/e/staging/schedule/")
    line = page.locator("li.finding", has_text=CACHING).first
    expect(line).to_contain_text(f"{due:%Y-%m-%d %H:%M} Australia/Lord_Howe")
    expect(line.locator("b.left")).to_contain_text(re.compile(r"(29|30) h \d+ min left"))
    page.clock.fast_forward("20:00:00")
    expect(line.locator("b.left")).to_contain_text(re.compile(r"(9|10) h \d+ min left"))
    line.get_by_label("Reason to take it back").fill("the window was moved")
    line.get_by_role("button", name="Take it back").click()
    expect(page.locator("#notice")).to_contain_text("will not be made")
