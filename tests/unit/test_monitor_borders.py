"""HybridHealthMonitor: what it probes, and what it leaves alone."""

from __future__ import annotations

from datetime import UTC, datetime

from routing.breakers.board import Board
from routing.core.flags import defaults
from routing.core.values import EnvironmentName, Health, Path
from routing.monitor import HybridHealthMonitor
from routing.paths.base import Probe
from routing.paths.scripted import ScriptedClient

PRODUCTION = EnvironmentName.PRODUCTION
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class Counting(ScriptedClient):
    """Counts its probes."""

    looks = 0

    async def probe(self) -> Probe:
        self.looks += 1
        return await super().probe()


async def test_a_path_that_breaks_the_residency_is_red_and_gets_no_probe() -> None:
    clients = {path: Counting(path=path) for path in Path}
    monitor = HybridHealthMonitor(
        client=lambda _, path: clients[path],
        breach=lambda _, path: "It runs in us-east-1." if path is Path.MCP else "",
        flags=lambda _: defaults(PRODUCTION),
        board=Board(),
        clock=lambda: NOW,
        interval_s=5,
    )
    found = {one.path: one for one in await monitor.round([PRODUCTION])}
    assert found[Path.MCP].judged.status is Health.UNHEALTHY
    assert found[Path.MCP].judged.why == ("It runs in us-east-1.",)
    assert found[Path.DIRECT_BEDROCK].judged.status is Health.HEALTHY
    assert [clients[path].looks for path in Path] == [1, 0]
