"""The matrix in force in every environment, kept in memory; a decision never reads a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Max

from routing.core.matrix import DEFAULT, Matrix
from routing.core.values import EnvironmentName
from routing.matrix import store
from routing.matrix.models import MatrixVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One consistent look; an environment without a version has the default."""

    matrices: Mapping[EnvironmentName, Matrix] = field(default_factory=dict)

    def of(self, environment: EnvironmentName) -> Matrix:
        return self.matrices.get(environment, DEFAULT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    version: int
    made_at: datetime
    made_by: str


_current = Snapshot()


def current() -> Snapshot:
    """Return the snapshot of this process."""
    return _current


def refresh() -> None:
    """Read all matrices in force."""
    global _current  # noqa: PLW0603 - one reference, swapped whole
    _current = Snapshot(matrices={name: store.read(name) for name in EnvironmentName})


def refresh_if_changed() -> None:
    """Read them again when a version is newer than ours."""
    newest = dict(
        MatrixVersion.objects.values_list("environment_id").annotate(newest=Max("version"))
    )
    if any(_current.of(EnvironmentName(name)).version != v for name, v in newest.items()):
        refresh()


def history(environment: EnvironmentName) -> tuple[Published, ...]:
    """Return the published versions of `environment`, newest first."""
    kept = MatrixVersion.objects.filter(environment_id=environment).order_by("-version")
    return tuple(Published(version=m.version, made_at=m.made_at, made_by=m.made_by) for m in kept)
