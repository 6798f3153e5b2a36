"""Run by test_run alone: one that passes, one that needs a browser."""

from __future__ import annotations

import pytest


def test_passes() -> None:
    pass


@pytest.mark.needs("chromium")
def test_needs_a_browser() -> None:
    pass
