"""How sure a process is of what it runs, and what it says of that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from routing.core.values import EnvironmentName

ALL = "all"  # in the place of an environment, for what concerns every one


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A part of the last known good that could not be used, and what holds in its place."""

    part: str
    environment: str
    why: str
    instead: str
    missing: bool

    def concerns(self, environment: EnvironmentName) -> bool:
        """Tell whether requests of `environment` were served otherwise for it."""
        return self.environment in (ALL, str(environment))

    def text(self) -> str:
        """Return it in words."""
        return f"the kept {self.part} cannot be used: {self.why}; {self.instead}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How sure a process is of what it runs.

    `age_s` is how long ago that was known to be what the database holds, None where it never was.
    `problems` names what was served from other than the last known good, from `began_at` to
    `ended_at` (None: still).
    """

    source: str
    stale: bool
    age_s: float | None
    problems: tuple[Problem, ...] = ()
    began_at: datetime | None = None
    ended_at: datetime | None = None

    def of(self, environment: EnvironmentName) -> tuple[Problem, ...]:
        """Return the problems that concern `environment`."""
        return tuple(one for one in self.problems if one.concerns(environment))


def sentence(told: Standing) -> str:
    """Say how old it is what a process runs."""
    if told.age_s is None:
        return "The database is away, and nothing is known of what it held last"
    age_s = int(told.age_s)
    age = f"{age_s} s" if age_s < 120 else f"{age_s // 60} min"
    return f"The database was last seen {age} ago; what was known then is in force"
