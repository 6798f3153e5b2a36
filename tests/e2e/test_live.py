"""Live parts in a real browser: what changed is pushed alone, a frame that got lost is missed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, WebSocketRoute, expect

from tests.e2e.test_flags_page import CACHING, state, switch

SignedIn = Callable[..., Page]
PART = "flags_grid"


def test_changed_lines_mend_the_page_and_a_lost_frame_is_fetched(signed_in: SignedIn) -> None:
    presser, watcher = signed_in("operator"), signed_in("admin")
    pushed: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    losing: list[bool] = []

    def carry(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(said: str | bytes) -> None:
            frame = json.loads(said)
            if frame["topic"] == PART:
                (lost if losing else pushed).append(frame)
            if frame["topic"] != PART or not losing:
                socket.send(said)

        server.on_message(pass_on)

    watcher.route_web_socket("**/ws/e/**", carry)
    for page in (watcher, presser):
        page.goto("/e/development/flags/")
    expect(watcher.locator("#live")).to_have_attribute("data-link", "live")
    for _ in range(2):
        expect(state(watcher, CACHING)).to_have_text(switch(presser, CACHING))
    assert "html" in pushed[0]
    assert "lines" in pushed[-1]
    losing.append(True)
    expect(state(watcher, CACHING)).to_have_text(switch(presser, CACHING))
    assert lost, "the heartbeat told of it"
    losing.clear()
    expect(state(watcher, CACHING)).to_have_text(switch(presser, CACHING))
    assert pushed[-1]["seq"] == lost[-1]["seq"] + 1
    assert "html" not in pushed[-1], "what it mends was lost, so the page fetched the part"
