"""The Overview in a real browser: seen at once, never green when old, whole without script.

One server of its own: these tests stop a stand-in of it, and freeze it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from routing.core.flags import FlagName
from tests.e2e import conftest, serving
from tests.e2e.conftest import Complaints
from tests.e2e.serving import Server

LANE, HEADER = "#mcp-lane", "#state-header"
PROBE_S = 5.0
FLAG = FlagName.CACHING
Opened = Callable[..., Page]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose stand-ins may be stopped, and which may be frozen."""
    running = serving.start(tmp_path_factory.mktemp("overview"))
    yield running
    serving.stop(running)


@pytest.fixture(scope="module")
def account(server: Server) -> Callable[[str], dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}

    def of(role: str) -> dict[str, Any]:
        if role not in made:
            who = ["--username", f"{role}-of-overview", "--reason", "browser tests"]
            [made[role]] = server.manage(
                "create_user", *who, "--role", role, "--environment", "all"
            )
        return made[role]

    return of


complaints = conftest.complaints
new_page = conftest.new_page
signed_in = conftest.signed_in


def pill(page: Page, name: str) -> Locator:
    return page.locator(f'#flags-grid [data-flag="{name}"] .pill')


def live(page: Page) -> None:
    """Wait until the page hears its server."""
    expect(page.locator("#live")).to_have_attribute("data-link", "live")


def is_green(page: Page, colour: str) -> bool:
    """Tell whether anything of the live parts is drawn in the colour of health."""
    found: bool = page.evaluate(
        """(ok) => [...document.querySelectorAll("[data-live] *")].some((element) => {
             const style = getComputedStyle(element);
             return element.checkVisibility() && [style.color, style.fill].includes(ok);
           })""",
        colour,
    )
    return found


def green_of(page: Page) -> str:
    """Return the colour in which this browser draws health."""
    shape = page.locator("#direct-bedrock-lane .pill.healthy")
    expect(shape).to_be_visible(timeout=20_000)
    return str(shape.evaluate("(element) => getComputedStyle(element).color"))


@contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Keep the server from doing anything for the block, as a full machine would."""
    pid = json.loads((server.home / "run" / "server.json").read_text())["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_second_window_sees_a_toggle_within_a_second(
    signed_in: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    acting, watching = signed_in("operator"), signed_in("operator")
    for page in (acting, watching):
        page.goto("/e/development/flags/")
        live(page)
    took: list[float] = []
    for word in ("off", "on", "off", "on"):
        acting.locator(f'[id="lever-{FLAG}"]').click()
        began = time.monotonic()
        expect(pill(watching, FLAG)).to_have_class(re.compile(rf"pill {word}"), timeout=2_000)
        took.append(time.monotonic() - began)
        expect(pill(acting, FLAG)).to_have_class(re.compile(rf"pill {word}"))
    with capsys.disabled():
        sys.stdout.write(
            f"\na toggle was seen in the second window after {max(took):.2f} s at most\n"
        )
    assert max(took) <= 2


def test_the_levers_around_it_follow(signed_in: Opened) -> None:
    acting, watching = signed_in("operator"), signed_in("operator")
    for page in (acting, watching):
        page.goto("/e/development/flags/")
        live(page)
    lever = watching.locator(f'[id="lever-{FLAG}"]')
    expect(lever).to_contain_text("Switch off")
    acting.locator(f'[id="lever-{FLAG}"]').click()
    expect(lever).to_contain_text("Switch on", timeout=5_000)
    lever.click()
    expect(pill(acting, FLAG)).to_have_class(re.compile("pill on"))


def test_a_toggle_in_the_shell_is_seen_too(signed_in: Opened, server: Server) -> None:
    page = signed_in("viewer")
    page.goto("/e/development/flags/")
    live(page)
    for word in ("off", "on"):
        place = ["--environment", "development", "--reason", "seen from the shell"]
        server.manage("set_flag", "--flag", str(FLAG), f"--{word}", *place)
        expect(pill(page, FLAG)).to_have_class(re.compile(rf"pill {word}"), timeout=3_000)


def test_a_dead_mcp_leaves_green_names_its_lever_and_comes_back(
    signed_in: Opened, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    page = signed_in("operator")
    page.goto("/e/development/")
    live(page)
    healthy = page.locator(f"{LANE} .pill.healthy")
    expect(healthy).to_be_visible(timeout=20_000)
    began = time.monotonic()
    server.manage("upstream", "mcp", "stop", "--reason", "browser tests")
    expect(healthy).to_have_count(0, timeout=2 * PROBE_S * 1000)
    left = time.monotonic() - began
    expect(page.locator(f"{HEADER} h1")).to_contain_text("mcp is unhealthy", timeout=30_000)
    lever = page.get_by_role("link", name=f"Switch on {FlagName.DIRECT_FALLBACK}")
    expect(lever).to_be_visible()
    expect(page.locator(HEADER)).to_contain_text("would have a path again: direct_bedrock")
    expect(page.locator(HEADER)).to_contain_text("browser tests")
    expect(page).to_have_title(re.compile("▲ unhealthy"))
    began = time.monotonic()
    server.manage("upstream", "mcp", "start", "--reason", "browser tests")
    expect(healthy).to_be_visible(timeout=60_000)
    with capsys.disabled():
        back = time.monotonic() - began
        sys.stdout.write(
            f"\nthe lane left green after {left:.1f} s and was green again after {back:.1f} s\n"
        )
    expect(lever).to_have_count(0)


def test_a_frozen_server_makes_every_part_stale_within_fifteen_seconds(
    signed_in: Opened, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    page = signed_in("viewer")
    page.goto("/e/development/")
    live(page)
    green = green_of(page)
    assert is_green(page, green)
    parts = page.locator("[data-live]").count()
    assert parts >= 6
    rollback = page.context.new_page()
    rollback.goto("/e/development/rollback/")
    live(rollback)
    with frozen(server):
        began = time.monotonic()
        expect(page.locator("[data-live][data-stale]")).to_have_count(parts, timeout=15_000)
        took = time.monotonic() - began
        with capsys.disabled():
            sys.stdout.write(f"\nevery part was stale {took:.1f} s after the server froze\n")
        expect(page.locator("#live")).to_have_attribute("data-link", "stale")
        expect(page.locator("#live")).to_contain_text("Stale: nothing heard for")
        assert not is_green(page, green)
        assert took <= 15
        expect(page).to_have_title(re.compile("^◌ stale · Overview"))
        expect(rollback.locator(".target[data-stale]")).to_have_count(2, timeout=15_000)
    expect(rollback.locator("[data-stale]")).to_have_count(0, timeout=20_000)
    expect(page.locator("[data-live][data-stale]")).to_have_count(0, timeout=10_000)
    live(page)
    assert is_green(page, green)
    expect(page).to_have_title(re.compile("^● healthy · Overview"))


def test_green_stays_when_the_watch_of_the_page_is_taken_away(
    signed_in: Opened, server: Server
) -> None:
    """The control: without the page's own clock a frozen server looks well."""
    page = signed_in("viewer")
    page.add_init_script("window.setInterval = () => 0;")
    page.goto("/e/development/")
    green = green_of(page)
    page.wait_for_load_state("networkidle")
    with frozen(server):
        page.wait_for_timeout(16_000)
        assert is_green(page, green)


