"""A real server and a real browser. Tests here stay synchronous: Playwright holds its own loop."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    sync_playwright,
)

from tests import needs
from tests.e2e import serving
from tests.e2e.serving import Server

CHROMIUM = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TELL_OF_POLICY = """
document.addEventListener("securitypolicyviolation", (event) => console.error(
  `policy violated: ${event.effectiveDirective} by ${event.blockedURI || "inline"}`));
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        item.add_marker(pytest.mark.needs("chromium"))
        if inspect.iscoroutinefunction(getattr(item, "function", None)):
            raise pytest.UsageError(
                f"{item.nodeid} is async; Playwright's loop forbids that here."
            )


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests of the package."""
    running = serving.start(tmp_path_factory.mktemp("home"))
    yield running
    serving.stop(running)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; Playwright ends with the package, and its loop with it."""
    options = [*CHROMIUM, "--no-sandbox"] if os.geteuid() == 0 else CHROMIUM
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=needs.chromium_path(), args=options, headless=True
        )
        yield running
        running.close()


@dataclass(kw_only=True)  # no slots: Playwright notes its wrapper of a method on the object
class Complaints:
    """What the pages complained of: console errors, script errors, policy, 5xx, foreign hosts."""

    home: str
    heard: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def allow(self, pattern: str) -> None:
        """Expect complaints that `pattern` is found in, such as the 422 of a refused form."""
        self.expected.append(pattern)

    def listen(self, context: BrowserContext) -> None:
        context.add_init_script(TELL_OF_POLICY)
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.heard.append(str(error.error)))
        context.on("request", lambda request: self._check_host(request.url))
        context.on("response", self._check_status)

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.heard.append(said.text)

    def _check_host(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.home).netloc:
            self.heard.append(f"request to another host: {url}")

    def _check_status(self, response: Response) -> None:
        if response.status >= 500:
            self.heard.append(f"{response.status} from {response.url}")

    def unexpected(self) -> list[str]:
        return [text for text in self.heard if not any(re.search(p, text) for p in self.expected)]


@pytest.fixture
def complaints(server: Server) -> Iterator[Complaints]:
    """Fail the test when a page complained of anything that it does not allow."""
    heard = Complaints(home=server.url)
    yield heard
    assert not heard.unexpected()


@pytest.fixture
def new_page(
    browser: Browser, server: Server, complaints: Complaints
) -> Iterator[Callable[..., Page]]:
    """A function that opens a page in a browser profile of its own; options as in Playwright."""
    contexts: list[BrowserContext] = []

    def opened(**options: Any) -> Page:
        context = browser.new_context(base_url=server.url, **options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        complaints.listen(context)
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="package")
def account(server: Server) -> Callable[[str], dict[str, Any]]:
    """A function that returns the account of a role in all environments, made on first use."""
    made: dict[str, dict[str, Any]] = {}

    def of(role: str) -> dict[str, Any]:
        if role not in made:
            who = ["--username", f"{role}-of-tests", "--reason", "browser tests"]
            [made[role]] = server.manage(
                "create_user", *who, "--role", role, "--environment", "all"
            )
        return made[role]

    return of


@pytest.fixture
def signed_in(
    new_page: Callable[..., Page], account: Callable[[str], dict[str, Any]]
) -> Callable[..., Page]:
    """A function that opens a page and signs in as a role, through the form."""

    def page_of(role: str, **options: Any) -> Page:
        who = account(role)
        page = new_page(**options)
        page.goto("/sign-in/")
        page.get_by_label("Username").fill(who["username"])
        page.get_by_label("Password").fill(who["password"])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(re.compile(r"(?!.*/sign-in/)"))
        return page

    return page_of
