"""Reading the pins: what was accepted, what is there now, how they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from routing.core import pinning
from routing.core.pinning import Difference, Drift, Listing, Pin
from routing.core.values import EnvironmentName
from routing.pins.models import ToolPin


@dataclass(frozen=True, slots=True, kw_only=True)
class PinRow:
    """One pin; `seen` is what its server listed when that last changed, `difference` from it."""

    environment: EnvironmentName
    target: str
    pin: Pin
    seen: Listing
    difference: Difference
    pinned_at: datetime
    pinned_by: str
    reason: str
    seen_at: datetime
    version: int


def pin(environment: EnvironmentName, target: str, tool: str) -> PinRow | None:
    """Return the pin of one configured tool, None before it was first seen."""
    found = ToolPin.objects.filter(environment_id=environment, target=target, tool=tool).first()
    return row_of(found) if found else None


def pins() -> tuple[PinRow, ...]:
    """Return every pin."""
    return tuple(map(row_of, ToolPin.objects.order_by("pk")))


def versions() -> Mapping[tuple[str, str, str], int]:
    """Return the version of every pin by environment, target and tool."""
    rows = ToolPin.objects.values_list("environment_id", "target", "tool", "version")
    return {(environment, target, tool): version for environment, target, tool, version in rows}


def row_of(found: ToolPin) -> PinRow:
    """Return a table row as a frozen one."""
    pinned = Pin(
        tool=found.tool,
        digest=found.digest,
        tools=json.loads(found.tools),
        contract=json.loads(found.contract),
        drift=Drift(found.drift),
    )
    seen = Listing(
        tool=found.tool,
        digest=found.seen_digest,
        tools=json.loads(found.seen_tools),
        count=found.seen_count,
        contract=json.loads(found.seen_contract),
    )
    return PinRow(
        environment=EnvironmentName(found.environment_id),
        target=found.target,
        pin=pinned,
        seen=seen,
        difference=pinning.compare(pinned, seen),
        pinned_at=found.pinned_at,
        pinned_by=found.pinned_by,
        reason=found.reason,
        seen_at=found.seen_at,
        version=found.version,
    )