def test_signing_out_elsewhere_ends_what_is_live(
    signed_in: Opened, complaints: Complaints
) -> None:
    complaints.allow("WebSocket connection to")
    page = signed_in("viewer")
    page.goto("/e/development/")
    live(page)
    other = page.context.new_page()
    other.goto("/e/development/")
    other.get_by_role("button", name="Sign out").click()
    expect(page.locator("#live")).to_contain_text("You are signed out", timeout=10_000)
    expect(page.locator("[data-live][data-stale]")).not_to_have_count(0)


def test_an_open_formula_and_the_focus_outlive_what_is_pushed(signed_in: Opened) -> None:
    page = signed_in("viewer")
    page.goto("/e/development/")
    live(page)
    summary = page.locator(f"{LANE} summary")
    summary.focus()
    summary.press("Enter")
    observed = page.locator(LANE).get_attribute("data-observed")
    expect(page.locator(LANE)).not_to_have_attribute(
        "data-observed", observed or "", timeout=15_000
    )
    expect(page.locator(f"{LANE} details")).to_have_attribute("open", "")
    expect(summary).to_be_focused()


def test_rows_wait_while_somebody_points_at_them(signed_in: Opened, server: Server) -> None:
    page = signed_in("operator")
    page.goto("/e/staging/")
    live(page)
    place = ["--environment", "staging", "--reason", "a row to point at"]
    server.manage("set_flag", "--flag", str(FLAG), "--off", *place)
    feed = page.locator("#change-feed li")
    expect(feed.first).to_contain_text(f"{FLAG} on → off")
    count = feed.count()
    feed.first.hover()
    server.manage("set_flag", "--flag", str(FLAG), "--on", *place)
    expect(page.locator("#change-feed")).to_have_attribute("data-waits", "", timeout=5_000)
    assert feed.count() == count
    page.mouse.move(5, 5)
    expect(feed.first).to_contain_text(f"{FLAG} off → on")


def test_without_script_the_page_tells_the_state(signed_in: Opened) -> None:
    page = signed_in("viewer", java_script_enabled=False)
    page.goto("/e/development/")
    expect(page.locator("h1")).to_contain_text(re.compile("in development"))
    expect(page.locator("#live")).to_contain_text("This page does not update by itself.")
    page.get_by_role("link", name="Refresh").click()
    expect(page.locator("h1")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1440])
def test_fits_the_screen(signed_in: Opened, width: int, scheme: str) -> None:
    viewport = {"width": width, "height": 800}
    page = signed_in("operator", viewport=viewport, color_scheme=scheme)
    for path in ("/e/production/", "/e/production/flags/"):
        page.goto(path)
        live(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_first_load_is_light(new_page: Opened, account: Callable[[str], Any]) -> None:
    """At most 150 kB over the wire, with an empty cache."""
    page = new_page()
    page.goto("/sign-in/")
    page.get_by_label("Username").fill(account("viewer")["username"])
    page.get_by_label("Password").fill(account("viewer")["password"])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/e/development/")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.clearBrowserCache")
    weighed: list[int] = []
    session.on("Network.loadingFinished", lambda e: weighed.append(int(e["encodedDataLength"])))
    page.goto("/e/development/")
    page.wait_for_load_state("load")
    assert len(weighed) >= 6
    assert sum(weighed) <= 150_000


def test_g_then_o_leads_here(signed_in: Opened) -> None:
    page = signed_in("viewer")
    page.goto("/e/development/flags/")
    page.keyboard.press("g")
    page.keyboard.press("o")
    page.wait_for_url("**/e/development/")


def test_a_persons_sixth_page_says_why_it_is_not_live(signed_in: Opened) -> None:
    first = signed_in("reviewer")
    pages = [first] + [first.context.new_page() for _ in range(5)]
    for page in pages:
        page.goto("/e/development/flags/")
    for page in pages[:5]:
        live(page)
    expect(pages[5].locator("#live")).to_contain_text("Not live: 5 pages of yours are live")
