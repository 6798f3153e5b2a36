"""Run by test_run alone."""

from __future__ import annotations


def test_fails() -> None:
    raise AssertionError("as wanted")
