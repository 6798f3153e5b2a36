"""The answers that this process keeps: bounded in bytes, the longest unused goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

MOST_BYTES = 64 * 1024 * 1024
LARGEST = 256 * 1024  # one answer; a larger one would push out too many others
OVERHEAD = 200  # bytes an entry costs beside its value, about


class Memory:
    """Belongs to one event loop; `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float], *, most_bytes: int = MOST_BYTES) -> None:
        self._clock = clock
        self._most = most_bytes
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key` while it lasts."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found[1]

    def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Keep `value` for `ttl_s`; one that is too large is left out."""
        self._drop(key)
        if ttl_s <= 0 or len(value) > LARGEST:
            return
        self._kept[key] = (self._clock() + ttl_s, value)
        self.bytes += len(value) + OVERHEAD
        while self.bytes > self._most:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self.bytes -= len(found[1]) + OVERHEAD
