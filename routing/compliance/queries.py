"""The policy in force in every environment, kept in memory; the gate never reads a table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db.models import Max

from routing.compliance import policy, store
from routing.compliance.models import CompliancePolicy
from routing.compliance.policy import Policy
from routing.core.errors import Refused
from routing.core.values import EnvironmentName

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One consistent look; an environment without a version has the product's own policy."""

    policies: Mapping[EnvironmentName, Policy] = field(default_factory=dict)

    def of(self, environment: EnvironmentName) -> Policy:
        return self.policies.get(environment, policy.DEFAULT)


_current = Snapshot()


def current() -> Snapshot:
    """Return the snapshot of this process."""
    return _current


def adopt(known: Snapshot) -> None:
    """Put in force what was not read from the database, for a start while that is away."""
    global _current  # noqa: PLW0603 - one reference, swapped whole
    _current = known


def refresh() -> None:
    """Read all policies in force.

    One that cannot be obeyed leaves the one in memory in force, and is logged; without one in
    memory, at the start, it raises Invalid or UnknownWord.
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
        log.error("The policy of %s cannot be obeyed: %s", environment, error.message)
        return kept


def refresh_if_changed() -> None:
    """Read them again when a version is not ours."""
    newest = dict(
        CompliancePolicy.objects.values_list("environment_id").annotate(newest=Max("version"))
    )
    if any(_current.of(name).version != newest.get(str(name), 0) for name in EnvironmentName):
        refresh()


@dataclass(frozen=True, slots=True)
class Live:
    """What the router asks: always the snapshot of now."""

    def of(self, environment: EnvironmentName) -> Policy:
        return _current.of(environment)
