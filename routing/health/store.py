"""Writes judgements: the row of each path and its minute, in one short transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from routing.core.health import Judged, worst
from routing.core.values import Breaker, EnvironmentName, Health, Path
from routing.fleet import leases
from routing.health.models import HealthMinute, PathHealth
from routing.health.traffic import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One path at one moment (µs of wall time); `probe_ok` is None when nothing was probed."""

    environment: EnvironmentName
    path: Path
    target: str
    judged: Judged
    breaker: Breaker
    stages: Sequence[Mapping[str, Any]]
    figures: Figures
    probe_ok: bool | None
    observed_us: int


def save(
    measured: Sequence[Measured], now: datetime, *, fence: tuple[str, int]
) -> tuple[Measured, ...]:
    """Store `measured`; return those whose status differs from the one before.

    `fence` is name and number of the lease that the caller holds: one that lost it is refused.
    """
    with transaction.atomic():
        leases.check_fence(*fence)
        return tuple(one for one in measured if _save(one, now))


def _save(one: Measured, now: datetime) -> bool:
    row = PathHealth.objects.filter(environment_id=one.environment, path=one.path).first()
    changed = row is None or row.status != one.judged.status
    if row is None:
        row = PathHealth(environment_id=one.environment, path=one.path, seq=0)
    if changed:
        row.since = now
    row.target = one.target
    row.status = str(one.judged.status)
    row.score = one.judged.score
    row.why = list(one.judged.why)
    row.breaker = str(one.breaker)
    row.stages = [dict(stage) for stage in one.stages]
    row.figures = asdict(one.figures)
    row.observed_at = now
    row.seq += 1
    row.save()
    _save_minute(one, now)
    return changed


def _save_minute(one: Measured, now: datetime) -> None:
    minute, _ = HealthMinute.objects.get_or_create(
        environment_id=one.environment,
        path=one.path,
        minute=now.replace(second=0, microsecond=0),
        defaults={"worst": str(one.judged.status)},
    )
    minute.worst = str(worst([Health(minute.worst), one.judged.status]))
    if one.probe_ok is not None:
        minute.probes += 1
        minute.probes_ok += one.probe_ok
    # The window is a minute long: its last look within the minute describes it best.
    minute.calls, minute.failed = one.figures.calls, one.figures.failed
    minute.p50_us, minute.p95_us = one.figures.p50_us, one.figures.p95_us
    minute.save()
