"""What the tests of the shipper stand on: writers of segments, databases that go away."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError

from routing.core import chain
from routing.decisions import shipper
from routing.decisions.models import Decision
from routing.decisions.segment import Segment
from routing.decisions.shipper import Shipper

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LIVE = "decision:p:live"
OTHER = "decision:p:dead"
_ids = itertools.count()


def decision(**more: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "kind": "decision",
        "id": f"d{next(_ids)}",
        "at": "2026-11-23T11:59:00.000000Z",
        "environment": "production",
        "operation": "standard",
        "intended": "mcp",
        "effective": "direct_bedrock",
        "reason": "fallback_error",
        "synthetic": False,
        "budget_ms": 30_000,
        "duration_us": 30_000_001,
        **more,
    }


class Writer:
    """One process's segment in `folder`."""

    def __init__(self, folder: Path, stream: str) -> None:
        _, name, boot = stream.split(":")
        log_id = os.urandom(32)
        self.stream = stream
        self.segment = Segment(folder / f"{name}-{boot}.seg", stream=stream, log_id=log_id)
        self.segment.append([{"v": 1, "kind": "opened", "log_id": log_id.hex()}])

    @property
    def path(self) -> Path:
        return self.segment.path

    def write(self, count: int) -> None:
        self.segment.append([decision() for _ in range(count)])

    def end(self) -> None:
        self.segment.append([{"v": 1, "kind": "closed", "by": "self"}])


def make(live: Writer) -> Shipper:
    return Shipper(live.path.parent, live=LIVE, synced=lambda: live.segment.seq)


def stored(stream: str = LIVE) -> list[int]:
    found = Decision.objects.filter(stream=stream).order_by("seq")
    return list(found.values_list("seq", flat=True))


def chain_holds(stream: str) -> bool:
    prev: bytes | None = None
    for row in Decision.objects.filter(stream=stream).order_by("seq").iterator():
        body, link = bytes(row.body), bytes(row.hash)
        if prev is not None and bytes(row.prev) != prev:
            return False
        if chain.link(stream, row.seq, bytes(row.prev), body) != link:
            return False
        prev = link
    return prev is not None


class Away:
    """A database that goes away at the `at`-th batch, before or after it has committed it."""

    def __init__(self, patch: pytest.MonkeyPatch, *, at: int) -> None:
        self.left = at
        self._real = shipper.insert
        patch.setattr(shipper, "insert", self)

    def __call__(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        self.left -= 1
        if self.left == 0:
            raise DatabaseError("away")
        return self._real(rows)


class Gone:
    """A database that takes nothing until it is back."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.back = False
        self._real = shipper.insert
        patch.setattr(shipper, "insert", self)

    def __call__(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        if not self.back:
            raise DatabaseError("away")
        return self._real(rows)
