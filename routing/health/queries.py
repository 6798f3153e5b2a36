"""Health for the pages: the rows as they were judged, never judged again on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing.core.values import Breaker, EnvironmentName, Health, Path
from routing.health.models import HealthMinute, PathHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One path's judgement. `stages` and `figures` as the monitor stored them."""

    environment: EnvironmentName
    path: Path
    target: str
    status: Health
    score: int | None
    why: tuple[str, ...]
    breaker: Breaker
    stages: tuple[Mapping[str, Any], ...]
    figures: Mapping[str, Any]
    since: datetime
    observed_at: datetime
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    minute: datetime
    worst: Health
    probes: int
    probes_ok: int
    calls: int
    failed: int
    p50_us: int | None
    p95_us: int | None


def rows(environment: EnvironmentName) -> tuple[Row, ...]:
    """Return the judgements of `environment`, direct_bedrock first; empty before the first."""
    found = {row.path: row for row in PathHealth.objects.filter(environment_id=environment)}
    return tuple(_row(found[path]) for path in Path if path in found)


def minutes(environment: EnvironmentName, path: Path, since: datetime) -> tuple[Minute, ...]:
    """Return the minutes of one path from `since`, oldest first; a gap is a gap."""
    found = HealthMinute.objects.filter(
        environment_id=environment, path=path, minute__gte=since
    ).order_by("minute")
    return tuple(
        Minute(
            minute=m.minute,
            worst=Health(m.worst),
            probes=m.probes,
            probes_ok=m.probes_ok,
            calls=m.calls,
            failed=m.failed,
            p50_us=m.p50_us,
            p95_us=m.p95_us,
        )
        for m in found
    )


def _row(kept: PathHealth) -> Row:
    return Row(
        environment=EnvironmentName(kept.environment_id),
        path=Path(kept.path),
        target=kept.target,
        status=Health(kept.status),
        score=kept.score,
        why=tuple(kept.why),
        breaker=Breaker(kept.breaker),
        stages=tuple(kept.stages),
        figures=kept.figures,
        since=kept.since,
        observed_at=kept.observed_at,
        seq=kept.seq,
    )
