"""A person signs in through the form, and meets the dashboard instead of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from routing.core.values import Role
from tests.e2e.conftest import Complaints


@pytest.mark.parametrize("role", Role)
def test_each_role_gets_in(role: Role, signed_in: Callable[..., Page]) -> None:
    page = signed_in(role)
    page.goto("/")
    expect(page.get_by_label("Password")).to_have_count(0)


def test_a_wrong_password_does_not(new_page: Callable[..., Page], complaints: Complaints) -> None:
    complaints.allow(r"status of 4\d\d")
    page = new_page()
    page.goto("/sign-in/")
    page.get_by_label("Username").fill("nobody-at-all")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto("/")
    expect(page.get_by_label("Password")).to_be_visible()
