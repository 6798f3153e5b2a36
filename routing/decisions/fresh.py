"""What the last records say, in the memory of the process that wrote them.

Whoever copies them into the database reads their bytes from the disk, and need not parse them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 2_000  # about a second of full load; what is written beyond it is parsed
# What a row's columns follow from, and what is added up.
SAID = (
    *("kind", "at", "id", "environment", "operation", "intended", "effective", "reason"),
    *("synthetic", "duration_us", "budget_ms", "tenant", "usage", "cost"),
)


class Fresh:
    """By number, until they are taken. The writer notes, the shipper takes: on two threads."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[bytes, dict[str, Any]]] = {}

    def note(self, seq: int, link: bytes, body: Mapping[str, Any]) -> None:
        """Keep what record `seq` says, which is on disk with that link."""
        if len(self._kept) < MOST:  # the oldest are taken first, so the newest have to wait
            self._kept[seq] = (link, {name: body[name] for name in SAID if name in body})

    def take(self, seq: int, link: bytes) -> dict[str, Any] | None:
        """Return what record `seq` says, once; None for one that is not known by that link."""
        kept = self._kept.pop(seq, None)
        return kept[1] if kept is not None and kept[0] == link else None
