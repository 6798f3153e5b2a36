"""An override in the sentence of state: told as an effect, never as a fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from routing.core import situation
from routing.core.decision import Override
from routing.core.situation import Facts
from routing.core.values import Health, Operation, Path
from tests.unit.core.test_situation import DIRECT, MCP, NOW, facts

ENDS_US = int(NOW.timestamp() * 1_000_000) + 1


def overridden(path: Path, **health: Any) -> Facts:
    told = facts(**health)
    over = Override(operation=Operation.STANDARD, path=path, ends_us=ENDS_US)
    return replace(told, state=replace(told.state, overrides=(over,)))


def test_whom_an_override_sends_elsewhere_is_where_somebody_wants_it() -> None:
    told = situation.sentence(overridden(DIRECT))
    assert told.level is Health.HEALTHY
    assert "standard is served by direct_bedrock instead of mcp (override)." in told.effects


def test_one_that_is_over_is_not_told() -> None:
    over = overridden(DIRECT)
    later = replace(over, now=NOW.replace(second=1))
    assert not any("standard is served" in effect for effect in situation.sentence(later).effects)


def test_a_path_that_is_down_is_told_all_the_same() -> None:
    told = situation.sentence(overridden(MCP, mcp=Health.UNHEALTHY))
    assert told.level is Health.UNHEALTHY and told.text.startswith("mcp is unhealthy")
