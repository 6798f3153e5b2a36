"""Since when a way is closed: told by what closed it, or not at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from routing.core import situation
from routing.core.decision import PathFacts
from routing.core.flags import FlagName
from routing.core.situation import Facts
from routing.core.values import Breaker, Health
from tests.unit.core.test_situation import MCP, PROD, SINCE, facts

LAID = SINCE - timedelta(minutes=3)
OPENED = SINCE + timedelta(minutes=4)


def broken(**more: Any) -> Facts:
    """mcp with an open breaker that its judgement does not show yet; the fallback never on."""
    base = facts(mcp=Health.DEGRADED, flags_since=dict.fromkeys(FlagName, LAID), **more)
    shut = PathFacts(breaker=Breaker.OPEN)
    return replace(base, state=replace(base.state, paths={**base.state.paths, MCP: shut}))


def test_what_a_breaker_closed_has_no_path_since_the_breaker_opened() -> None:
    told = situation.sentence(broken(shut_since={MCP: OPENED}))
    assert told.since == OPENED
    assert told.text == (
        "kiro_communication, standard and background_tasks have no path in development "
        "since 14:06 UTC"
    )


def test_a_breaker_that_nobody_timed_gives_no_time() -> None:
    told = situation.sentence(broken())
    assert told.since is None
    assert told.text.endswith("have no path in development")


def test_of_two_ways_the_one_closed_last_gives_the_time() -> None:
    switched = broken(shut_since={MCP: OPENED})
    later = OPENED + timedelta(minutes=2)
    since = {**switched.flags_since, FlagName.DIRECT_FALLBACK: later}
    assert situation.sentence(replace(switched, flags_since=since)).since == later


def test_what_health_moved_is_off_its_path_since_the_path_was_so() -> None:
    moved = facts(
        mcp=Health.MAINTENANCE, environment=PROD, flags_since={flag: LAID for flag in FlagName}
    )
    told = situation.sentence(moved)
    assert told.text.endswith("run off their intended path in production since 14:02 UTC")


def test_a_cause_is_looked_for_just_before() -> None:
    first, last = situation.began_after(SINCE)
    assert SINCE - first == timedelta(minutes=30)
    assert timedelta(0) < last - SINCE < timedelta(seconds=2), "what came later is no cause"
