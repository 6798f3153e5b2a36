"""What an audit of the installation found, and what all of it together says.

Not being able to look is a finding of its own: it never folds to healthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from routing.core.chain import Json


class Severity(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class Overall(StrEnum):
    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One finding: figures and what was read in `evidence`, what to do in words.

    `unchecked` says that the check could not look; its severity is then what not knowing weighs.
    `check` is the code of the check, put in by whoever ran it.
    """

    severity: Severity
    title: str
    remediation: str
    evidence: Mapping[str, Json] = field(default_factory=dict)
    unchecked: bool = False
    check: str = ""


def overall(found: Iterable[Found], *, checks: int) -> Overall:
    """Return what `found` by `checks` checks says together: the worst wins.

    One critical finding is critical; a high or medium one is a warning; something that could not
    be checked is unknown unless something worse was found. Low and info change nothing. An audit
    without a check knows nothing.
    """
    kept = tuple(found)
    looked = [one.severity for one in kept if not one.unchecked]
    if Severity.CRITICAL in looked:
        return Overall.CRITICAL
    if Severity.HIGH in looked or Severity.MEDIUM in looked:
        return Overall.WARNING
    if len(looked) < len(kept) or checks == 0:
        return Overall.UNKNOWN
    return Overall.HEALTHY


def counts(found: Iterable[Found]) -> dict[Severity, int]:
    """Return how many findings each severity has, gravest first."""
    kept = tuple(found)
    return {severity: sum(one.severity is severity for one in kept) for severity in Severity}
