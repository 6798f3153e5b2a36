"""Four eyes: which changes need them, what exactly is agreed to, who counts as the second pair.

An approval is given to a digest: SHA-256 over the canonical bytes of all that is proposed, with
the versions that it starts from. Other content is another proposal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from routing.core import chain
from routing.core.chain import Json
from routing.core.errors import Invalid, RuleBroken
from routing.core.flags import FlagName
from routing.core.guards import PROVIDER, Cause
from routing.core.plans import Due
from routing.core.rights import Actor, Right
from routing.core.values import ActorKind, EnvironmentName, ProposalState

FORM = 1
TIMED = 2  # the form of a content with a time or an end; without both it is as it always was
LASTS = timedelta(hours=24)
# Who made, granted, reopened or reset an account within this time holds its hand.
TIES_FOR = timedelta(days=7)

# Before an admin says otherwise: in production, the flags that open a path.
DEFAULT: Mapping[EnvironmentName, frozenset[FlagName]] = {
    EnvironmentName.DEVELOPMENT: frozenset(),
    EnvironmentName.STAGING: frozenset(),
    EnvironmentName.PRODUCTION: frozenset(PROVIDER.values()),
}

REQUIRED, PERSON, SELF, TIED, OVER, OTHER, RIGHT_LOST, LOOSER = (
    "approval_required",
    "approval_by_a_person",
    "approval_by_another",
    "approval_by_untied",
    "proposal_over",
    "approved_content",
    "approval_rights",
    "approval_to_loosen",
)

NEXT: Mapping[ProposalState, frozenset[ProposalState]] = {
    ProposalState.PROPOSED: frozenset(
        {
            ProposalState.APPROVED,
            ProposalState.REJECTED,
            ProposalState.WITHDRAWN,
            ProposalState.EXPIRED,
            ProposalState.VOIDED,
        }
    ),
    # Whoever may approve may take it back until it is applied.
    ProposalState.APPROVED: frozenset(
        {
            ProposalState.APPLIED,
            ProposalState.REJECTED,
            ProposalState.WITHDRAWN,
            ProposalState.EXPIRED,
            ProposalState.VOIDED,
        }
    ),
    ProposalState.REJECTED: frozenset(),
    ProposalState.WITHDRAWN: frozenset(),
    ProposalState.EXPIRED: frozenset(),
    ProposalState.VOIDED: frozenset(),
    ProposalState.APPLIED: frozenset(),
}
OPEN = frozenset(state for state, following in NEXT.items() if following)


class Bypass(StrEnum):
    """What never waits for a second person; it is booked on the change."""

    ROLLBACK = "rollback"
    BREAK_GLASS = "break_glass"
    END = "end"  # of a change that was agreed to with its end


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """The proposal that a change stands on; `digest` is of the content that was looked at.

    `due` is the time for which it was planned, of a change that is due now.
    """

    number: int
    digest: str
    due: Due | None = None


Under = Agreed | Bypass | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One flag to one state from one version; off has the share 100, as it counts for nothing."""

    flag: FlagName
    on: bool
    percentage: int
    base_version: int
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyWish:
    """The flags that shall need approval, from the version of the policy that was looked at."""

    flags: frozenset[FlagName]
    base_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """All that is agreed to: flags to states, or another policy; why; and where.

    With `due` applying it plans it for then, with `lasts` it goes back that long after it is made.
    """

    environment: EnvironmentName
    reason: str
    sets: tuple[Wish, ...] = ()
    policy: PolicyWish | None = None
    due: Due | None = None
    lasts: timedelta | None = None

    @property
    def right(self) -> Right:
        """Return the right that the proposer needs, when proposing and when it is applied."""
        return Right.SETTINGS if self.policy else Right.CHANGE


def ordered(sets: tuple[Wish, ...]) -> tuple[Wish, ...]:
    """Return `sets` in the one order in which they are agreed to."""
    return tuple(sorted(sets, key=lambda wish: wish.flag))


def write(content: Content) -> str:
    """Return the canonical text of `content`; equal contents have equal texts."""
    policy: Json = None
    if content.policy is not None:
        policy = {
            "flags": sorted(str(flag) for flag in content.policy.flags),
            "base_version": content.policy.base_version,
        }
    said: dict[str, Json] = {
        "v": FORM,
        "environment": str(content.environment),
        "reason": content.reason,
        "sets": [
            {
                "flag": str(wish.flag),
                "on": wish.on,
                "percentage": wish.percentage,
                "groups": list(wish.groups),
                "base_version": wish.base_version,
            }
            for wish in ordered(content.sets)
        ],
        "policy": policy,
    }
    if content.due is not None or content.lasts is not None:
        said |= {"v": TIMED, "due": _written(content.due), "lasts_s": _seconds(content.lasts)}
    return chain.canonical(said).decode()


