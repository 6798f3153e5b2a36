"""A hasher that counts its work: equal work is what can be asserted, equal time is not."""

from __future__ import annotations

from typing import ClassVar

from tests.hashers import QuickPBKDF2


class CountingPBKDF2(QuickPBKDF2):
    """PBKDF2 that counts how often a password was put through it."""

    work: ClassVar[list[int]] = []

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        self.work.append(iterations or self.iterations)
        return super().encode(password, salt, iterations)
