"""Pictures of the pages for the README: `make screenshots` keeps them, other runs drop them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from routing.core.values import Operation
from tests.e2e import serving
from tests.e2e.serving import Server

SignedIn = Callable[..., Page]
WIDTH, HEIGHT = 1280, 860
MOST_BYTES = 200_000
ASKS = 6  # for each operation
STAGING = ("--environment", "staging")
SUPPORT = ("--flag", "ENABLE_BEDROCK_SUPPORT_MODE")
PAGES = {
    "overview": ("/e/staging/", "#state-header"),
    "flags": ("/e/staging/flags/", "#flags-grid"),
    "routing": ("/e/staging/routing/", "#versions"),
    "breakers": ("/e/staging/breakers/", "#breaker-board"),
    "deployments": ("/e/development/deployments/", "#known"),
    "rollback": ("/e/staging/rollback/?target=mcp_only", "#before"),
    "audit": ("/e/staging/audit/", "#entries"),
    "approvals": ("/e/production/approvals/", "#open"),
    "settings": ("/e/staging/settings/", "#who"),
    "support": ("/e/staging/support/", "#support-state"),
}


@pytest.fixture(scope="module")
def lived_in(server: Server) -> Iterator[None]:
    """Leave something to be seen: requests, a change, a support session, a deployment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(server.env, "LOGNAME", "ada")  # who is at the shell
        why = ("--reason", "answers got slower")
        server.manage("set_flag", *STAGING, *SUPPORT, "--on", *why)
        server.manage("support", "activate", *STAGING, *why)
        override = ("standard", *STAGING, "--path", "direct_bedrock", "--minutes", "45", *why)
        server.manage("override", "set", *override)
        try:
            _live(server)
            yield
        finally:  # the server is shared: the tests behind these find it as it was
            server.manage("override", "end", "standard", *STAGING, "--reason", "quick again")
            server.manage("support", "deactivate", *STAGING, "--reason", "answers are quick again")
            server.manage("set_flag", *STAGING, *SUPPORT, "--off", "--reason", "no longer needed")


def _live(server: Server) -> None:
    [token] = server.manage(
        "create_token", *STAGING, "--role", "viewer", "--emergency",
        "--name", "night batch", "--reason", "night batch of the web shop",
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {token['secret']}"}
    with httpx2.Client(base_url=server.url, headers=headers, trust_env=False) as http:
        for number in range(ASKS):
            for operation in Operation:
                body = {"operation": str(operation), "prompt": f"Sum up order {number}."}
                assert http.post("/api/v1/route", json=body).status_code == 200
    # Other tests have changed flags of this server: the release takes them as they are.
    server.manage("deploy", "--environment", "development", "--adopt-flags", "--timeout", "60")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = os.environ.get("HYBRIDOPS_SCREENSHOTS") == "1"
    return serving.ROOT / "docs" / "images" if kept else tmp_path


@pytest.mark.usefixtures("lived_in")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_picture(signed_in: SignedIn, folder: Path, name: str, scheme: str) -> None:
    path, shown = PAGES[name]
    size = {"width": WIDTH, "height": HEIGHT}
    page = signed_in("admin", viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page.goto(path)
    expect(page.locator(shown)).to_be_visible()
    expect(page.get_by_text("Connecting")).to_have_count(0)
    picture = folder / f"{name}-{scheme}.png"
    page.screenshot(path=picture, animations="disabled", caret="hide")
    assert 10_000 < picture.stat().st_size < MOST_BYTES
