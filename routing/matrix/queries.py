"""Matrix and overrides in force, kept in memory; a decision never reads a table.

Readers take one reference and no lock. Refreshing is serialised, so that a slow reader of an old
state never puts it in place of a newer one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Max

from routing.core import decision
from routing.core.matrix import DEFAULT, Matrix
from routing.core.values import EnvironmentName
from routing.matrix import drafts, overrides, store
from routing.matrix.drafts import Draft
from routing.matrix.models import MatrixVersion
from routing.matrix.overrides import OverrideRow

__all__ = [
    "Draft",
    "OverrideRow",
    "Overrides",
    "Published",
    "Snapshot",
    "adopt",
    "current",
    "draft",
    "history",
    "inforce",
    "latest_overrides",
    "refresh",
    "refresh_if_changed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """The open overrides of one environment at one version; `words` is what decisions take."""

    version: int = 0
    rows: tuple[OverrideRow, ...] = ()
    words: tuple[decision.Override, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One consistent look; an environment without a version has the default."""

    matrices: Mapping[EnvironmentName, Matrix] = field(default_factory=dict)
    overrides: Mapping[EnvironmentName, Overrides] = field(default_factory=dict)

    def of(self, environment: EnvironmentName) -> Matrix:
        return self.matrices.get(environment, DEFAULT)

    def overrides_of(self, environment: EnvironmentName) -> Overrides:
        return self.overrides.get(environment, _NONE)

    def has_expired(self, now: datetime) -> bool:
        """Tell whether the end of an open override has come, which somebody has to book."""
        return any(now >= row.ends_at for one in self.overrides.values() for row in one.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    version: int
    made_at: datetime
    made_by: str
    reason: str


_NONE = Overrides()
_current = Snapshot()
_refreshing = threading.Lock()


def current() -> Snapshot:
    """Return the snapshot of this process."""
    return _current


def adopt(known: Snapshot) -> None:
    """Put in force what was not read from the database, for a start while that is away."""
    global _current  # noqa: PLW0603 - one reference, swapped whole
    with _refreshing:
        _current = known


def refresh() -> None:
    """Read all matrices and overrides in force."""
    global _current  # noqa: PLW0603 - one reference, swapped whole
    with _refreshing:
        # The versions first: what is set in between is then read again, never missed.
        versions = overrides.versions()
        _current = Snapshot(
            matrices={name: store.read(name) for name in EnvironmentName},
            overrides={name: _overrides(name, versions.get(name, 0)) for name in EnvironmentName},
        )


def _overrides(environment: EnvironmentName, version: int) -> Overrides:
    rows = overrides.open_ones(environment)
    return Overrides(version=version, rows=rows, words=tuple(row.word() for row in rows))


def refresh_if_changed() -> None:
    """Read them again when a version is newer than ours."""
    newest = dict(
        MatrixVersion.objects.values_list("environment_id").annotate(newest=Max("version"))
    )
    ours = {name: _current.overrides_of(name).version for name in EnvironmentName}
    if (
        any(_current.of(EnvironmentName(name)).version != v for name, v in newest.items())
        or ours | overrides.versions() != ours
    ):
        refresh()


def history(environment: EnvironmentName) -> tuple[Published, ...]:
    """Return the published versions of `environment`, newest first."""
    kept = MatrixVersion.objects.filter(environment_id=environment).order_by("-version")
    return tuple(
        Published(version=m.version, made_at=m.made_at, made_by=m.made_by, reason=m.reason)
        for m in kept
    )


def draft(environment: EnvironmentName) -> Draft | None:
    """Return the draft of `environment`, None without one."""
    return drafts.read(environment)


def inforce(environment: EnvironmentName) -> Matrix:
    """Return the matrix in force as the table has it, for whoever looks before a change."""
    return store.read(environment)


def latest_overrides(environment: EnvironmentName, n: int = 10) -> tuple[OverrideRow, ...]:
    """Return the last `n` overrides of `environment`, open or ended, newest first."""
    return overrides.latest(environment, n)
