"""What the tests of approval stand on: people with accounts old enough to be two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from routing.access import people
from routing.approvals.store import ProposalRow
from routing.audit import verify
from routing.audit.queries import EntryRow
from routing.changes import proposal
from routing.changes.proposal import Done
from routing.core.errors import Refused
from routing.core.flags import FlagName, SetFlag
from routing.core.rights import Actor
from routing.core.values import ActorKind, EnvironmentName, Role
from tests.integration.changes.ground import (
    NOW,
    PROD,
    PROVEN,
    SHELL,
    STG,
    entries,
    facts,
    is_on,
    to,
)

LONG_AGO = NOW - timedelta(days=30)
MCP, BEDROCK, CACHING = (
    FlagName.MCP_INTEGRATION,
    FlagName.BEDROCK_PROVIDER,
    FlagName.CACHING,
)
WHY = "the provider is back"
NOTES: dict[str, Any] = {"environment": PROD, "health": PROVEN}


DIRECT: dict[str, Any] = {
    "environment": PROD,
    "typed_environment": "production",
    "confirmed": True,
    "health": PROVEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    user_id: int
    actor: Actor
    password: str


def somebody(
    name: str, role: Role = Role.ADMIN, *, by: Actor = SHELL, at: datetime = LONG_AGO
) -> Person:
    """Make an account with `role` everywhere, long ago unless told; return its person."""
    made = people.create_user(
        reason="for a test",
        by=by,
        now=at,
        username=name,
        grants=dict.fromkeys(EnvironmentName, role),
    )
    return Person(user_id=made.user_id, actor=signed_in(made, role), password=made.password)


def signed_in(made: people.Created, role: Role, session: str = "one") -> Actor:
    """Return the actor that this person is in one of their sessions."""
    return Actor(
        kind=ActorKind.USER,
        id=made.pseudonym,
        name=made.username,
        grants=dict.fromkeys(EnvironmentName, role),
        session=session,
    )


def somebody_again(known: Person, role: Role) -> Actor:
    """Return the actor that `known` is with another role than at first."""
    return replace(known.actor, grants=dict.fromkeys(EnvironmentName, role))


def propose(by: Actor, sets: Sequence[SetFlag] | None = None, **more: Any) -> ProposalRow:
    """Propose that mcp goes off in production, unless told otherwise."""
    wanted = sets if sets is not None else [to(MCP, False, environment=PROD)]
    usual: dict[str, Any] = {"now": NOW, "reason": WHY, **NOTES}
    return proposal.make(by=by, sets=wanted, **(usual | more))


def approve(by: Actor, row: ProposalRow, **more: Any) -> ProposalRow:
    """Agree to what `row` says."""
    usual: dict[str, Any] = {
        "now": NOW,
        "environment": row.environment,
        "number": row.number,
        "digest": row.digest,
    }
    return proposal.approve(by=by, **(usual | more))


def apply(by: Actor, row: ProposalRow, **more: Any) -> Done:
    """Apply what `row` says, with all that production asks for."""
    usual: dict[str, Any] = {
        "now": NOW,
        "environment": row.environment,
        "number": row.number,
        "digest": row.digest,
        "health": PROVEN,
        "confirmed": True,
        "typed_environment": str(row.environment),
    }
    return proposal.apply(by=by, **(usual | more))


def standing() -> list[bool]:
    """Return both paths' flags in production and staging: what no refused attempt may move."""
    return [is_on(flag, place) for flag in (MCP, BEDROCK) for place in (PROD, STG)]


def attempt(rule: str, who: Actor, action: str, do: Callable[[], object]) -> None:
    """Do what must be refused by `rule`, booked for `who`, and change nothing."""
    before = standing()
    with pytest.raises(Refused):
        do()
    assert refused() == (who.id, action, rule)
    assert standing() == before
    assert verify.verify().ok


def refused() -> tuple[str, str, str]:
    """Return actor, action and rule (or code) of the newest refusal that was booked."""
    entry: EntryRow = next(e for e in entries() if e.outcome == "refused")
    told = facts(entry.facts)
    return entry.actor, entry.action, str(told["facts"].get("rule") or told["code"])
