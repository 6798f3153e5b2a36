"""The rungs of a probe: which are climbed, what they cost, and that nothing more is spent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from routing.core.settings import BedrockTransport
from routing.paths import bedrock_purse
from routing.paths.base import Stage
from routing.paths.bedrock import DirectBedrockClient
from tests.verified_fakes import asked, hostile
from tests.verified_fakes.asked import MODEL
from tests.verified_fakes.hostile import reply
from tests.verified_fakes.recorder import COUNT
from tests.verified_fakes.standin import StandIn
from tests.verified_fakes.test_direct_bedrock_client import connect

FREE = ["credentials", "count_tokens"]
PAID = [*FREE, "converse"]


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 29, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def paying(
    url: str, transport: BedrockTransport, folder: Path, clock: Clock, usd_per_day: float
) -> DirectBedrockClient:
    price = {"input_usd_per_million": 3, "output_usd_per_million": 15, "source": "a page"}
    thresholds: dict[str, Any] = {
        bedrock_purse.CAP: usd_per_day,
        bedrock_purse.PRICES: {MODEL: price},
    }
    purse = bedrock_purse.purse(thresholds, MODEL, folder / "cost.json")
    return connect(lambda: url, transport, purse=purse, clock=clock)


async def climbed(client: DirectBedrockClient) -> list[Stage]:
    probe = await client.probe()
    assert probe.ok, probe
    return list(probe.stages)


async def test_nothing_is_paid_unless_a_cap_says_so(
    bedrock: StandIn, transport: BedrockTransport
) -> None:
    client, before = connect(bedrock.url, transport), asked.mark(bedrock)
    stages = await climbed(client)
    assert [(stage.name, stage.cost_microusd) for stage in stages] == [(n, 0) for n in FREE]
    assert [seen["kind"] for seen in before.since()] == ["count_tokens"]
    await client.close()


async def test_the_paid_rung_is_climbed_every_five_minutes_under_the_cap(
    bedrock: StandIn, transport: BedrockTransport, tmp_path: Path
) -> None:
    clock = Clock()
    # One word in at 3, one out at 15 millionths of a dollar: 18 each, so 40 pays for two a day.
    client = paying(bedrock.url(), transport, tmp_path, clock, 0.00004)
    before = asked.mark(bedrock)
    found = []
    for seconds in (0, 5, 295, 300, 300, 86_400):
        clock.wait(seconds)
        found.append(await climbed(client))
    names = [[stage.name for stage in stages] for stages in found]
    assert names == [PAID, FREE, PAID, FREE, FREE, PAID]
    assert [stages[-1].cost_microusd for stages in found] == [18, 0, 18, 0, 0, 18]
    assert len(before.since("converse")) == 3
    await client.close()


async def test_a_paid_rung_that_fails_is_red_and_counts_as_paid(
    transport: BedrockTransport, tmp_path: Path
) -> None:
    async def refuse(request: hostile.Request, writer: Any) -> None:
        free = request.path.endswith("count-tokens")
        writer.write(COUNT if free else reply(403, {}, x_amzn_errortype="AccessDeniedException"))

    clock = Clock()
    async with hostile.serving(refuse) as server:
        client = paying(server.url, transport, tmp_path, clock, 1)
        probe = await client.probe()
        assert not probe.ok
        assert [(stage.name, stage.ok) for stage in probe.stages][-1] == ("converse", False)
        assert probe.stages[-1].cost_microusd == 18
        assert "AccessDenied" in probe.stages[-1].detail
        assert [stage.name for stage in await climbed(client)] == FREE  # not again at once
        await client.close()


@pytest.mark.parametrize("said", [{}, {"inputTokens": -1}])
async def test_a_count_that_counts_nothing_fails_its_rung(
    transport: BedrockTransport, said: dict[str, Any], tmp_path: Path
) -> None:
    async with hostile.serving(hostile.saying(reply(200, said))) as server:
        client = paying(server.url, transport, tmp_path, Clock(), 1)
        probe = await client.probe()
        assert [(stage.name, stage.ok) for stage in probe.stages] == [
            ("credentials", True),
            ("count_tokens", False),
        ]
        assert not (tmp_path / "cost.json").exists()
        await client.close()
