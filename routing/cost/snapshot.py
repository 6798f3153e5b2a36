"""Prices and limits in force in every environment, kept in memory; no request reads a table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db.models import Max

from routing.core.errors import Refused
from routing.core.values import EnvironmentName
from routing.cost import policy, store
from routing.cost.models import CostPolicy
from routing.cost.policy import Policy

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One consistent look; an environment without a version knows no price and has no limit."""

    policies: Mapping[EnvironmentName, Policy] = field(default_factory=dict)

    def of(self, environment: EnvironmentName) -> Policy:
        return self.policies.get(environment, policy.DEFAULT)


_current = Snapshot()


def current() -> Snapshot:
    """Return the snapshot of this process."""
    return _current


def adopt(known: Snapshot) -> None:
    """Put in force what was known last, while the database is away."""
    global _current  # noqa: PLW0603 - one reference, swapped whole
    _current = known


def refresh() -> None:
    """Read what is in force everywhere.

    What cannot be obeyed leaves what is in memory in force, and is logged; without one in memory,
    at the start, it raises Invalid or UnknownWord.
    """
    global _current  # noqa: PLW0603 - one reference, swapped whole
    _current = Snapshot(policies={name: _read(name) for name in EnvironmentName})


def _read(environment: EnvironmentName) -> Policy:
    try:
        return store.read(environment)
    except Refused as error:
        kept = _current.policies.get(environment)
        if kept is None:
            raise
        log.error("Prices and limits of %s cannot be obeyed: %s", environment, error.message)
        return kept


def refresh_if_changed() -> None:
    """Read them again when a version is not ours."""
    newest = dict(CostPolicy.objects.values_list("environment_id").annotate(newest=Max("version")))
    if any(_current.of(name).version != newest.get(str(name), 0) for name in EnvironmentName):
        refresh()
