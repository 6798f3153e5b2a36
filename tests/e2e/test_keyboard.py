"""An operator's night by keyboard alone: once signed in, no test here touches the pointer.

Toggle, undo, effect preview, plan, approval, search and past: each is reached by Tab or by a key
that the page tells of, and shows that it has the focus.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from routing import wiring
from tests.e2e.conftest import Complaints
from tests.e2e.serving import Server

SignedIn = Callable[..., Page]
CACHING = "ai.caching.enabled"
MCP = "ENABLE_MCP_INTEGRATION"
MOST_TABS = 90
MOST_LOOKS = 20
TRIES = 5  # an undo is offered for 10 s, and a loaded machine may need longer to press a key
HAS_RING = """one => {
  const style = getComputedStyle(one);
  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
}"""


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until `target` has the focus, and see that it shows."""
    for _ in range(MOST_TABS):
        if target.evaluate("one => one === document.activeElement"):
            assert target.evaluate(HAS_RING), f"no focus ring on {target}"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{MOST_TABS} times Tab do not lead to {target}")


def go(page: Page, key: str, address: str) -> None:
    """Go to a page of the rail by its key."""
    page.keyboard.press("g")
    page.keyboard.press(key)
    page.wait_for_url(re.compile(address))


def to_environment(page: Page, name: str) -> None:
    page.keyboard.press("e")
    tab_to(page, page.locator("#environments").get_by_role("link", name=name))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/e/{name}/"))


def press(page: Page, name: str) -> None:
    tab_to(page, page.get_by_role("button", name=name))
    page.keyboard.press("Enter")


def write(page: Page, label: str, text: str) -> None:
    tab_to(page, page.get_by_label(label))
    page.keyboard.type(text)


def write_time(page: Page, field: Locator, at: datetime) -> None:
    """Type a time into a field of date and time, part by part as its parts come."""
    tab_to(page, field)
    page.keyboard.type(f"{at:%m%d%Y}")
    page.keyboard.press("ArrowRight")
    page.keyboard.type(f"{at:%I%M%p}"[:5])
    expect(field).to_have_value(re.compile(f"^{at:%Y-%m-%dT%H:%M}"))


def state(page: Page, flag: str) -> Locator:
    return page.locator(f'#flags-grid [data-flag="{flag}"] .pill')


def step_to(page: Page, flag: str) -> None:
    """Go from lever to lever with j until that of `flag` is reached."""
    lever = page.locator(f'.levers [data-flag="{flag}"] [data-step]')
    for _ in range(10):
        if lever.evaluate("one => one === document.activeElement"):
            assert lever.evaluate(HAS_RING), f"no focus ring on {lever}"
            return
        page.keyboard.press("j")
    raise AssertionError(f"j does not lead to {flag}")


def test_toggle_and_undo(signed_in: SignedIn, complaints: Complaints) -> None:
    complaints.allow("422")
    page = signed_in("operator")
    page.goto("/e/development/")
    go(page, "f", "/flags/$")
    first = state(page, CACHING).inner_text()
    undone = False
    for _ in range(TRIES):
        before = state(page, CACHING).inner_text()
        step_to(page, CACHING)
        page.keyboard.press("Enter")
        expect(page.locator("#notice")).to_contain_text("Audit entry #")
        expect(state(page, CACHING)).not_to_have_text(before)
        page.keyboard.press("u")  # does nothing where it is over before it was drawn
        with contextlib.suppress(AssertionError):
            expect(page.locator("#notice")).to_contain_text("Undone:")
            expect(state(page, CACHING)).to_have_text(before)
            undone = True
            break
    assert undone, "it was never undone in time"
    if state(page, CACHING).inner_text() != first:
        step_to(page, CACHING)
        page.keyboard.press("Enter")
        expect(state(page, CACHING)).to_have_text(first)


def test_j_and_k_go_from_lever_to_lever(signed_in: SignedIn) -> None:
    page = signed_in("operator")
    page.goto("/e/development/flags/")
    step_to(page, MCP)
    page.keyboard.press("k")
    focused = page.locator(":focus")
    assert focused.get_attribute("id") == "lever-ENABLE_DIRECT_BEDROCK_FALLBACK"
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("next, previous lever")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_preview_before_a_change(signed_in: SignedIn, server: Server) -> None:
    server.manage("route", "--environment", "staging", "--operation", "standard", "Say hello")
    page = signed_in("operator")
    page.goto("/e/development/flags/")
    to_environment(page, "staging")
    step_to(page, CACHING)
    page.keyboard.press("Enter")
    expect(page.locator("#review")).to_contain_text("effect")
    foreseen = page.locator("#foreseen")
    for _ in range(MOST_LOOKS):  # a decision is copied to the database a moment after its answer
        if "No decision" not in foreseen.inner_text():
            break
        page.reload()
    expect(foreseen).to_contain_text(re.compile(r"Of the .*decisions?.*would change path"))
    tab_to(page, page.get_by_role("link", name="Back to the flags; change nothing"))
    page.keyboard.press("Enter")
    expect(state(page, CACHING)).to_have_text("on")


