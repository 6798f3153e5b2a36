"""A time that a clock on the wall shows, as a moment: once, twice, or never in its zone.

Where clocks are put back, an hour (or a half) comes twice; where they are put forward, it never
comes. Nothing is guessed for either.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

MINUTE = timedelta(minutes=1)


def moments(local: datetime, zone: tzinfo) -> tuple[datetime, ...]:
    """Return every moment in UTC at which a clock in `zone` shows `local`, the earliest first.

    `local` carries no zone. Of a time that is skipped there is none.
    """
    readings = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return tuple(sorted(at for at in readings if shown(at, zone) == local))


def neighbours(local: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return the last minute before the gap that `local` lies in, and the first after it, in UTC.

    `local` is a time for which `moments` found none.
    """
    readings = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    before, after = min(readings), max(readings)
    # The clock shows less than `local` at the one and more at the other; it jumps in between.
    while after - before > MINUTE:
        middle = before + (after - before) // 2
        middle = middle.replace(second=0, microsecond=0)
        if middle <= before:
            middle = before + MINUTE
        before, after = (middle, after) if shown(middle, zone) < local else (before, middle)
    return before, after


def shown(at: datetime, zone: tzinfo) -> datetime:
    """Return what a clock in `zone` shows at the moment `at`, without its zone."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)
