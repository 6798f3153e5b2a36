"""Entries of the audit trail in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.cards.wording import diff
from routing.audit.queries import EntryRow
from routing.core.values import Action, Outcome

# What was done, and how it reads when it was only tried.
DEEDS: Mapping[str, tuple[str, str]] = {
    Action.STREAM_OPEN: ("opened the audit trail", "tried to open the audit trail"),
    Action.SIGNIN: ("signed in", "tried to sign in"),
    Action.SIGNIN_FAILURES: ("failed to sign in", "failed to sign in"),
    Action.SIGNOUT: ("signed out", "tried to sign out"),
    Action.PAGE_OPEN: ("opened the page", "tried to open the page"),
    Action.USER_CREATE: ("made the account", "tried to make the account"),
    Action.USER_RESET: ("reset the password of", "tried to reset the password of"),
    Action.USER_CLOSE: ("closed the account", "tried to close the account"),
    Action.USER_REOPEN: ("reopened the account", "tried to reopen the account"),
    Action.PASSWORD_CHANGE: ("chose another password", "tried to choose another password"),
    Action.ROLE_GRANT: ("granted a role to", "tried to grant a role to"),
    Action.ROLE_REVOKE: ("took the role from", "tried to take the role from"),
    Action.TOKEN_ISSUE: ("issued the token", "tried to issue the token"),
    Action.TOKEN_REVOKE: ("revoked the token", "tried to revoke the token"),
    Action.ENVIRONMENT_CREATE: ("set up the environment", "tried to set up the environment"),
    Action.HISTORY_LAY: (
        "laid the recorded runs as history of",
        "tried to lay the recorded runs as history of",
    ),
    Action.FLAG_CREATE: ("laid the flags of", "tried to lay the flags of"),
    Action.FLAG_CHANGE: ("changed", "tried to change"),
    Action.PROPOSAL_MAKE: ("made the proposal", "tried to propose"),
    Action.PROPOSAL_APPROVE: ("approved the proposal", "tried to approve the proposal"),
    Action.PROPOSAL_REJECT: ("rejected the proposal", "tried to reject the proposal"),
    Action.PROPOSAL_WITHDRAW: ("withdrew the proposal", "tried to withdraw the proposal"),
    Action.PROPOSAL_APPLY: ("applied the proposal", "tried to apply the proposal"),
    Action.PROPOSAL_END: ("ended the proposal", "tried to end the proposal"),
    Action.APPROVAL_POLICY: (
        "changed what needs approval in",
        "tried to change what needs approval in",
    ),
    Action.KILL_SEEN: (
        "obeys the kill file of",
        "obeys, not understanding it, the kill file of",
    ),
    Action.KILL_GONE: ("saw the end of the kill file of",) * 2,
    Action.STANDBY_SERVE: (
        "served without the database, from what was last known,",
        "served without the database, not from what was last known,",
    ),
    Action.FLAG_DRIFT: ("found changes around the flags of",) * 2,
    Action.FLAG_ADOPT: (
        "adopted what was changed around the flags of",
        "tried to adopt what was changed around the flags of",
    ),
    Action.FLAG_REVERT: (
        "reverted what was changed around the flags of",
        "tried to revert what was changed around the flags of",
    ),
    Action.MATRIX_CHANGE: ("changed the matrix of", "tried to change the matrix of"),
    Action.SCHEDULE_SET: ("planned the change", "tried to plan a change of"),
    Action.SCHEDULE_CANCEL: ("took back the planned change", "tried to take back the change"),
    Action.SCHEDULE_FAIL: ("could not make the planned change",) * 2,
    Action.SCHEDULE_DROP: ("found nothing to put back for the end", "could not end the change"),
    Action.SCHEDULE_SEE: ("has seen what became of the change", "tried to close the change"),
    Action.GLASS_BREAK: ("broke the glass", "tried to break the glass of"),
    Action.GLASS_END: ("ended the break-glass", "tried to end the break-glass"),
    Action.GLASS_REVIEW: ("reviewed the break-glass", "tried to review the break-glass"),
    Action.DRAFT_SAVE: ("drafted the matrix of", "tried to draft the matrix of"),
    Action.DRAFT_DISCARD: (
        "discarded the draft of the matrix of",
        "tried to discard the draft of the matrix of",
    ),
    Action.OVERRIDE_SET: ("set an override for", "tried to set an override for"),
    Action.OVERRIDE_END: ("ended the override for", "tried to end the override for"),
    Action.TOOLS_PIN: ("pinned the MCP tool", "tried to pin the MCP tool"),
    Action.TOOLS_DRIFT: ("found changes around the MCP tool", "found changes of the MCP tool"),
    Action.TOOLS_ACCEPT: ("accepted the changed MCP tool", "tried to accept the MCP tool"),
    Action.BREAKER_FORCE: ("forced the breaker of", "tried to force the breaker of"),
    Action.BREAKER_RELEASE: ("released the breaker of", "tried to release the breaker of"),
    Action.COMPLIANCE_CHANGE: (
        "changed the compliance policy of",
        "tried to change the compliance policy of",
    ),
    Action.COST_CHANGE: ("changed prices or limits of", "tried to change prices or limits of"),
    Action.BUDGET_ALERT: ("reached a level of the budget",) * 2,
    Action.DENIALS_SUPPRESSED: ("was refused too often to book each time",) * 2,
    Action.ROUTE_ASK: ("asked to route", "tried to route"),
    Action.REPORT_READ: ("read the report of", "tried to read the report of"),
    Action.UPSTREAM_START: ("started the stand-in", "tried to start the stand-in"),
    Action.UPSTREAM_STOP: ("stopped the stand-in", "tried to stop the stand-in"),
    Action.UPSTREAM_FAULT: ("set a fault of the stand-in", "tried to set a fault of the stand-in"),
    Action.SUPPORT_ACTIVATE: ("began support mode", "tried to begin support mode"),
    Action.SUPPORT_DEACTIVATE: ("ended support mode", "tried to end support mode"),
    Action.DEPLOYMENT_IMPORT: ("imported the deployment", "tried to import the deployment"),
    Action.DEPLOYMENT_CREATE: ("began the deployment", "tried to begin the deployment"),
    Action.DEPLOYMENT_STEP: ("took a step of the deployment", "failed a step of the deployment"),
    Action.DEPLOYMENT_JUDGED: ("judged the deployment",) * 2,
    Action.DEPLOYMENT_CLOSED: ("closed the deployment", "tried to close the deployment"),
    Action.DEPLOYMENT_CANCEL: ("cancelled the deployment", "tried to cancel the deployment"),
    Action.ROLLBACK_PLAN: ("confirmed the plan of the rollback", "tried to roll back"),
    Action.ROLLBACK_REFUSED: ("refused the rollback, nothing written,", "tried to roll back"),
    Action.ROLLBACK_STEP: ("took a step of the rollback", "failed a step of the rollback"),
    Action.ROLLBACK_END: ("ended the rollback", "ended without proof the rollback"),
    Action.SUPPORT_AUDIT: ("looked the infrastructure over", "tried to look it over"),
}
_STEPS = frozenset({Action.DEPLOYMENT_STEP, Action.ROLLBACK_STEP})
# These say all by themselves; the object would only repeat the actor.
_NO_OBJECT = frozenset(
    {
        Action.SIGNIN,
        Action.SIGNOUT,
        Action.STREAM_OPEN,
        Action.DENIALS_SUPPRESSED,
        Action.PASSWORD_CHANGE,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One entry in words. `who` is a name where one is known, `actor` always what is booked.

    `booked` is the actor with its kind, which a name that begins with it says already.
    """

    seq: int
    at: datetime | None
    who: str
    actor: str
    booked: str
    role: str
    did: str
    target: str
    changes: tuple[tuple[str, str, str], ...]
    reason: str
    refusal: str
    outcome: str
    broken: str


