"""What a change asks of approval: the one hook of every change, in the change's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from routing.access import eyes
from routing.approvals import store
from routing.approvals.store import ProposalRow
from routing.core import approval, rights
from routing.core.approval import Agreed, Bypass, Content, PolicyWish, Under, Wish
from routing.core.chain import Json
from routing.core.errors import RuleBroken, Stale
from routing.core.flags import FlagName, SetFlag, State
from routing.core.guards import Cause
from routing.core.rights import RIGHTS, Actor, Right
from routing.core.values import EnvironmentName, ProposalState, Role
from routing.glass import queries as glass

Facts = dict[str, Json]
_SHELL = "shell:"


def check(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    pending: Sequence[SetFlag],
    states: Mapping[FlagName, State],
    reason: str,
    cause: Cause | None,
    under: Under,
    lasts: timedelta | None = None,
) -> Facts:
    """Return what is booked of the approval of a change of flags, and use the proposal up.

    `pending` is what of the change is left to do in `states`, for as long as `lasts`. One that was
    planned was used up then and must still hold. Raises RuleBroken where an approval is needed and
    absent, or is there and does not hold; NotFound, Stale.
    """
    if isinstance(under, Agreed):
        wanted = Content(
            environment=environment,
            reason=reason,
            sets=wishes(pending),
            due=under.due,
            lasts=lasts,
        )
        if under.due is not None:
            return _still_holds(now, under, wanted)
        return _use_up(by, now, under, wanted)
    needed = needing(environment, shares(pending, states), cause)
    if isinstance(under, Bypass):
        return _passed_by(under, needed)
    if needed and glass.active(environment, now) is not None:
        return _passed_by(Bypass.BREAK_GLASS, needed)
    approval.check_needed(needed, environment)
    return {}


def check_plan(
    *,
    by: Actor,
    now: datetime,
    content: Content,
    needed: Sequence[FlagName],
    under: Agreed | None,
) -> Facts:
    """Return what is booked of the approval of a plan of `content`, and use the proposal up.

    Raises as `check` does: what would be refused when it is due is refused now.
    """
    if under is not None:
        return _use_up(by, now, under, content)
    approval.check_needed(tuple(needed), content.environment)
    return {}


def check_adopted(
    environment: EnvironmentName, states: Mapping[FlagName, tuple[State, State]]
) -> None:
    """Raise RuleBroken where adopting what was changed around us would be a way past approval.

    `states` is each flag as booked and as found. Reverting never waits.
    """
    moved = {
        flag: (before.share, after.share)
        for flag, (before, after) in states.items()
        if not after.gives_as(before)
    }
    needed = needing(environment, moved, None)
    if needed:
        raise RuleBroken(
            f"Refused by the rule {approval.REQUIRED}: in {environment} a change of "
            f"{', '.join(needed)} needs a second person, however it was made. Revert what was "
            "changed around us, then propose it.",
            rule=approval.REQUIRED,
            flags=[str(flag) for flag in needed],
        )


def needing(
    environment: EnvironmentName,
    moved: Mapping[FlagName, tuple[int, int]],
    cause: Cause | None,
) -> tuple[FlagName, ...]:
    """Return which flags of a change wait for a second person."""
    return approval.needing(store.policy(environment).flags, moved, cause)


def wishes(pending: Sequence[SetFlag]) -> tuple[Wish, ...]:
    """Return flags as they can be agreed to."""
    return tuple(
        Wish(
            flag=item.flag,
            on=item.on,
            percentage=item.percentage,
            groups=item.groups,
            base_version=item.base_version,
        )
        for item in pending
    )


def shares(
    pending: Sequence[SetFlag], states: Mapping[FlagName, State]
) -> dict[FlagName, tuple[int, int]]:
    """Return the share of each flag before and after."""
    return {item.flag: (states[item.flag].share, item.state.share) for item in pending}


def check_policy(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    wish: PolicyWish,
    reason: str,
    under: Agreed | None,
) -> Facts:
    """Return what is booked of the approval of another policy; loosening one needs it."""
    if under is not None:
        wanted = Content(environment=environment, reason=reason, policy=wish)
        return _use_up(by, now, under, wanted)
    dropped = store.policy(environment).flags - wish.flags
    if dropped:
        raise RuleBroken(
            f"Refused by the rule {approval.LOOSER}: to drop {', '.join(sorted(dropped))} from "
            f"what needs approval in {environment} needs a second person itself. Propose it; "
            "adding flags needs nobody else.",
            rule=approval.LOOSER,
            flags=sorted(str(flag) for flag in dropped),
        )
    return {}


def seal(under: Under, *, entry_seq: int) -> None:
    """Note under which entry the proposal of a change was applied."""
    if isinstance(under, Agreed) and under.due is None:
        store.seal(under.number, entry_seq=entry_seq)


def _passed_by(under: Bypass, needed: tuple[FlagName, ...]) -> Facts:
    if not needed:
        return {}
    return {"approval": {"bypassed": str(under), "flags": [str(flag) for flag in needed]}}


def _use_up(by: Actor, now: datetime, under: Agreed, wanted: Content) -> Facts:
    approval.check_first(by)
    row = store.read(wanted.environment, under.number, lock=True)
    check_open(row, now, {ProposalState.APPROVED})
    _check_same(row, now, under, wanted)
    used = store.move(row, ProposalState.APPLIED, ended_at=now, ended_by=by.id)
    return {"approval": told(used)}


def _still_holds(now: datetime, under: Agreed, wanted: Content) -> Facts:
    row = store.read(wanted.environment, under.number, lock=True)
    _check_same(row, now, under, wanted)
    return {"approval": told(row)}


def _check_same(row: ProposalRow, now: datetime, under: Agreed, wanted: Content) -> None:
    content = looked_at(row, under.digest)
    if approval.write(content) != approval.write(wanted):
        raise RuleBroken(
            f"Refused by the rule {approval.OTHER}: proposal {row.number} was approved for other "
            "flags, states, versions, times or words than these. Nothing was changed; propose "
            "what you mean.",
            rule=approval.OTHER,
        )
    check_people(row, row.approved_by, content.right, now)


def told(row: ProposalRow) -> dict[str, Json]:
    """Return how the entry of a change names its proposal and both persons."""
    return {
        "proposal": row.number,
        "digest": row.digest,
        "proposed_by": row.proposed_by,
        "approved_by": row.approved_by,
        "approved_at": row.approved_at.isoformat() if row.approved_at else None,
    }


def check_open(row: ProposalRow, now: datetime, states: set[ProposalState]) -> None:
    """Raise RuleBroken, saying what became of it, unless the proposal is in one of `states`."""
    why = ""
    if row.state not in states:
        why = {
            ProposalState.PROPOSED: "nobody has approved it yet",
            ProposalState.APPROVED: "it is approved already",
            ProposalState.APPLIED: "it was applied, which is done once",
        }.get(row.state, f"it is {row.state}")
    elif now >= row.expires_at:
        why = "it has expired"
    if why:
        raise RuleBroken(
            f"Refused by the rule {approval.OVER}: proposal {row.number} cannot be used, {why}. "
            "Nothing was changed.",
            rule=approval.OVER,
            state=str(row.state),
        )


def looked_at(row: ProposalRow, digest: str) -> Content:
    """Return the content that `digest` is of; raises RuleBroken, Stale for another one."""
    if not row.is_whole:
        raise RuleBroken(
            f"Refused by the rule {approval.OTHER}: the stored text of proposal {row.number} is "
            "not what its digest was made of: it was altered around us. Nothing was changed; "
            "call an admin.",
            rule=approval.OTHER,
        )
    if digest != row.digest:
        raise Stale(
            f"You looked at other content than that of proposal {row.number}. Nothing was done; "
            "look at it again.",
            current=row.digest,
        )
    return row.content


def check_people(
    row: ProposalRow, approver: str, right: Right, now: datetime, *, lock: bool = True
) -> None:
    """Raise RuleBroken unless both persons still hold their rights and are two persons."""
    held = eyes.held([row.proposed_by, approver], row.environment, lock=lock)
    proposer = Role.ADMIN if row.proposed_by.startswith(_SHELL) else held.get(row.proposed_by)
    for who, role, needed in (
        ("who proposed it", proposer, right),
        ("who approved it", held.get(approver), Right.APPROVE),
    ):
        if role is None or rights.needs(needed, row.environment) not in RIGHTS[role]:
            raise RuleBroken(
                f"Refused by the rule {approval.RIGHT_LOST}: {who} does not hold the right "
                f"{needed} in {row.environment} any more. Nothing was changed; propose it anew.",
                rule=approval.RIGHT_LOST,
            )
    approval.check_tie(eyes.tie(row.proposed_by, approver, now=now))
