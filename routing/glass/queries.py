"""Broken glass as people read it, and as everything that asks whether it holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from routing.core.errors import NotFound
from routing.core.values import EnvironmentName
from routing.glass.models import BrokenGlass


@dataclass(frozen=True, slots=True, kw_only=True)
class GlassRow:
    """One time of break-glass; `ended_at` None until its end is booked."""

    id: int
    environment: EnvironmentName
    broken_at: datetime
    broken_by: str
    reason: str
    ends_at: datetime
    ended_at: datetime | None
    ended_by: str
    reviewed_at: datetime | None
    reviewed_by: str
    review: str

    def holds(self, now: datetime) -> bool:
        """Tell whether it holds at `now`; nobody waits for the booking of its end."""
        return self.ended_at is None and self.broken_at <= now < self.ends_at


def active(environment: EnvironmentName, now: datetime) -> GlassRow | None:
    """Return the break-glass that holds in `environment` at `now`, None without one."""
    kept = BrokenGlass.objects.filter(
        environment_id=environment, ended_at=None, broken_at__lte=now, ends_at__gt=now
    ).first()
    return row(kept) if kept else None


def unreviewed(environment: EnvironmentName) -> tuple[GlassRow, ...]:
    """Return those whose review is open, the oldest first."""
    kept = BrokenGlass.objects.filter(environment_id=environment, reviewed_at=None)
    return tuple(map(row, kept.order_by("broken_at", "pk")))


def latest(environment: EnvironmentName, n: int = 10) -> tuple[GlassRow, ...]:
    """Return the last `n`, the newest first."""
    kept = BrokenGlass.objects.filter(environment_id=environment)
    return tuple(map(row, kept.order_by("-broken_at", "-pk")[:n]))


def one(environment: EnvironmentName, id: int) -> GlassRow:
    """Return one; raises NotFound."""
    kept = BrokenGlass.objects.filter(environment_id=environment, pk=id).first()
    if kept is None:
        raise NotFound(f"There was no break-glass {id} in {environment}.")
    return row(kept)


def expired(now: datetime) -> tuple[GlassRow, ...]:
    """Return those whose end has come and is not booked yet."""
    kept = BrokenGlass.objects.filter(ended_at=None, ends_at__lte=now)
    return tuple(map(row, kept.order_by("pk")))


def row(kept: BrokenGlass) -> GlassRow:
    """Return a row of the table as the words of the product."""
    return GlassRow(
        id=kept.pk,
        environment=EnvironmentName(kept.environment_id),
        broken_at=kept.broken_at,
        broken_by=kept.broken_by,
        reason=kept.reason,
        ends_at=kept.ends_at,
        ended_at=kept.ended_at,
        ended_by=kept.ended_by,
        reviewed_at=kept.reviewed_at,
        reviewed_by=kept.reviewed_by,
        review=kept.review,
    )
