"""Environments by compare-and-set inside the caller's transaction; `changes` books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from django.db.models import F

from routing.core.errors import Stale
from routing.core.values import EnvironmentName, Residency
from routing.fleet import queries
from routing.fleet.models import Environment
from routing.fleet.queries import EnvironmentRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSettings:
    """What an environment's paths lead to; an empty target leaves that path not configured."""

    residency: Residency = Residency.EU
    bedrock_target: str = ""
    bedrock_region: str = ""
    bedrock_model: str = ""
    mcp_target: str = ""
    mcp_tool: str = "route_request"
    mcp_arguments: Mapping[str, Any] | None = None
    mcp_idempotent: bool = False
    thresholds: Mapping[str, Any] = field(default_factory=dict)


def create(name: EnvironmentName, settings: PathSettings) -> bool:
    """Lay the environment `name` at version 1; return False and change nothing if it is there."""
    _, created = Environment.objects.get_or_create(name=str(name), defaults=_columns(settings))
    return created


def update(name: EnvironmentName, *, base_version: int, settings: PathSettings) -> EnvironmentRow:
    """Replace the path settings of `name` if it is still at `base_version`; return the new row.

    Raises Stale with `current` (the row that won, as a mapping), NotFound without the
    environment.
    """
    done = Environment.objects.filter(pk=str(name), version=base_version).update(
        version=F("version") + 1, **_columns(settings)
    )
    current = queries.environment(name)
    if not done:
        raise Stale(
            f"The settings of {name} are at version {current.version} by now, not "
            f"{base_version}; look at them again.",
            current=asdict(current),
        )
    return current


def _columns(settings: PathSettings) -> dict[str, Any]:
    return asdict(settings) | {"residency": str(settings.residency)}
