"""Planned changes as people read them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from routing.core import plans, vocabulary
from routing.core.errors import NotFound
from routing.core.flags import FlagName, SetFlag
from routing.core.guards import Cause
from routing.core.values import ActorKind, EnvironmentName, PlanKind, PlanState
from routing.core.vocabulary import Table
from routing.schedule.models import PlannedChange


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """One planned change. `entry_seq` is the entry that closed it, None while it waits."""

    id: int
    environment: EnvironmentName
    kind: PlanKind
    state: PlanState
    sets: tuple[SetFlag, ...]
    due_at: datetime
    grace: timedelta
    lasts: timedelta | None
    local: str
    zone: str
    reason: str
    cause: str
    agreed: tuple[str, ...]
    asked_at: datetime
    asked_by: str
    asked_kind: ActorKind
    asked_entry: int
    closed_at: datetime | None
    closed_by: str
    closed_because: str
    entry_seq: int | None
    seen_at: datetime | None
    seen_by: str

    @property
    def waits(self) -> bool:
        return self.state is PlanState.WAITING

    @property
    def alarms(self) -> bool:
        """Tell whether a person still has to hear that it did not come."""
        return self.state in plans.ALARMS and self.seen_at is None

    def holds(self, flag: FlagName, version: int) -> bool:
        """Tell whether it is a waiting end that `flag` at `version` will come to."""
        return (
            self.waits
            and self.kind is PlanKind.END
            and any(one.flag is flag and one.base_version == version for one in self.sets)
        )


def due(environments: Collection[EnvironmentName], now: datetime) -> tuple[int, ...]:
    """Return the ids of the waiting ones whose time has come, the first due first."""
    rows = PlannedChange.objects.filter(
        state=str(PlanState.WAITING), due_at__lte=now, environment_id__in=list(environments)
    )
    return tuple(rows.order_by("due_at", "pk").values_list("pk", flat=True))


def waiting(environment: EnvironmentName) -> tuple[PlanRow, ...]:
    """Return what waits in `environment`, the first due first."""
    rows = PlannedChange.objects.filter(environment_id=environment, state=str(PlanState.WAITING))
    return _rows(rows.order_by("due_at", "pk"))


def alarms(environment: EnvironmentName) -> tuple[PlanRow, ...]:
    """Return what did not come and nobody has seen yet, the newest first."""
    states = [str(state) for state in plans.ALARMS]
    rows = PlannedChange.objects.filter(environment_id=environment, state__in=states)
    return _rows(rows.filter(seen_at=None).order_by("-pk"))


def closed(environment: EnvironmentName, n: int = 20) -> tuple[PlanRow, ...]:
    """Return the last `n` that are closed, the newest first."""
    rows = PlannedChange.objects.filter(environment_id=environment)
    return _rows(rows.exclude(state=str(PlanState.WAITING)).order_by("-closed_at", "-pk")[:n])


def one(environment: EnvironmentName, id: int) -> PlanRow:
    """Return one planned change; raises NotFound."""
    kept = PlannedChange.objects.filter(environment_id=environment, pk=id).first()
    if kept is None:
        raise NotFound(f"There is no planned change {id} in {environment}.")
    return row(kept)


def end_of(environment: EnvironmentName, flag: FlagName, version: int) -> PlanRow | None:
    """Return the end that `flag` at `version` will come to, None where it has none."""
    held = [plan for plan in waiting(environment) if plan.holds(flag, version)]
    return held[0] if held else None


def stored() -> tuple[Table, ...]:
    """Return the words of ours that the table holds, to be checked at the start.

    What is closed may name a flag or a cause that is gone; what waits may not.
    """
    rows = PlannedChange.objects.order_by()
    waits = rows.filter(state=str(PlanState.WAITING))
    words = {
        name: rows.values_list(name, flat=True).distinct()
        for name in ("kind", "state", "asked_kind")
    }
    words["cause"] = waits.values_list("cause", flat=True).distinct()
    sets = waits.values_list("sets", flat=True).iterator()
    names = sorted({str(one["flag"]) for together in sets for one in together})
    return (
        vocabulary.stored("stored kinds of planned changes", PlanKind, words["kind"]),
        vocabulary.stored("stored states of planned changes", PlanState, words["state"]),
        vocabulary.stored("stored askers of planned changes", ActorKind, words["asked_kind"]),
        vocabulary.stored("stored causes of planned changes", Cause, filter(None, words["cause"])),
        vocabulary.stored("stored flags of planned changes", FlagName, names),
    )


def row(kept: PlannedChange) -> PlanRow:
    """Return a row of the table as the words of the product."""
    return PlanRow(
        id=kept.pk,
        environment=EnvironmentName(kept.environment_id),
        kind=PlanKind(kept.kind),
        state=PlanState(kept.state),
        sets=tuple(
            SetFlag(
                flag=FlagName(one["flag"]),
                on=one["on"],
                percentage=one["percentage"],
                groups=tuple(one["groups"]),
                base_version=one["base_version"],
            )
            for one in kept.sets
            if one["flag"] in set(FlagName)
        ),
        due_at=kept.due_at,
        grace=timedelta(seconds=kept.grace_s),
        lasts=None if kept.lasts_s is None else timedelta(seconds=kept.lasts_s),
        local=kept.local,
        zone=kept.zone,
        reason=kept.reason,
        cause=kept.cause,
        agreed=tuple(kept.agreed),
        asked_at=kept.asked_at,
        asked_by=kept.asked_by,
        asked_kind=ActorKind(kept.asked_kind),
        asked_entry=kept.asked_entry,
        closed_at=kept.closed_at,
        closed_by=kept.closed_by,
        closed_because=kept.closed_because,
        entry_seq=kept.entry_seq,
        seen_at=kept.seen_at,
        seen_by=kept.seen_by,
    )


def _rows(kept: QuerySet[PlannedChange] | Iterable[PlannedChange]) -> tuple[PlanRow, ...]:
    return tuple(map(row, kept))
