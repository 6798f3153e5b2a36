"""Compare-and-set on broken glass in the caller's transaction; neither books nor announces."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from routing.core.errors import Stale
from routing.core.values import EnvironmentName
from routing.glass.models import BrokenGlass
from routing.glass.queries import GlassRow, row


def put(
    *, environment: EnvironmentName, by: str, now: datetime, ends_at: datetime, reason: str
) -> GlassRow:
    """Break the glass; raises Stale where it is broken already."""
    try:
        with transaction.atomic():
            made = BrokenGlass.objects.create(
                environment_id=environment,
                broken_at=now,
                broken_by=by,
                ends_at=ends_at,
                reason=reason,
            )
    except IntegrityError:
        raise Stale(
            f"The glass is broken in {environment} already. What you may do under it, you may do "
            "now; look who broke it and why.",
            current=None,
        ) from None
    return row(made)


def end(id: int, *, by: str, now: datetime) -> GlassRow | None:
    """End one that is open; None when somebody else was faster."""
    if not BrokenGlass.objects.filter(pk=id, ended_at=None).update(ended_at=now, ended_by=by):
        return None
    return row(BrokenGlass.objects.get(pk=id))


def review(id: int, *, by: str, now: datetime, words: str) -> GlassRow | None:
    """Close the review of one; None when somebody else was faster."""
    rows = BrokenGlass.objects.filter(pk=id, reviewed_at=None)
    if not rows.update(reviewed_at=now, reviewed_by=by, review=words):
        return None
    return row(BrokenGlass.objects.get(pk=id))
