"""A thousand requests through the machine door of a real server, mcp failing half the time."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx2
import pytest

from routing.core.values import Operation
from tests.chaos import oracle
from tests.chaos.oracle import MCP, Asked
from tests.e2e import serving
from tests.e2e.serving import Server

COUNT, AT_ONCE = 1000, 16
PLACES = ("development", "production")
TOKENS_EACH = 2  # so that the door's rate limit per token is not what is measured


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    running = serving.start(tmp_path)
    yield running
    serving.kill(running)


def test_a_thousand_requests_through_the_door_while_mcp_fails_half_the_time(
    server: Server, seed: int
) -> None:
    tokens = {place: [_token(server, place) for _ in range(TOKENS_EACH)] for place in PLACES}
    server.manage(
        "upstream", "mcp", "fault", "--kind", "error", "--status", "503", "--share", "0.5",
        "--seconds", "300",
    )  # fmt: skip
    asked = asyncio.run(_run(server.url, tokens, random.Random(seed)))
    serving.stop(server)
    said = Counter(ask.status for ask in asked)
    sys.stdout.write(f"seed {seed}: {said[200]} answered, {said[503]} refused with 503\n")
    assert said[200] + said[503] == len(asked) == COUNT
    assert said[503] > 0, "else the fault never struck where no path is left"
    assert oracle.problems(asked, _met(server.home), _booked(server.home), MCP) == []
    assert _without_path(asked) == said[503]


def _without_path(asked: Sequence[Asked]) -> int:
    """Count the refused ones that had no other path: all of the refused, if the door is right."""
    return sum(
        1
        for ask in asked
        if ask.status == 503 and not oracle.has_fallback(ask.environment, ask.operation)
    )


def _token(server: Server, environment: str) -> str:
    (made,) = server.manage(
        *("create_token", "--environment", environment, "--role", "operator", "--emergency"),
        *("--reason", "the door sample"),
    )
    return str(made["secret"])


async def _run(url: str, tokens: Mapping[str, Sequence[str]], rng: random.Random) -> list[Asked]:
    asks = iter(
        [
            (rng.choice(PLACES), str(rng.choice(list(Operation))), rng.randrange(TOKENS_EACH))
            for _ in range(COUNT)
        ]
    )
    seen: list[Asked] = []
    async with httpx2.AsyncClient(base_url=url, timeout=90, trust_env=False) as http:

        async def caller() -> None:
            for place, operation, which in asks:
                seen.append(await _ask(http, place, operation, tokens[place][which]))

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
    return seen


async def _ask(http: httpx2.AsyncClient, place: str, operation: str, secret: str) -> Asked:
    reply = await http.post(
        "/api/v1/route",
        headers={"Authorization": f"Bearer {secret}"},
        json={"operation": operation, "prompt": f"say that {operation} works"},
    )
    body = reply.json()
    retry = reply.headers.get("retry-after")
    return Asked(
        environment=place,
        operation=operation,
        decision_id=body.get("decision_id", ""),
        status=reply.status_code,
        code=body.get("error", {}).get("code", ""),
        retry_after_s=int(retry) if retry else None,
    )


def _met(home: Path) -> dict[str, list[oracle.Met]]:
    """Return what the other sides booked; a probe's harmless call carries no decision."""
    return {name: calls for name, calls in oracle.journals([home]).items() if name}


def _booked(home: Path) -> list[dict[str, object]]:
    (segment,) = [
        *(home / "segments").glob("*.seg"),
        *(home / "segments").glob("*.shipped"),
    ]
    process, _, boot = segment.stem.rpartition("-")
    return oracle.decisions(segment, f"decision:{process}:{boot}")
