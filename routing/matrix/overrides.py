"""Compare-and-set on overrides inside the caller's transaction; neither books nor announces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Count

from routing.core import decision
from routing.core.errors import Stale
from routing.core.values import EnvironmentName, Operation, Path
from routing.matrix.models import Override


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRow:
    """One override, open until `ended_at`; it holds until `ends_at` at the latest."""

    id: int
    environment: EnvironmentName
    operation: Operation
    path: Path
    reason: str
    set_at: datetime
    set_by: str
    ends_at: datetime
    ended_at: datetime | None
    ended_by: str
    ended_because: str

    def holds(self, now: datetime) -> bool:
        """Tell whether requests follow it at `now`."""
        return self.ended_at is None and now < self.ends_at

    def word(self) -> decision.Override:
        """Return it as a decision takes it."""
        ends_us = int(self.ends_at.timestamp() * 1_000_000)
        return decision.Override(operation=self.operation, path=self.path, ends_us=ends_us)


def open_ones(environment: EnvironmentName | None = None) -> tuple[OverrideRow, ...]:
    """Return the overrides that nobody has booked the end of, of one environment or of all."""
    kept = Override.objects.filter(ended_at=None).order_by("environment_id", "set_at", "pk")
    return tuple(map(_row, kept if environment is None else kept.filter(environment=environment)))


def latest(environment: EnvironmentName, n: int = 10) -> tuple[OverrideRow, ...]:
    """Return the last `n` overrides of `environment`, open or ended, newest first."""
    kept = Override.objects.filter(environment_id=environment).order_by("-set_at", "-pk")
    return tuple(map(_row, kept[:n]))


def versions() -> dict[EnvironmentName, int]:
    """Return a number for each environment that grows whenever an override is set or ended."""
    counted = Override.objects.values_list("environment_id").annotate(
        made=Count("pk"), ended=Count("ended_at")
    )
    return {EnvironmentName(name): made + ended for name, made, ended in counted}


def put(
    *,
    environment: EnvironmentName,
    operation: Operation,
    path: Path,
    reason: str,
    by: str,
    now: datetime,
    ends_at: datetime,
) -> OverrideRow:
    """Set an override; raises Stale where the operation has one already."""
    try:
        with transaction.atomic():
            made = Override.objects.create(
                environment_id=environment,
                operation=str(operation),
                path=str(path),
                reason=reason,
                set_at=now,
                set_by=by,
                ends_at=ends_at,
            )
    except IntegrityError:
        raise _taken(environment, operation) from None
    return _row(made)


def end(id: int, *, by: str, because: str, now: datetime) -> OverrideRow | None:
    """End an open override; None when somebody else was faster."""
    rows = Override.objects.filter(pk=id, ended_at=None)
    if not rows.update(ended_at=now, ended_by=by, ended_because=because):
        return None
    return _row(Override.objects.get(pk=id))


def _taken(environment: EnvironmentName, operation: Operation) -> Stale:
    held = next((row for row in open_ones(environment) if row.operation is operation), None)
    if held is None:
        return Stale(
            f"An override of {operation} was set and ended while you asked. Nothing was changed; "
            "try again.",
            current=None,
        )
    return Stale(
        f"{operation} is overridden to {held.path} already, by {held.set_by}: {held.reason}. "
        "End that one first, then set yours.",
        current=held.id,
    )


def _row(kept: Override) -> OverrideRow:
    return OverrideRow(
        id=kept.pk,
        environment=EnvironmentName(kept.environment_id),
        operation=Operation(kept.operation),
        path=Path(kept.path),
        reason=kept.reason,
        set_at=kept.set_at,
        set_by=kept.set_by,
        ends_at=kept.ends_at,
        ended_at=kept.ended_at,
        ended_by=kept.ended_by,
        ended_because=kept.ended_because,
    )
