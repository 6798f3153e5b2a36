"""Pins by compare-and-set inside the caller's transaction; `changes` books and announces."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F

from routing.core import pinning
from routing.core.errors import Stale
from routing.core.pinning import Drift, Listing, Pin
from routing.core.values import EnvironmentName
from routing.pins.models import ToolPin
from routing.pins.queries import PinRow, row_of


def lay(
    environment: EnvironmentName, target: str, pin: Pin, *, by: str, now: datetime
) -> tuple[PinRow, bool]:
    """Keep what was seen first; return the row that is there, and whether it is this one."""
    seen = Listing(
        tool=pin.tool, digest=pin.digest, tools=pin.tools, count=1, contract=pin.contract
    )
    found, created = ToolPin.objects.get_or_create(
        environment_id=environment,
        target=target,
        tool=pin.tool,
        defaults=_pinned(pin) | _seen(seen, now) | {"pinned_at": now, "pinned_by": by},
    )
    return row_of(found), created


def see(row: PinRow, seen: Listing, drift: Drift, *, now: datetime) -> bool:
    """Keep what is there now; return False and change nothing if `row` is not the newest."""
    return _swap(row, **_seen(seen, now), drift=str(drift))


def accept(row: PinRow, pin: Pin, *, by: str, now: datetime, reason: str) -> None:
    """Make what is there the pin; raises Stale if `row` is not the newest any more."""
    done = _swap(
        row,
        **_pinned(pin),
        pinned_at=now,
        pinned_by=by,
        reason=reason,
        drift=str(Drift.NONE),
    )
    if not done:
        raise Stale(
            f"The pin of {row.pin.tool} in {row.environment} changed meanwhile; look at it again.",
            current=row.seen.digest,
        )


def _swap(row: PinRow, **columns: Any) -> bool:
    kept = ToolPin.objects.filter(
        environment_id=row.environment,
        target=row.target,
        tool=row.pin.tool,
        version=row.version,
    )
    return bool(kept.update(version=F("version") + 1, **columns))


def _pinned(pin: Pin) -> dict[str, Any]:
    return {
        "digest": pin.digest,
        "tools": _text(pin.tools),
        "contract": _text(pin.contract),
    }


def _seen(seen: Listing, now: datetime) -> dict[str, Any]:
    return {
        "seen_digest": seen.digest,
        "seen_tools": _text(seen.tools),
        "seen_contract": _text(seen.contract),
        "seen_count": seen.count,
        "seen_at": now,
    }


def _text(value: Any) -> str:
    return pinning.canonical(value).decode()
