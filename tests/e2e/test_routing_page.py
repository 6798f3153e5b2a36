"""The Routing page in a real browser: a draft tried on past requests, explain, overrides."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.serving import ROOT, Server

SignedIn = Callable[..., Page]
ROUTING, DRAFT = "/e/production/routing/", "/e/production/routing/draft/"
SHORT_OVERRIDE = """
import django
django.setup()
from datetime import timedelta
from routing import wiring
from routing.changes import override
from routing.core.rights import shell_actor
from routing.core.values import EnvironmentName, Operation, Path
now = wiring.now()
override.apply(
    by=shell_actor(user="tests", host="here"), now=now, environment=EnvironmentName.PRODUCTION,
    wish=override.SetOverride(
        operation=Operation.STANDARD, path=Path.DIRECT_BEDROCK, ends_at=now + timedelta(seconds=3)
    ),
    reason="three seconds are enough", health={}, typed_environment="production",
)
"""


def test_a_draft_is_tried_on_past_requests_and_then_published(
    signed_in: SignedIn, server: Server
) -> None:
    server.manage("route", "--environment", "production", "--operation", "standard", "Say hello")
    page = signed_in("admin")
    page.goto(DRAFT)
    page.get_by_label("Reason").fill("standard goes to bedrock")
    page.get_by_role("button", name="Begin a draft").click()
    page.get_by_label("Intended path of standard").select_option("direct_bedrock")
    page.get_by_label("Fallback of standard").select_option("mcp")
    page.get_by_label("Share of emergency in percent").fill("5")
    page.get_by_role("button", name="Save the draft").click()
    expect(page.locator("#draft")).to_contain_text("The row of emergency is split")
    expect(page.locator("#draft")).to_contain_text("Mend what is listed first.")
    page.get_by_label("Share of emergency in percent").fill("0")
    page.get_by_role("button", name="Save the draft").click()
    expect(page.locator("#differences")).to_contain_text("standard: primary mcp → direct_bedrock.")

    def told() -> bool:  # once the record is in the database
        page.goto(DRAFT)
        return "1 would change path" in page.locator("#effects").inner_text()

    assert any(told() for _ in range(50))
    [replayed] = server.manage("replay", "--environment", "production")
    assert replayed["ok"] and replayed["decisions"] == 1 and replayed["changed"] == 0
    page.get_by_label("Type production to go on").fill("production")
    page.get_by_role("button", name="Publish in production").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "production follows version 2 of its matrix"
    )
    row = page.locator("#matrix-table tbody tr", has_text="standard")
    expect(row).to_contain_text("direct_bedrock")
    expect(page.locator("#versions")).to_contain_text("standard goes to bedrock")


def test_explain_says_why_a_path_is_passed_over(signed_in: SignedIn) -> None:
    page = signed_in("viewer")
    page.goto(ROUTING)
    page.get_by_label("Operation").first.select_option("emergency")
    page.get_by_role("button", name="Explain").click()
    expect(page.locator("#explained")).to_contain_text("emergency would try direct_bedrock")
    expect(page.locator("#explained")).to_contain_text("as the matrix says")


def test_an_override_ends_by_itself_and_the_open_page_follows(
    signed_in: SignedIn, server: Server
) -> None:
    page = signed_in("viewer")
    page.goto(ROUTING)
    expect(page.locator("#overrides")).to_contain_text("None holds")
    subprocess.run(
        [sys.executable, "-c", SHORT_OVERRIDE],
        cwd=ROOT,
        env=server.env | {"DJANGO_SETTINGS_MODULE": "hybridops.settings"},
        check=True,
    )
    expect(page.locator("#overrides")).to_contain_text("standard →")
    expect(page.locator("#overrides")).to_contain_text("None holds", timeout=15_000)
    page.get_by_text("Ended lately").click()
    expect(page.locator("#overrides")).to_contain_text("system:overrides: its end came")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_at_360_pixels(signed_in: SignedIn, scheme: str) -> None:
    page = signed_in("admin", viewport={"width": 360, "height": 740}, color_scheme=scheme)
    for path in (ROUTING, DRAFT):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("production"))
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
