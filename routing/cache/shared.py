"""The answers that processes share through Redis, sealed with a key that Redis does not have.

Whoever reads Redis learns no answer, and whoever writes there cannot make one up: what does not
open is no answer. Redis is never waited for longer than a moment; after an error it is left alone
for some seconds, and every question is a miss.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)
WITHIN_S = 0.05
LEAVE_ALONE_S = 5.0
PREFIX = b"hybridops:answer:"
_NONCE = 12


class Shared:
    """One Redis; `secret` is the installation's, the same in all of its processes."""

    def __init__(
        self, redis: Redis, secret: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._seal = AESGCM(hashlib.sha256(b"hybridops-cache-seal/1" + secret.encode()).digest())
        self._clock = clock
        self._again_at = float("-inf")

    @classmethod
    def at(cls, url: str, secret: str) -> Shared:
        """Return the store behind a Redis URL; no connection is made yet."""
        return cls(Redis.from_url(url, socket_connect_timeout=WITHIN_S), secret)

    async def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`; None also where Redis is away or holds what is not ours."""
        if self._clock() < self._again_at:
            return None
        try:
            async with asyncio.timeout(WITHIN_S):
                sealed: Any = await self._redis.get(PREFIX + key)
        except (TimeoutError, RedisError, OSError) as error:
            self._leave(error)
            return None
        return self._open(key, sealed) if sealed else None

    async def put(self, key: bytes, value: bytes, ttl_s: int) -> None:
        """Keep `value` for `ttl_s` seconds, if Redis takes it."""
        if self._clock() < self._again_at:
            return
        nonce = secrets.token_bytes(_NONCE)
        sealed = nonce + self._seal.encrypt(nonce, value, key)
        try:
            async with asyncio.timeout(WITHIN_S):
                await self._redis.set(PREFIX + key, sealed, ex=ttl_s)
        except (TimeoutError, RedisError, OSError) as error:
            self._leave(error)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _open(self, key: bytes, sealed: bytes) -> bytes | None:
        try:
            return self._seal.decrypt(sealed[:_NONCE], sealed[_NONCE:], key)
        except (InvalidTag, ValueError):
            log.warning("Redis held an answer that this installation did not write; left out.")
            return None

    def _leave(self, error: Exception) -> None:
        self._again_at = self._clock() + LEAVE_ALONE_S
        log.warning("Redis keeps no answers for %.0f s: %r", LEAVE_ALONE_S, error)
