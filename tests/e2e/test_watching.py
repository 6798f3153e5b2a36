"""The watch over pages hears what it is there for; otherwise silence would prove nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Complaints

STRICT = "default-src 'none'; script-src 'self'"
PAGES = {
    "console error": ("<script>console.error('wrong here')</script>", "wrong here", ""),
    "script error": ("<script>throw new Error('thrown here')</script>", "thrown here", ""),
    "broken policy": ("<script>var inline = 1</script>", "policy violated: script-src", STRICT),
    "foreign host": ("<img src='http://other.invalid/x.png'>", "another host", ""),
    "server error": ("<img src='/broken.png'>", "500 from", ""),
}


@pytest.mark.parametrize("name", PAGES)
def test_hears_a(name: str, new_page: Callable[..., Page], complaints: Complaints) -> None:
    body, expected, policy = PAGES[name]
    headers = {"Content-Security-Policy": policy} if policy else {}
    page = new_page()
    page.route("**/broken.png", lambda route: route.fulfill(status=500))
    page.route("http://other.invalid/**", lambda route: route.fulfill(status=200))
    page.route(
        "**/made-up/",
        lambda route: route.fulfill(content_type="text/html", body=body, headers=headers),
    )
    page.goto("/made-up/")
    page.wait_for_load_state("load")
    heard = [text for text in complaints.heard if expected in text]
    complaints.allow("")
    assert heard, complaints.heard


def test_keeps_quiet_about_a_page_that_is_well(
    new_page: Callable[..., Page], complaints: Complaints
) -> None:
    new_page().goto("/sign-in/")
    assert complaints.heard == []