def _written(due: Due | None) -> Json:
    if due is None:
        return None
    return {
        "at": due.due_at.isoformat(),
        "local": due.local,
        "zone": due.zone,
        "grace_s": _seconds(due.grace),
    }


def _seconds(span: timedelta | None) -> int | None:
    return None if span is None else int(span.total_seconds())


def read(text: str) -> Content:
    """Return what `write` wrote; raises Invalid for any other text."""
    try:
        content = _content(chain.read(text.encode()))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise Invalid("The stored text is not the content of a proposal.") from None
    if write(content) != text:
        raise Invalid("The stored text is not the content of a proposal.")
    return content


def _content(said: Any) -> Content:
    policy = said["policy"]
    return Content(
        environment=EnvironmentName(said["environment"]),
        reason=str(said["reason"]),
        sets=tuple(
            Wish(
                flag=FlagName(one["flag"]),
                on=bool(one["on"]),
                percentage=int(one["percentage"]),
                groups=tuple(str(group) for group in one["groups"]),
                base_version=int(one["base_version"]),
            )
            for one in said["sets"]
        ),
        policy=policy
        and PolicyWish(
            flags=frozenset(FlagName(flag) for flag in policy["flags"]),
            base_version=int(policy["base_version"]),
        ),
        due=_due(said.get("due")),
        lasts=_span(said.get("lasts_s")),
    )


def _due(said: Any) -> Due | None:
    return said and Due(
        due_at=datetime.fromisoformat(said["at"]),
        local=str(said["local"]),
        zone=str(said["zone"]),
        grace=timedelta(seconds=int(said["grace_s"])),
    )


def _span(seconds: Any) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=int(seconds))


def digest(text: str) -> str:
    """Return the SHA-256 of a canonical text in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def needing(
    policy: frozenset[FlagName],
    shares: Mapping[FlagName, tuple[int, int]],
    cause: Cause | None,
) -> tuple[FlagName, ...]:
    """Return which flags of a change need approval; `shares` is each before and after, 0 to 100.

    A path that goes off whole for security or compliance never waits.
    """
    return tuple(
        flag
        for flag, (before, after) in shares.items()
        if flag in policy and not (cause is not None and _shuts(flag, before, after))
    )


def _shuts(flag: FlagName, before: int, after: int) -> bool:
    return flag in PROVIDER.values() and before > 0 and after == 0


def check_needed(needed: tuple[FlagName, ...], environment: EnvironmentName) -> None:
    """Raise RuleBroken, with what to do, if any flag needs an approval that is not there."""
    if not needed:
        return
    names = ", ".join(needed)
    raise RuleBroken(
        f"Refused by the rule {REQUIRED}: in {environment} a change of {names} needs a second "
        "person. Propose it; once somebody else has approved it, apply it. Closing a path for "
        "security or compliance, and a rollback, never wait.",
        rule=REQUIRED,
        flags=[str(flag) for flag in needed],
    )


def check_second(approver: Actor, *, proposed_by: str) -> None:
    """Raise RuleBroken unless `approver` is a person other than the proposer."""
    if approver.kind is not ActorKind.USER:
        raise RuleBroken(
            f"Refused by the rule {PERSON}: a {approver.kind} is never the second pair of eyes. "
            "A person approves on the page Approvals, signed in.",
            rule=PERSON,
        )
    if approver.id == proposed_by:
        raise RuleBroken(
            f"Refused by the rule {SELF}: you proposed this. Another person has to look at it.",
            rule=SELF,
        )


def check_first(actor: Actor) -> None:
    """Raise RuleBroken unless `actor` may be the first pair of eyes: a person or a shell."""
    if actor.kind not in (ActorKind.USER, ActorKind.SHELL):
        raise RuleBroken(
            f"Refused by the rule {PERSON}: a {actor.kind} neither proposes nor applies. "
            "Sign in, or use manage.py.",
            rule=PERSON,
        )


def check_tie(tie: str) -> None:
    """Raise RuleBroken if `tie` says what binds the two accounts together."""
    if tie:
        raise RuleBroken(
            f"Refused by the rule {TIED}: within the last {TIES_FOR.days} days {tie}. Such two "
            "accounts count as one pair of eyes; ask somebody else.",
            rule=TIED,
        )
