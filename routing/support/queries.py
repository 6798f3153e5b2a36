"""The support manager for readers: its state in a sentence, its sessions, its last audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing.core.findings import Overall, Severity
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName
from routing.flags import queries as flags
from routing.flags.queries import Cell
from routing.support.models import AuditRun, Finding, SupportSession

FLAG = FlagName.SUPPORT_MODE


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session; while it is open its `closed_at` is None. `ends_at` None lasts until closed."""

    id: int
    environment: EnvironmentName
    opened_at: datetime
    opened_by: str
    reason: str
    ends_at: datetime | None
    closed_at: datetime | None
    closed_by: str
    closed_because: str

    def is_over(self, now: datetime) -> bool:
        """Tell whether it was closed or its end has come."""
        return self.closed_at is not None or (self.ends_at is not None and self.ends_at <= now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Support mode in one environment. `active` needs an open session and the flag on.

    `session` is the open one even where it does not count; `obstacle` says why nobody can
    activate now, empty where somebody can.
    """

    environment: EnvironmentName
    active: bool
    session: SessionRow | None
    flag_on: bool
    sentence: str
    obstacle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    check: str
    severity: Severity
    title: str
    evidence: Mapping[str, Any]
    remediation: str
    unchecked: bool
    found_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One audit, its findings gravest first; in a history they are left out."""

    id: int
    environment: EnvironmentName
    started_at: datetime
    ended_at: datetime
    by: str
    checks: int
    counts: Mapping[Severity, int]
    overall: Overall
    findings: tuple[FindingRow, ...] = ()


def status(environment: EnvironmentName, now: datetime) -> Status:
    """Return how support mode stands in `environment`, by the tables."""
    return statuses([environment], now)[environment]


def statuses(
    environments: Sequence[EnvironmentName], now: datetime
) -> Mapping[EnvironmentName, Status]:
    """Return how support mode stands in each of `environments`: the tables are read once."""
    opened = {session.environment: session for session in open_sessions()}
    off = _obstacles(environments)
    return {name: _status(name, opened.get(name), off[name], now) for name in environments}


def _status(
    environment: EnvironmentName, session: SessionRow | None, off: str, now: datetime
) -> Status:
    active = session is not None and not off and not session.is_over(now)
    return Status(
        environment=environment,
        active=active,
        session=session,
        flag_on=not off,
        sentence=_sentence(environment, session, off, active=active),
        obstacle=off or (active_already(environment, session) if active and session else ""),
    )


def flag_obstacle(environment: EnvironmentName) -> str:
    """Return what the flag has against support mode in `environment`, empty when it is on.

    On means on for everyone: a mode of the whole environment is not on for a share of it.
    """
    return _obstacles([environment])[environment]


def _obstacles(environments: Sequence[EnvironmentName]) -> Mapping[EnvironmentName, str]:
    cells = flags.flag_row(FLAG, environments).cells
    return {name: _obstacle(name, cells.get(name)) for name in environments}


def _obstacle(environment: EnvironmentName, cell: Cell | None) -> str:
    if cell is not None and cell.state.share == 100:
        return ""
    if cell is None:
        how = "was not laid yet"
    else:
        how = f"is on for {cell.state.share} % only" if cell.state.share else "is off"
    return (
        f"The flag {FLAG} {how} in {environment}, so support mode cannot be activated. Switch it "
        "on first, on the Flags page or with `manage.py set_flag`."
    )


def active_already(environment: EnvironmentName, session: SessionRow) -> str:
    """Return why a second activation is none."""
    return (
        f"Support mode is active in {environment} already: {session.opened_by} activated it at "
        f"{_stamp(session.opened_at)}, saying: {session.reason}. Nothing was changed; you share "
        "that session, or deactivate it first."
    )


def _sentence(
    environment: EnvironmentName, session: SessionRow | None, off: str, *, active: bool
) -> str:
    if session is None:
        return off or (
            f"Support mode is not active in {environment}: the flag is on, and nobody has "
            "activated it."
        )
    if active:
        until = f" until {_stamp(session.ends_at)}" if session.ends_at else ""
        return (
            f"Support mode is active in {environment} since {_stamp(session.opened_at)}{until}, "
            f"activated by {session.opened_by}: {session.reason}"
        )
    why = "its end has come" if not off else f"the flag {FLAG} is not on"
    return (
        f"Support mode is not active in {environment}: {why}. Session {session.id} is still "
        "open and ends within a minute while a server runs."
    )


def open_session(environment: EnvironmentName) -> SessionRow | None:
    """Return the session that nobody has closed yet."""
    found = SupportSession.objects.filter(environment_id=environment, closed_at=None).first()
    return row_of(found) if found else None


def open_sessions() -> tuple[SessionRow, ...]:
    """Return the open sessions of all environments."""
    return tuple(map(row_of, SupportSession.objects.filter(closed_at=None).order_by("pk")))


def sessions(environment: EnvironmentName, *, size: int = 20) -> tuple[SessionRow, ...]:
    """Return the newest `size` sessions of `environment`, newest first."""
    found = SupportSession.objects.filter(environment_id=environment)
    return tuple(map(row_of, found.order_by("-opened_at", "-pk")[:size]))


def row_of(found: SupportSession) -> SessionRow:
    """Return a table row as a frozen one."""
    return SessionRow(
        id=found.pk,
        environment=EnvironmentName(found.environment_id),
        opened_at=found.opened_at,
        opened_by=found.opened_by,
        reason=found.reason,
        ends_at=found.ends_at,
        closed_at=found.closed_at,
        closed_by=found.closed_by,
        closed_because=found.closed_because,
    )


def last_audit(environment: EnvironmentName) -> AuditRow | None:
    """Return the newest audit of `environment` with its findings, None before the first."""
    run = (
        AuditRun.objects.filter(environment_id=environment).order_by("-started_at", "-pk").first()
    )
    if run is None:
        return None
    order = list(Severity)
    found = [_finding(kept) for kept in Finding.objects.filter(run=run).order_by("pk")]
    return _audit(run, tuple(sorted(found, key=lambda one: order.index(one.severity))))


def audits(environment: EnvironmentName, *, size: int = 10) -> tuple[AuditRow, ...]:
    """Return the newest `size` audits of `environment`, newest first, without their findings."""
    runs = AuditRun.objects.filter(environment_id=environment)
    return tuple(_audit(run, ()) for run in runs.order_by("-started_at", "-pk")[:size])


def _audit(run: AuditRun, findings: tuple[FindingRow, ...]) -> AuditRow:
    return AuditRow(
        id=run.pk,
        environment=EnvironmentName(run.environment_id),
        started_at=run.started_at,
        ended_at=run.ended_at,
        by=run.by,
        checks=run.checks,
        counts={severity: int(run.counts.get(severity, 0)) for severity in Severity},
        overall=Overall(run.overall),
        findings=findings,
    )


def _finding(kept: Finding) -> FindingRow:
    return FindingRow(
        check=kept.check_code,
        severity=Severity(kept.severity),
        title=kept.title,
        evidence=kept.evidence,
        remediation=kept.remediation,
        unchecked=kept.unchecked,
        found_at=kept.found_at,
    )


def _stamp(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