def audit_line(row: EntryRow, names: Mapping[str, str]) -> AuditLine:
    """Word one entry; `names` maps what is booked for a person to the username of today."""
    did, tried = DEEDS.get(row.action, (row.action, row.action))
    target = "" if row.action in _NO_OBJECT else names.get(row.object_id, row.object_id)
    return AuditLine(
        seq=row.seq,
        at=None if row.broken and not row.action else row.at,
        who=names.get(row.actor, row.actor) or "nobody known",
        actor=row.actor,
        booked=row.actor
        if row.actor.startswith(f"{row.actor_kind}:")
        else f"{row.actor_kind} {row.actor}".strip(),
        role=row.role,
        did=_step(row, did if row.outcome == Outcome.DONE else tried),
        target=target,
        changes=tuple(
            ("" if name == target else name, old, new)
            for name, old, new in diff(row.before, row.after)
        ),
        reason=row.reason,
        refusal=_refusal(row),
        outcome=row.outcome or "unknown",
        broken=row.broken,
    )


def _step(row: EntryRow, did: str) -> str:
    """Name the step that an entry is about; what is skipped was not taken."""
    facts = row.facts if isinstance(row.facts, Mapping) else {}
    if row.action not in _STEPS or not facts.get("step"):
        return did
    if facts.get("skipped"):
        did = did.replace("took", "skipped", 1)
    return did.replace("a step", f"the step {facts['step']}", 1)


def _refusal(row: EntryRow) -> str:
    told = row.facts.get("message") if isinstance(row.facts, Mapping) else None
    return str(told) if told and row.outcome == Outcome.REFUSED else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The proposal that a change stood on and both persons; or `bypassed`, what did not wait."""

    number: int
    digest: str
    proposed_by: str
    approved_by: str
    bypassed: str


def agreement(row: EntryRow, names: Mapping[str, str]) -> Agreement | None:
    """Return who agreed to a change, None where nobody had to."""
    said = row.facts.get("approval") if isinstance(row.facts, Mapping) else None
    if not isinstance(said, Mapping):
        return None
    proposer, approver = str(said.get("proposed_by", "")), str(said.get("approved_by", ""))
    return Agreement(
        number=int(str(said.get("proposal", 0))),
        digest=str(said.get("digest", "")),
        proposed_by=names.get(proposer, proposer),
        approved_by=names.get(approver, approver),
        bypassed=str(said.get("bypassed", "")).replace("_", "-"),
    )


def agreed_by(row: EntryRow) -> tuple[str, ...]:
    """Return what is booked for the persons behind a change, to be named."""
    said = row.facts.get("approval") if isinstance(row.facts, Mapping) else None
    if not isinstance(said, Mapping):
        return ()
    return tuple(str(said.get(name, "")) for name in ("proposed_by", "approved_by"))


def pretty(value: Any) -> str:
    """Return a booked value as JSON for reading; empty for none."""
    return "" if value is None else json.dumps(value, indent=2, ensure_ascii=False)
