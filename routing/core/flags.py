"""The known flags, declared once: purpose, owner, what is on where (product.md section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from routing.core.errors import UnknownWord
from routing.core.values import EnvironmentName

DEV, STG, PROD = (
    EnvironmentName.DEVELOPMENT,
    EnvironmentName.STAGING,
    EnvironmentName.PRODUCTION,
)


class FlagName(StrEnum):
    INTELLIGENT_ROUTING = "ENABLE_INTELLIGENT_ROUTING"
    DIRECT_FALLBACK = "ENABLE_DIRECT_BEDROCK_FALLBACK"
    MCP_INTEGRATION = "ENABLE_MCP_INTEGRATION"
    SUPPORT_MODE = "ENABLE_BEDROCK_SUPPORT_MODE"
    BEDROCK_PROVIDER = "ai.provider.bedrock.enabled"
    CACHING = "ai.caching.enabled"
    MONITORING = "ai.monitoring.enabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A flag as the product declares it; `on_in` names the environments where it starts on.

    One that is for a while says when it `expires`, by the day in UTC; a lever for good does not.
    """

    name: FlagName
    purpose: str
    when_off: str
    owner: str
    on_in: frozenset[EnvironmentName]
    expires: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One flag in one environment. While it is on, `percentage` (0 to 100) of all subjects get it,
    and every member of `groups` (words of `audience`)."""

    on: bool
    percentage: int = 100
    groups: tuple[str, ...] = ()
    version: int = 0

    @property
    def share(self) -> int:
        """Return the percentage of subjects that get it: 0 for nobody, 100 for everyone.

        While a group gets it, it is 1 at least: some do.
        """
        if not self.on:
            return 0
        return self.percentage or (1 if self.groups else 0)

    @property
    def favoured(self) -> tuple[str, ...]:
        """Return the groups that get it whatever the percentage, none while it is off."""
        return self.groups if self.on else ()

    def gives_as(self, other: State) -> bool:
        """Tell whether the same subjects get it in both states."""
        return (self.share, self.favoured) == (other.share, other.favoured)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetFlag:
    """One flag to one state, never "the other one". `base_version` is the version looked at.

    `percentage` (0 to 100) and `groups` (`core.audience`), who get it whatever the percentage,
    count only while the flag is on; off is off for everyone.
    """

    flag: FlagName
    on: bool
    base_version: int
    percentage: int = 100
    groups: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Return the state that is wished for, at the version that it is based on."""
        return State(
            on=self.on,
            percentage=self.percentage,
            groups=self.groups,
            version=self.base_version,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """For whom a flag is asked: `name` chooses the share, `groups` are what its token says."""

    name: str = ""
    groups: frozenset[str] = frozenset()


NOBODY = Subject()  # in particular

_ALL = frozenset(EnvironmentName)
_NONE: frozenset[EnvironmentName] = frozenset()

DECLARED: Mapping[FlagName, Declared] = {
    d.name: d
    for d in (
        Declared(
            name=FlagName.INTELLIGENT_ROUTING,
            purpose="Routes each operation by the matrix.",
            when_off="MCP-only: every operation goes to mcp, emergencies too.",
            owner="routing",
            on_in=_ALL,
        ),
        Declared(
            name=FlagName.DIRECT_FALLBACK,
            purpose="Lets operations fall back onto direct_bedrock.",
            when_off="Operations whose primary is mcp get a 503 while mcp is down.",
            owner="routing",
            on_in=frozenset({STG, PROD}),
        ),
        Declared(
            name=FlagName.MCP_INTEGRATION,
            purpose="Opens the mcp path.",
            when_off="Its operations move to direct_bedrock only where the fallback flag is on.",
            owner="routing",
            on_in=_ALL,
        ),
        Declared(
            name=FlagName.SUPPORT_MODE,
            purpose="Allows the operations of the support manager.",
            when_off="Support mode cannot be activated; an active one ends.",
            owner="support",
            on_in=_NONE,
        ),
        Declared(
            name=FlagName.BEDROCK_PROVIDER,
            purpose="Opens the direct_bedrock path.",
            when_off="Operations of direct_bedrock fall back to mcp; emergencies have no path.",
            owner="routing",
            on_in=_ALL,
        ),
        Declared(
            name=FlagName.CACHING,
            purpose="Answers what was asked before from the cache; never emergencies.",
            when_off="Every request goes to a path; what was kept is not looked at.",
            owner="routing",
            on_in=_ALL,
        ),
        Declared(
            name=FlagName.MONITORING,
            purpose="Probes both paths and keeps their measurements.",
            when_off="Health becomes unknown, never green.",
            owner="health",
            on_in=_ALL,
        ),
    )
}


UNUSED_AFTER = timedelta(days=30)


def leftover(
    declared: Declared, *, changed_at: datetime, asked_at: datetime | None, now: datetime
) -> str:
    """Say why a flag looks left over in an environment, empty where it does not.

    It has expired, or was neither asked for nor changed within 30 days.
    """
    if declared.expires is not None and now.date() >= declared.expires:
        return f"expired on {declared.expires}: take it out of the code, or give it a new day"
    if now - max(changed_at, asked_at or changed_at) < UNUSED_AFTER:
        return ""
    if asked_at is None:
        return "never asked for: does anything still need it?"
    return f"not asked for in {(now - asked_at).days} days: does anything still need it?"


def defaults(environment: EnvironmentName) -> dict[FlagName, bool]:
    """Return the declared state of every flag in `environment`: the coded safe default."""
    return {name: environment in declared.on_in for name, declared in DECLARED.items()}


def parse_flag(text: str) -> FlagName:
    """Return the flag of that exact name; raises UnknownWord with the known names."""
    try:
        return FlagName(text)
    except ValueError:
        known = [str(f) for f in FlagName]
        raise UnknownWord(kind="flag", text=text, known=known) from None
