"""A date and time as a person says it, with the zone that it is meant in."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta, tzinfo

from routing.core import moments, plans
from routing.core.errors import Invalid
from routing.core.plans import Due

FIRST, SECOND = "first", "second"


def due(local: str, zone: str, which: str = "", *, grace: timedelta = plans.GRACE) -> Due | None:
    """Return when a change is to be made, None for now, which is said by no words.

    Raises what `moment` does.
    """
    if not local:
        return None
    return Due(due_at=moment(local, zone, which), local=local, zone=zone, grace=grace)


def moment(local: str, zone: str = "UTC", which: str = "") -> datetime:
    """Return the moment in UTC that `local` means in `zone`, an IANA name such as Europe/Berlin.

    `local` is a date and a time to the minute, as in 2027-03-28 14:30. Where clocks are put back
    it may come twice; then `which` says `first` or `second`. Raises Invalid for a time that is
    skipped, with both neighbours, for one that comes twice without `which`, and for other words.
    """
    said, place = _said(local), find(zone)
    found = moments.moments(said, place)
    if len(found) == 1:
        return found[0]
    if not found:
        raise _skipped(said, zone, place)
    if which not in (FIRST, SECOND):
        raise _twice(said, zone, found)
    return found[0] if which == FIRST else found[1]


def find(zone: str) -> tzinfo:
    """Return the zone of that IANA name; raises Invalid."""
    if zone == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(
            f"{zone[:64]!r} is no time zone that this machine knows. Write UTC or a name such as "
            "Europe/Berlin; names of zones come from the system package tzdata.",
            field="zone",
        ) from None


def names() -> tuple[str, ...]:
    """Return the zones that this machine knows, UTC first."""
    return ("UTC", *sorted(name for name in zoneinfo.available_timezones() if "/" in name))


def words(at: datetime, zone: str) -> str:
    """Return `at` as a clock in `zone` shows it, with the zone and, elsewhere, the time in UTC."""
    if zone in ("", "UTC"):
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    shown = at.astimezone(find(zone))
    return f"{shown:%Y-%m-%d %H:%M} {zone} ({at.astimezone(UTC):%H:%M} UTC)"


def _said(local: str) -> datetime:
    text = local.strip()
    try:
        said = datetime.fromisoformat(text) if ":" in text else None
    except ValueError:
        said = None
    if said is None or said.tzinfo is not None or said.second or said.microsecond:
        raise Invalid(
            f"{local[:40]!r} is no date and time to the minute; write it as in 2027-03-28 14:30, "
            "and the zone apart from it.",
            field="at",
        )
    return said


def _skipped(said: datetime, zone: str, place: tzinfo) -> Invalid:
    before, after = moments.neighbours(said, place)
    earlier, later = moments.shown(before, place), moments.shown(after, place)
    return Invalid(
        f"{said:%Y-%m-%d %H:%M} does not exist in {zone}: the clocks jump from "
        f"{earlier:%H:%M} to {later:%H:%M}. Choose {earlier:%Y-%m-%d %H:%M} "
        f"({before:%H:%M} UTC) or {later:%Y-%m-%d %H:%M} ({after:%H:%M} UTC).",
        field="at",
        neighbours=[f"{earlier:%Y-%m-%dT%H:%M}", f"{later:%Y-%m-%dT%H:%M}"],
    )


def _twice(said: datetime, zone: str, found: tuple[datetime, ...]) -> Invalid:
    first, second = found
    return Invalid(
        f"{said:%Y-%m-%d %H:%M} comes twice in {zone}, for the clocks are put back: first at "
        f"{first:%H:%M} UTC, again at {second:%H:%M} UTC. Say which one: first or second.",
        field="which",
        moments=[first.isoformat(), second.isoformat()],
    )
