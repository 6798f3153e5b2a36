"""When a flag looks left over: expired, or neither asked for nor changed for 30 days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from routing.core.flags import DECLARED, FlagName, leftover

NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)
LEVER = DECLARED[FlagName.CACHING]


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.mark.parametrize(
    ("changed", "asked", "words"),
    [
        (0, None, ""),
        (29, None, ""),
        (30, None, "never asked for"),
        (300, 0, ""),
        (300, 29.9, ""),
        (300, 30, "not asked for in 30 days"),
        (29, 300, ""),
    ],
)
def test_only_what_nobody_asked_for_nor_changed_lately(
    changed: float, asked: float | None, words: str
) -> None:
    asked_at = None if asked is None else ago(asked)
    found = leftover(LEVER, changed_at=ago(changed), asked_at=asked_at, now=NOW)
    assert found.startswith(words)
    assert bool(found) == bool(words)


@pytest.mark.parametrize(("day", "is_over"), [(1, False), (0, True), (-1, True)])
def test_it_expires_with_its_day(day: int, is_over: bool) -> None:
    until = replace(LEVER, expires=date(2026, 3, 31) + timedelta(days=day))
    found = leftover(until, changed_at=NOW, asked_at=NOW, now=NOW)
    assert found.startswith("expired on 2026-") == is_over
    assert bool(found) == is_over
