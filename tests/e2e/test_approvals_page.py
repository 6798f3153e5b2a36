"""Two people change a path of production; an admin lets a third one in."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Complaints

SignedIn = Callable[..., Page]
MCP = "ENABLE_MCP_INTEGRATION"
PHONE = {"width": 360, "height": 760}


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without"])
def test_one_proposes_another_approves_the_first_applies(
    signed_in: SignedIn, complaints: Complaints, script: bool
) -> None:
    operator = signed_in("operator", java_script_enabled=script)
    operator.goto("/e/production/flags/")
    lever = operator.locator(f'.levers [data-flag="{MCP}"] .lever').get_by_role("link")
    turns = "off" if "Switch off" in lever.inner_text() else "on"
    lever.click()
    operator.get_by_label("Reason").fill("the vendor asks for it")
    operator.get_by_role("button", name=f"Propose to switch {turns} {MCP} in production").click()
    expect(operator.locator("#notice")).to_contain_text("Nothing has changed")
    expect(operator.get_by_role("button", name="Approve")).to_have_count(0)
    address = operator.url

    reviewer = signed_in("reviewer", java_script_enabled=script, viewport=PHONE)
    reviewer.goto("/e/production/approvals/")
    expect(reviewer.locator("#waiting")).to_contain_text("1")
    reviewer.get_by_role("link", name=MCP).first.click()
    expect(reviewer).to_have_url(re.compile(r"/approvals/\d+/$"))
    reviewer.get_by_role("button", name="Approve proposal").click()
    expect(reviewer.locator("#notice")).to_contain_text("Nothing has changed yet")
    expect(reviewer.locator("#waiting")).to_be_empty()
    assert reviewer.evaluate("document.documentElement.scrollWidth") <= 360

    operator.goto(address)
    operator.get_by_label("Type production to go on").fill("production")
    operator.get_by_role("button", name="Apply proposal").click()
    expect(operator.locator("#notice")).to_contain_text("Audit entry #")
    operator.get_by_role("link", name="audit entry #").click()
    said = operator.locator(".facts").first
    expect(said).to_contain_text("proposed by operator-of-tests, approved by reviewer-of-tests")


def test_a_new_person_chooses_a_password_before_anything_else(
    signed_in: SignedIn, new_page: Callable[..., Page]
) -> None:
    admin = signed_in("admin", viewport=PHONE)
    admin.goto("/e/staging/settings/")
    admin.get_by_label("Username").first.fill("newcomer")
    admin.get_by_label("Reason").first.fill("a new colleague")
    admin.get_by_role("button", name="Make the account").click()
    shown = admin.locator("#secret-value").inner_text()
    assert admin.evaluate("document.documentElement.scrollWidth") <= 360
    page = new_page()
    page.goto("/e/staging/flags/")
    page.get_by_label("Username").fill("newcomer")
    page.get_by_label("Password").fill(shown)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Choose your password")).to_be_visible()
    page.get_by_label("Present password").fill(shown)
    for label in ("New password, at least", "New password once more"):
        page.get_by_label(label).fill("a-password-of-my-own")
    page.get_by_role("button", name="Change the password").click()
    expect(page).to_have_url(re.compile("/e/staging/$"))
