"""The Support page in a real browser, against a server that ends sessions by itself."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Complaints
from tests.e2e.serving import Server

SignedIn = Callable[..., Page]
FLAG = "ENABLE_BEDROCK_SUPPORT_MODE"


def switch(server: Server, environment: str, on: bool) -> None:
    server.manage(
        "set_flag", "--environment", environment, "--flag", FLAG, "--on" if on else "--off",
        "--reason", "browser tests",
    )  # fmt: skip


def open_page(page: Page, environment: str) -> None:
    page.goto(f"/e/{environment}/support/")


@pytest.mark.parametrize("script", [True, False])
def test_a_session_is_opened_and_closed(signed_in: SignedIn, server: Server, script: bool) -> None:
    page = signed_in("operator", java_script_enabled=script)
    open_page(page, "development")
    expect(page.get_by_role("button", name="Activate support mode")).to_be_disabled()
    expect(page.locator("#support-obstacle")).to_contain_text(FLAG)
    switch(server, "development", True)
    open_page(page, "development")
    page.get_by_label("Reason").fill("slow answers since noon")
    page.get_by_role("button", name="Activate support mode in development").click()
    expect(page.locator("#support-state")).to_have_text("Support mode is active in development")
    expect(page.locator("#notice")).to_contain_text("Support mode is active in development")
    page.get_by_role("button", name="Deactivate support mode in development").click()
    expect(page.locator("#support-state")).to_contain_text("is not active")
    switch(server, "development", False)


def test_the_server_ends_a_session_when_its_flag_goes_off(
    signed_in: SignedIn, server: Server
) -> None:
    switch(server, "staging", True)
    page = signed_in("operator")
    open_page(page, "staging")
    page.get_by_label("Reason").fill("until the flag goes off")
    page.get_by_role("button", name="Activate support mode in staging").click()
    expect(page.locator("#support-state")).to_have_text("Support mode is active in staging")
    switch(server, "staging", False)

    def ended() -> bool:
        open_page(page, "staging")
        return "flag switched off" in page.locator("#support").inner_text()

    assert any(ended() for _ in range(50))
    expect(page.locator("#support")).to_contain_text("by system:support")


def test_an_audit_of_a_running_server_measures_it(signed_in: SignedIn) -> None:
    page = signed_in("operator")
    open_page(page, "development")
    page.get_by_role("button", name="Audit development now").click()
    expect(page.locator("#notice")).to_contain_text("by 20 checks")
    section = page.locator("#support")
    for alarm in ("could not look", "No process serves", "was never measured", "does not verify"):
        expect(section).not_to_contain_text(alarm)


def test_refused_words_stay_beside_what_was_typed(
    signed_in: SignedIn, server: Server, complaints: Complaints
) -> None:
    complaints.allow("422")
    switch(server, "staging", True)
    page = signed_in("operator")
    open_page(page, "staging")
    switch(server, "staging", False)
    page.get_by_label("Reason").fill("one second too late")
    page.get_by_role("button", name="Activate support mode in staging").click()
    expect(page.locator("#notice")).to_contain_text("support_flag_off")
    expect(page.get_by_label("Reason")).to_have_value("one second too late")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_at_360_pixels(signed_in: SignedIn, scheme: str) -> None:
    page = signed_in("operator", viewport={"width": 360, "height": 740}, color_scheme=scheme)
    open_page(page, "production")
    page.get_by_role("button", name=re.compile("Audit production now")).click()
    expect(page.locator("#notice")).to_contain_text("by 20 checks")
    for closed in page.locator("#support details").all():
        closed.evaluate("e => { e.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
