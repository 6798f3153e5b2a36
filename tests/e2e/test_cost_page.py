"""The Cost page in a real browser over real requests: unknown, priced, limited, refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Complaints
from tests.e2e.serving import Server

SignedIn = Callable[..., Page]
PAGE = "/e/staging/cost/"
WHERE = ("--environment", "staging")
WHY = "as the contract says"
TENANT, MODEL = "cost-tests", "local-model"
MOST_S = 30.0
LIMIT = ("--period", "day", "--unit", "tokens", "--tenant", TENANT)


@pytest.fixture(scope="module")
def door(server: Server) -> Iterator[httpx2.Client]:
    """A caller of a tenant of its own; the shared server knows no price and limit afterwards."""
    [token] = server.manage(
        "create_token", *WHERE, "--role", "viewer", "--emergency", "--name", "cost",
        "--tenant", TENANT, "--reason", WHY,
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {token['secret']}"}
    with httpx2.Client(base_url=server.url, headers=headers, trust_env=False) as http:
        yield http
    left = server.manage("cost", "show", *WHERE)[0]
    if left["limits"]:
        server.manage("cost", "limit", *WHERE, *LIMIT, "--remove", "--reason", WHY)
    for model in left["prices"]:
        why = ("--remove", "--confirm", "--reason", WHY)
        server.manage("cost", "price", *WHERE, "--model", model, *why)


def ask(door: httpx2.Client, operation: str = "infrastructure") -> httpx2.Response:
    return door.post("/api/v1/route", json={"operation": operation, "prompt": "How are we?"})


def ask_until_refused(door: httpx2.Client) -> httpx2.Response:
    """Ask until the process has read the limit, which takes it a second or two."""
    deadline = time.monotonic() + MOST_S
    while (answer := ask(door)).status_code == 200 and time.monotonic() < deadline:
        pass
    return answer


def fill(page: Page, form: str, **words: str) -> None:
    for name, word in words.items():
        page.locator(f"#{form}-{name}").fill(word)


@pytest.mark.timeout(240)  # two sign-ins and four commands, each a process of its own
def test_a_price_and_a_limit_are_set_and_obeyed_while_another_window_watches(
    signed_in: SignedIn, server: Server, door: httpx2.Client, complaints: Complaints
) -> None:
    complaints.allow("409")
    assert ask(door).status_code == 200
    admin, viewer = signed_in("admin"), signed_in("viewer")
    admin.goto(PAGE)
    viewer.goto(PAGE)
    expect(viewer.locator("#cost-board")).to_contain_text("no price is set", timeout=20_000)
    expect(viewer.get_by_role("button", name="Set the price")).to_have_count(0)

    fill(admin, "price", model=MODEL, input="3", output="15", currency="EUR", reason=WHY)
    admin.get_by_role("button", name="Set the price").click()
    expect(admin.locator("#notice")).to_contain_text("The price is set in staging.")
    expect(viewer.locator("#cost-board")).to_contain_text("15.00 EUR", timeout=20_000)

    admin.locator("#limit-unit").select_option("tokens")
    fill(admin, "limit", tenant=TENANT, most="20", reason=WHY)
    admin.get_by_label("Refuse requests once it is spent").check()
    admin.get_by_role("button", name="Set the limit").click()
    expect(admin.locator("#cost-levers")).to_contain_text("are spent already")
    expect(admin.locator("#limit-tenant")).to_have_value(TENANT)
    admin.get_by_label("I know what changes").check()
    admin.get_by_role("button", name="Set the limit").click()
    expect(viewer.locator("#cost-board")).to_contain_text(
        "spent, requests refused", timeout=20_000
    )

    viewer.goto("/e/staging/")
    expect(viewer.locator("#open-items")).to_contain_text(
        f"The budget of tenant {TENANT} is spent"
    )
    refused = ask_until_refused(door)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "refused_budget")
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert ask(door, "emergency").status_code == 200
    booked = server.manage("cost", "show", *WHERE)[0]
    assert booked["limits"][0]["stops"] is True


def test_works_without_scripts(signed_in: SignedIn) -> None:
    page = signed_in("admin", java_script_enabled=False)
    page.goto(PAGE)
    fill(page, "limit", most="1000000", tenant="plain", reason=WHY)
    page.locator("#limit-unit").select_option("tokens")
    page.get_by_role("button", name="Set the limit").click()
    expect(page.locator("#notice")).to_contain_text("The limit is set in staging.")
    fill(page, "limit", tenant="plain", reason=WHY)
    page.locator("#limit-unit").select_option("tokens")
    page.get_by_role("button", name="Remove the limit").click()
    expect(page.locator("#notice")).to_contain_text("The limit is removed in staging.")


def test_nothing_sticks_out_at_360_pixels(signed_in: SignedIn) -> None:
    page = signed_in("admin", viewport={"width": 360, "height": 740})
    for place in ("staging", "production"):
        page.goto(f"/e/{place}/cost/")
        expect(page.locator("#cost-board")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
