"""Reading the fleet: environments and processes as frozen rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from routing.core.errors import NotFound
from routing.core.values import EnvironmentName, Path, Residency
from routing.fleet import clock
from routing.fleet.models import Environment, Process

ALIVE_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentRow:
    """One environment; an empty target means that its path is not configured."""

    name: EnvironmentName
    version: int
    residency: Residency
    bedrock_target: str
    bedrock_region: str
    bedrock_model: str
    mcp_target: str
    mcp_tool: str
    mcp_arguments: Mapping[str, Any] | None
    mcp_idempotent: bool
    thresholds: Mapping[str, Any]

    def target(self, path: Path) -> str:
        """Return where `path` leads, empty when it is not configured."""
        return self.bedrock_target if path is Path.DIRECT_BEDROCK else self.mcp_target

    @property
    def bedrock_models(self) -> tuple[str, ...]:
        """Every model that calls may go to: the environment's, then those of single operations."""
        rows = self.thresholds.get("bedrock.operations")
        said = rows.values() if isinstance(rows, Mapping) else ()
        own = (row.get("model") for row in said if isinstance(row, Mapping))
        return tuple(dict.fromkeys((self.bedrock_model, *(str(model) for model in own if model))))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """One process as it last reported; `silent_s` is the time since then, by one clock for all.

    `since` tells when it began to run some of its `versions`, by the same clock.
    """

    id: str
    name: str
    boot: str
    pid: int
    host: str
    kind: str
    environments: tuple[EnvironmentName, ...]
    code_version: str
    door_url: str
    versions: Mapping[str, int]
    started_at: datetime
    heartbeat_at: datetime
    stopped_at: datetime | None
    silent_s: float
    since: Mapping[str, datetime] = field(default_factory=dict)

    def is_alive(self, within_s: float = ALIVE_WITHIN_S) -> bool:
        """Tell whether it reported lately and did not say goodbye.

        A report from the future is none: the clock was set back, and a live process corrects it
        with its next beat.
        """
        return self.stopped_at is None and abs(self.silent_s) <= within_s


def environments() -> tuple[EnvironmentRow, ...]:
    """Return all environments, development first."""
    order = list(EnvironmentName)
    rows = (_environment(found) for found in Environment.objects.all())
    return tuple(sorted(rows, key=lambda row: order.index(row.name)))


def environment(name: EnvironmentName) -> EnvironmentRow:
    """Return one environment; raises NotFound."""
    found = Environment.objects.filter(pk=str(name)).first()
    if found is None:
        raise NotFound(
            f"There is no environment {name} here yet. Add it to HYBRIDOPS_ENVIRONMENTS and start "
            "the server once, which lays it."
        )
    return _environment(found)


def processes(*, now: datetime) -> tuple[ProcessRow, ...]:
    """Return every process that is known, the last started first."""
    at = clock.read(now)
    return tuple(_process(found, at) for found in Process.objects.order_by("-started_at", "id"))


def alive(
    environment: EnvironmentName, *, now: datetime, within_s: float = ALIVE_WITHIN_S
) -> tuple[ProcessRow, ...]:
    """Return the processes that serve `environment` and reported within `within_s` seconds."""
    at = clock.read(now)
    fresh = Process.objects.filter(
        stopped_at=None, heartbeat_at__gte=at - timedelta(seconds=within_s)
    )
    rows = (_process(found, at) for found in fresh.order_by("started_at", "id"))
    return tuple(r for r in rows if environment in r.environments and r.is_alive(within_s))


def _environment(found: Environment) -> EnvironmentRow:
    return EnvironmentRow(
        name=EnvironmentName(found.name),
        version=found.version,
        residency=Residency(found.residency),
        bedrock_target=found.bedrock_target,
        bedrock_region=found.bedrock_region,
        bedrock_model=found.bedrock_model,
        mcp_target=found.mcp_target,
        mcp_tool=found.mcp_tool,
        mcp_arguments=found.mcp_arguments,
        mcp_idempotent=found.mcp_idempotent,
        thresholds=found.thresholds,
    )


def _process(found: Process, at: datetime) -> ProcessRow:
    return ProcessRow(
        id=found.id,
        name=found.name,
        boot=found.boot,
        pid=found.pid,
        host=found.host,
        kind=found.kind,
        environments=tuple(EnvironmentName(name) for name in found.environments),
        code_version=found.code_version,
        door_url=found.door_url,
        versions=found.versions,
        started_at=found.started_at,
        heartbeat_at=found.heartbeat_at,
        stopped_at=found.stopped_at,
        silent_s=(at - found.heartbeat_at).total_seconds(),
        since={name: datetime.fromisoformat(text) for name, text in found.since.items()},
    )
