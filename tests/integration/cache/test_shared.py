"""Answers in a real Redis: shared, sealed, and no trouble while it is away."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from routing.cache.shared import LEAVE_ALONE_S, PREFIX, Shared
from tests import needs

SECRET = "a secret of this installation"


@pytest.fixture
async def redis() -> AsyncIterator[Any]:
    client: Any = Redis.from_url(needs.REDIS_URL)
    yield client
    await client.aclose()


def key() -> bytes:
    return secrets.token_bytes(32)


@pytest.mark.needs("redis")
class TestInRedis:
    async def test_another_process_finds_what_one_kept(self, redis: Any) -> None:
        one, other, mine = Shared(redis, SECRET), Shared(redis, SECRET), key()
        await one.put(mine, b"an answer", 60)
        assert await other.get(mine) == b"an answer"
        assert 0 < await redis.ttl(PREFIX + mine) <= 60

    async def test_redis_never_holds_the_words(self, redis: Any) -> None:
        mine = key()
        await Shared(redis, SECRET).put(mine, b"an answer", 60)
        assert b"answer" not in await redis.get(PREFIX + mine)

    async def test_what_others_wrote_is_no_answer(self, redis: Any) -> None:
        mine, other = key(), key()
        shared = Shared(redis, SECRET)
        await shared.put(mine, b"an answer", 60)
        sealed = await redis.get(PREFIX + mine)
        await redis.set(PREFIX + other, sealed, ex=60)  # moved to another question
        assert await shared.get(other) is None
        await redis.set(PREFIX + mine, sealed[:-1] + bytes([sealed[-1] ^ 1]), ex=60)
        assert await shared.get(mine) is None
        await redis.set(PREFIX + mine, b"x", ex=60)
        assert await shared.get(mine) is None
        await Shared(redis, "another secret").put(mine, b"an answer", 60)
        assert await shared.get(mine) is None

    async def test_a_value_ends_with_its_term(self, redis: Any) -> None:
        mine = key()
        await Shared(redis, SECRET).put(mine, b"an answer", 60)
        await redis.pexpire(PREFIX + mine, 1)
        deadline = time.monotonic() + 5
        while await redis.exists(PREFIX + mine):
            assert time.monotonic() < deadline
        assert await Shared(redis, SECRET).get(mine) is None


async def test_while_redis_is_away_every_question_is_a_miss_at_once() -> None:
    now = [0.0]
    away = Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=0.05)
    shared = Shared(away, SECRET, clock=lambda: now[0])
    began = time.monotonic()
    for _ in range(200):
        assert await shared.get(key()) is None
        await shared.put(key(), b"an answer", 60)
    assert time.monotonic() - began < 1.0  # asked once, then left alone
    now[0] = LEAVE_ALONE_S
    assert await shared.get(key()) is None
    await shared.close()
