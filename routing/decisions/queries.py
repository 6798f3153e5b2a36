"""The latest decisions as figures: where requests went, how long it took, and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil

from routing.core.values import EnvironmentName, Operation, Path, Reason
from routing.decisions.models import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One decision; `effective` is None where no path answered."""

    at: datetime
    operation: Operation
    intended: Path | None
    effective: Path | None
    reason: Reason
    synthetic: bool
    within_budget: bool | None
    duration_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Decisions counted; times in µs by nearest rank over those that a path answered.

    `moved` are those answered by another path than intended, `repeated` those answered from the
    cache, which are among the answered ones.
    """

    total: int = 0
    answered: int = 0
    moved: int = 0
    repeated: int = 0
    within_budget: int = 0
    p95_us: int | None = None
    effective: Mapping[Path, int] = field(default_factory=dict)
    reasons: Mapping[Reason, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """The last decisions of one environment, newest first."""

    rows: tuple[Row, ...] = ()

    @property
    def since(self) -> datetime | None:
        """Return when the oldest of them was made."""
        return self.rows[-1].at if self.rows else None

    def later_than(self, at: datetime) -> Recent:
        """Return those made after `at`."""
        return Recent(rows=tuple(row for row in self.rows if row.at > at))

    def flow(self, *, synthetic: bool, operation: Operation | None = None) -> Flow:
        """Count real or synthetic ones, of one operation or of all."""
        return _flow(
            row
            for row in self.rows
            if row.synthetic is synthetic and operation in (None, row.operation)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What a serving process has on disk and the database lacks; none of it needs the database.

    `since` is when nothing waited for the last time. `others` are streams of ended processes that
    are still being copied, `broken` those that need a look, with why. `problem` says why the disk
    takes nothing; `lost` counts emergencies that no gap entry tells of yet.
    """

    stream: str
    on_disk: int
    waiting: int
    since: datetime
    others: int = 0
    lost: int = 0
    problem: str = ""
    broken: Mapping[str, str] = field(default_factory=dict)


def recent(environment: EnvironmentName, n: int = 500) -> Recent:
    """Return the last `n` decisions that reached the database, read by one statement."""
    found = (
        Decision.objects.filter(environment=str(environment), kind="decision", at__isnull=False)
        .order_by("-at")
        .values_list(*_COLUMNS)[:n]
    )
    return Recent(rows=tuple(_row(*raw) for raw in found))


def refused(environment: EnvironmentName, since: datetime) -> dict[str, int]:
    """Return how many requests broke each compliance rule since then, as far as was copied.

    Only the newest 10 000 are looked at.
    """
    found = Decision.objects.filter(
        environment=str(environment), at__gte=since, reason=str(Reason.REFUSED_COMPLIANCE)
    ).order_by("-at")
    bodies = found.values_list("body", flat=True)[:10_000]
    said = (json.loads(bytes(body)) for body in bodies)
    return dict(Counter(one.get("compliance", {}).get("broken") or "not told" for one in said))


_COLUMNS = (
    "at",
    "operation",
    "intended",
    "effective",
    "reason",
    "synthetic",
    "within_budget",
    "duration_us",
)


def _row(  # noqa: PLR0917 - one column each
    at: datetime | None,
    operation: str,
    intended: str,
    effective: str,
    reason: str,
    synthetic: bool,
    within_budget: bool | None,
    duration_us: int | None,
) -> Row:
    assert at is not None  # the statement asks for no other
    return Row(
        at=at,
        operation=Operation(operation),
        intended=Path(intended) if intended else None,
        effective=Path(effective) if effective else None,
        reason=Reason(reason),
        synthetic=synthetic,
        within_budget=within_budget,
        duration_us=duration_us or 0,
    )


def _flow(rows: Iterable[Row]) -> Flow:
    kept = tuple(rows)
    answered = [row for row in kept if row.effective is not None]
    repeated = sum(1 for row in kept if row.reason is Reason.CACHE_HIT)
    return Flow(
        total=len(kept),
        answered=len(answered) + repeated,
        repeated=repeated,
        moved=sum(1 for row in answered if row.effective is not row.intended),
        within_budget=sum(1 for row in answered if row.within_budget),
        p95_us=_p95(sorted(row.duration_us for row in answered)),
        effective=Counter(row.effective for row in answered if row.effective is not None),
        reasons=dict(Counter(row.reason for row in kept).most_common()),
    )


def _p95(ordered: list[int]) -> int | None:
    return ordered[ceil(len(ordered) * 0.95) - 1] if ordered else None
