"""The per-process versioned snapshot of all flags; evaluation never touches the database.

Readers take one reference and no lock: whoever holds a Snapshot sees each environment's flags as
one change set left them. Refreshing is serialised, so that a slow reader of an old state never
puts it in place of a newer one. Flags are never authorization.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from django.conf import settings
from django.http import HttpRequest

from routing.core import rollout
from routing.core.flags import NOBODY, FlagName, State, Subject, defaults
from routing.core.values import EnvironmentName

log = logging.getLogger(__name__)


class Source(StrEnum):
    DEFAULTS = "defaults"
    DATABASE = "database"
    LAST_GOOD = "last_known_good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How the tables stood when they were read. The database counts what is `touched`, booked
    changes explain theirs; `noted` says that the rest is booked as found."""

    version: int = 0
    touched: int = 0
    explained: int = 0
    noted: bool = False

    @property
    def is_drifted(self) -> bool:
        """Whether flags were changed around us, by nothing that is booked."""
        return self.touched != self.explained


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentFlags:
    """All flags of one environment at one version; version 0 is what the product declares.

    While `mark` is drifted they are the last booked ones, in development those of the table.
    """

    version: int
    states: Mapping[FlagName, State]
    mark: Mark = field(default_factory=Mark)
    # The same for everybody, and those that are on for some: found once, not for each request.
    _settled: Mapping[FlagName, bool] = field(init=False, repr=False, compare=False)
    _shared: tuple[FlagName, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        settled = {flag: rollout.for_everybody(self.states[flag]) for flag in FlagName}
        shared = tuple(flag for flag, on in settled.items() if on is None)
        object.__setattr__(self, "_settled", {flag: bool(on) for flag, on in settled.items()})
        object.__setattr__(self, "_shared", shared)

    def of(self, subject: Subject) -> dict[FlagName, bool]:
        """Return every flag as `subject` gets it."""
        found = dict(self._settled)
        for flag in self._shared:
            found[flag] = rollout.gets(flag, self.states[flag], subject)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One consistent look at the flags; `loaded_at_us` is on the monotonic clock.

    `since_us` tells when this process began to run each environment's version.
    """

    environments: Mapping[EnvironmentName, EnvironmentFlags]
    source: Source
    loaded_at_us: int = field(compare=False, default=0)
    since_us: Mapping[EnvironmentName, int] = field(compare=False, default_factory=dict)

    def is_on(
        self, flag: FlagName, environment: EnvironmentName, subject: Subject = NOBODY
    ) -> bool:
        """Tell whether `flag` is on for `subject` in `environment`."""
        return rollout.gets(flag, self.environments[environment].states[flag], subject)

    def evaluate(
        self, environment: EnvironmentName, subject: Subject = NOBODY
    ) -> dict[FlagName, bool]:
        """Return every flag as `subject` gets it in `environment`."""
        return self.environments[environment].of(subject)


def declared(environment: EnvironmentName) -> EnvironmentFlags:
    """Return the flags of `environment` as the product declares them: the coded safe default."""
    states = {flag: State(on=on) for flag, on in defaults(environment).items()}
    return EnvironmentFlags(version=0, states=states)


_current = Snapshot(
    environments={name: declared(name) for name in EnvironmentName}, source=Source.DEFAULTS
)
_refreshing = threading.Lock()


def current() -> Snapshot:
    """Return the snapshot of this process; before the first load the declared defaults."""
    return _current


def ages() -> dict[str, float]:
    """Return for how many seconds this process has run each environment's version, by its name."""
    now_us = time.monotonic_ns() // 1000
    return {f"flags:{e}": (now_us - us) / 1_000_000 for e, us in _current.since_us.items()}


def is_on(flag: FlagName, environment: EnvironmentName, subject: Subject = NOBODY) -> bool:
    """Tell whether `flag` is on for `subject` in `environment`, as this process knows it."""
    return _current.is_on(flag, environment, subject)


def refresh() -> None:
    """Read all flags in one statement and put them in place.

    Raises DatabaseError when that fails; the last known state then stays in force.
    """
    global _current  # noqa: PLW0603 - one reference, swapped whole
    # The models ask this module for their state, so it cannot import them while it loads.
    from routing.flags import store

    with _refreshing:
        kept = store.read_all(_current.environments)
        _current = _next(kept, Source.DATABASE if kept else Source.DEFAULTS)


def adopt(known: Mapping[EnvironmentName, EnvironmentFlags]) -> None:
    """Put in force what was last known, for a start while the database is away.

    Where nothing is known the coded defaults hold. The next reading replaces all of it.
    """
    global _current  # noqa: PLW0603 - one reference, swapped whole
    with _refreshing:
        _current = _next(known, Source.LAST_GOOD if known else Source.DEFAULTS)


def _next(known: Mapping[EnvironmentName, EnvironmentFlags], source: Source) -> Snapshot:
    now_us = time.monotonic_ns() // 1000
    fresh = {name: known.get(name) or declared(name) for name in EnvironmentName}
    last = _current
    return Snapshot(
        environments=fresh,
        source=source,
        loaded_at_us=now_us,
        since_us={
            name: last.since_us.get(name, now_us)
            if fresh[name].version == last.environments[name].version
            else now_us
            for name in EnvironmentName
        },
    )


def refresh_if_changed() -> bool:
    """Refresh when a mark in the database differs from ours; return whether it did."""
    from routing.flags import store

    ours = {name: flags.mark for name, flags in _current.environments.items()}
    if ours | store.marks() == ours:
        return False
    refresh()
    return True


def is_on_for_request(name: str, request: HttpRequest) -> bool:
    """Answer Waffle: the flag's state in the environment that the request belongs to.

    That is the request's attribute `hybridops_environment`, which only our own code sets, else
    the HYBRIDOPS_ENVIRONMENT of this process. Cookies, query and headers have no say. An unknown
    name is off, and logged.
    """
    said = getattr(request, "hybridops_environment", None) or settings.HYBRIDOPS_ENVIRONMENT
    try:
        flag, environment = FlagName(name), EnvironmentName(said)
    except ValueError:
        log.warning("Waffle was asked for %r in %r, which is not known: off.", name, said)
        return False
    return is_on(flag, environment)
