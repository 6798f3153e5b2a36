"""Support mode and audits of the installation in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dashboard.cards.audit import pretty
from routing.core.findings import Overall, Severity
from routing.support.queries import AuditRow, FindingRow, SessionRow, Status

# A severity or a sum as one of the statuses that have a shape; its own word stands beside it.
SHAPED: Mapping[str, str] = {
    Severity.CRITICAL: "unhealthy",
    Severity.HIGH: "degraded",
    Severity.MEDIUM: "partly",
    Severity.LOW: "off",
    Severity.INFO: "off",
    Overall.HEALTHY: "healthy",
    Overall.WARNING: "degraded",
    Overall.UNKNOWN: "unknown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCard:
    """One finding; `shape` is the status whose shape it wears."""

    shape: str
    word: str
    check: str
    title: str
    remediation: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    severity: str
    findings: tuple[FindingCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCard:
    """The last audit; `groups` holds its findings by severity, gravest first, none empty."""

    id: int
    shape: str
    overall: str
    sentence: str
    at: datetime
    who: str
    took_ms: int
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """One session with people's names; `closed_at` None while it is open."""

    id: int
    opened_at: datetime
    opened_by: str
    reason: str
    ends_at: datetime | None
    closed_at: datetime | None
    closed_by: str
    closed_because: str


def headline(told: Status) -> str:
    """Say how support mode stands, shortly."""
    if told.active:
        return f"Support mode is active in {told.environment}"
    if told.flag_on:
        return f"Support mode is not active in {told.environment}"
    return f"Support mode is switched off in {told.environment}"


def session_line(row: SessionRow, names: Mapping[str, str]) -> SessionLine:
    """Word one session; `names` maps what is booked for a person to the username of today."""
    return SessionLine(
        id=row.id,
        opened_at=row.opened_at,
        opened_by=names.get(row.opened_by, row.opened_by),
        reason=row.reason,
        ends_at=row.ends_at,
        closed_at=row.closed_at,
        closed_by=names.get(row.closed_by, row.closed_by),
        closed_because=row.closed_because,
    )


def audit_card(last: AuditRow, names: Mapping[str, str]) -> AuditCard:
    """Word one audit with its findings."""
    groups = [
        Group(
            severity=str(severity),
            findings=tuple(_finding(one) for one in last.findings if one.severity is severity),
        )
        for severity in Severity
    ]
    return AuditCard(
        id=last.id,
        shape=SHAPED[last.overall],
        overall=str(last.overall),
        sentence=_counted(last),
        at=last.started_at,
        who=names.get(last.by, last.by),
        took_ms=int((last.ended_at - last.started_at).total_seconds() * 1000),
        groups=tuple(group for group in groups if group.findings),
    )


def _counted(last: AuditRow) -> str:
    said = [f"{count} {severity}" for severity, count in last.counts.items() if count]
    blind = sum(one.unchecked for one in last.findings)
    words = f"{last.checks} checks, {', '.join(said) or 'nothing found'}"
    return f"{words}; {blind} could not look" if blind else words


def _finding(one: FindingRow) -> FindingCard:
    return FindingCard(
        shape="unknown" if one.unchecked else SHAPED[one.severity],
        word="not checked" if one.unchecked else str(one.severity),
        check=one.check,
        title=one.title,
        remediation=one.remediation,
        evidence=pretty(one.evidence),
    )