def test_a_plan_is_made_and_taken_back(signed_in: SignedIn) -> None:
    page = signed_in("operator")
    page.goto(f"/e/production/flags/{CACHING}/set/?to=off")
    write(page, "Reason", "a window for repairs")
    tab_to(page, page.locator("summary", has_text="Not now, or only for a while"))
    page.keyboard.press("Enter")
    due = wiring.now() + timedelta(hours=30)
    write_time(page, page.get_by_label("At (empty: now)"), due)
    tab_to(page, page.get_by_label("Time zone"))
    page.keyboard.press("Control+a")
    page.keyboard.type("UTC")
    write(page, "Type production to go on", "production")
    press(page, f"Switch off {CACHING} in production")
    expect(page.locator("#notice")).to_contain_text("Nothing is changed yet.")
    tab_to(page, page.get_by_role("link", name="Planned changes"))
    page.keyboard.press("Enter")
    line = page.locator("li.finding", has_text=CACHING).first
    expect(line).to_contain_text(f"{due:%Y-%m-%d %H:%M} UTC")
    tab_to(page, line.get_by_label("Reason to take it back"))
    page.keyboard.type("the window was moved")
    tab_to(page, line.get_by_label("Type production"))
    page.keyboard.type("production")
    tab_to(page, line.get_by_role("button", name="Take it back"))
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("will not be made")


def test_propose_approve_apply(signed_in: SignedIn) -> None:
    operator, reviewer = signed_in("operator"), signed_in("reviewer")
    first = agree(operator, reviewer)
    assert agree(operator, reviewer) != first  # and the flag is again as it was


def agree(operator: Page, reviewer: Page) -> str:
    """Switch the path by two people; return what it was switched to."""
    operator.goto("/e/production/flags/")
    step_to(operator, MCP)
    turns = "off" if "Switch off" in operator.locator(":focus").inner_text() else "on"
    operator.keyboard.press("Enter")
    write(operator, "Reason", "the vendor asks for it")
    press(operator, f"Propose to switch {turns} {MCP} in production")
    expect(operator.locator("#notice")).to_contain_text("Nothing has changed")
    address = operator.url

    reviewer.goto("/e/production/")
    go(reviewer, "p", "/approvals/$")
    tab_to(reviewer, reviewer.get_by_role("link", name=MCP).first)
    reviewer.keyboard.press("Enter")
    press(reviewer, "Approve proposal")
    expect(reviewer.locator("#notice")).to_contain_text("Nothing has changed yet")

    operator.goto(address)
    write(operator, "Type production to go on", "production")
    press(operator, "Apply proposal")
    expect(operator.locator("#notice")).to_contain_text("Audit entry #")
    return turns


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without"])
def test_search_and_history(signed_in: SignedIn, script: bool) -> None:
    page = signed_in("operator", java_script_enabled=script)
    page.goto("/e/development/flags/")
    if script:
        page.keyboard.press("/")
        expect(page.get_by_label("Find a flag")).to_be_focused()
    write(page, "Find a flag", "cache")
    if not script:
        page.keyboard.press("Enter")
    expect(page.locator("#found > .lead")).to_contain_text("1 of 7 flags matches “cache”")
    expect(page.locator(f'.levers [data-flag="{MCP}"]')).to_be_hidden()
    expect(page.locator(f'#flags-grid [data-flag="{CACHING}"]')).to_be_visible()
    row = page.locator(f'.levers [data-flag="{CACHING}"]')
    tab_to(page, row.get_by_role("button"))
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Audit entry #")
    if script:  # what a search has left stays through a change
        expect(page.locator(f'.levers [data-flag="{MCP}"]')).to_be_hidden()
    now = state(page, CACHING).inner_text()
    tab_to(page, row.get_by_role("link", name="History"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{CACHING} is {now} in development")
    newest = page.locator("tr[data-entry]").first
    expect(newest.locator(".pill").last).to_have_text(now)
    expect(newest.locator(".pill").first).not_to_have_text(now)


def test_the_past_beside_now(signed_in: SignedIn) -> None:
    page = signed_in("operator")
    page.goto(f"/e/development/flags/{CACHING}/")
    now = page.locator("h1").inner_text().split()[2]
    tab_to(page, page.get_by_role("link", name="all flags just after").first)
    page.keyboard.press("Enter")
    cell = page.locator(f'td[data-flag="{CACHING}"][data-is="development"]')
    expect(cell.locator(".pill")).to_have_text(now)
    tab_to(page, page.get_by_role("link", name="Back to now"))
    page.keyboard.press("Enter")
    expect(page.locator("#flags-grid")).to_be_visible()
    write_time(page, page.get_by_label("As of (UTC)"), wiring.now() - timedelta(days=400))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("No flags were laid yet")
