"""Proposals in words: what they would change, who wants it, who agreed, what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dashboard.cards.overview import OpenItem
from dashboard.cards.wording import flag_text
from routing.approvals.queries import Policy, ProposalRow
from routing.changes import ends, wall
from routing.core import approval
from routing.core.approval import Content
from routing.core.errors import Invalid
from routing.core.flags import DECLARED, FlagName, State
from routing.core.values import ProposalState
from routing.flags.queries import Grid

# A state as one of the statuses that have a shape, and what it says to a person.
STATES: Mapping[ProposalState, tuple[str, str]] = {
    ProposalState.PROPOSED: ("unknown", "waits for a second person"),
    ProposalState.APPROVED: ("partly", "approved, not applied yet"),
    ProposalState.APPLIED: ("done", "applied"),
    ProposalState.REJECTED: ("refused", "rejected"),
    ProposalState.WITHDRAWN: ("off", "withdrawn"),
    ProposalState.EXPIRED: ("off", "expired"),
    ProposalState.VOIDED: ("off", "voided"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One flag of a proposal; `before` is empty once the flag has moved on from its base."""

    name: str
    before: str
    after: str
    base_version: int
    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalCard:
    """One proposal; `title` says in one phrase what it wants, people are named.

    `at` is the time for which applying it plans it, `times` that and how long it holds, in words.
    """

    number: int
    title: str
    shape: str
    word: str
    is_open: bool
    is_approved: bool
    steps: tuple[Step, ...]
    reason: str
    digest: str
    short: str
    proposed_at: datetime
    proposed_by: str
    expires_at: datetime
    approved_at: datetime | None
    approved_by: str
    approved_note: str
    ended_at: datetime | None
    ended_by: str
    ended_because: str
    entry_seq: int | None
    moved: str
    at: str = ""
    times: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLine:
    """One flag with whether it needs approval here."""

    name: FlagName
    purpose: str
    needs: bool


def proposal_card(
    row: ProposalRow,
    *,
    now: datetime,
    grid: Grid,
    policy: Policy,
    names: Mapping[str, str],
    moved: str = "",
) -> ProposalCard:
    """Word one proposal; `moved` is what of its base is over, empty if nothing is."""
    content = _content(row)
    state = row.state
    if state in approval.OPEN and now >= row.expires_at:
        state = ProposalState.EXPIRED
    elif state in approval.OPEN and moved:
        state = ProposalState.VOIDED
    shape, word = STATES[state]
    return ProposalCard(
        number=row.number,
        title=title(content),
        shape=shape,
        word=word,
        is_open=state in approval.OPEN,
        is_approved=state is ProposalState.APPROVED,
        steps=_steps(row, content, grid, policy),
        reason=content.reason if content else "",
        digest=row.digest,
        short=row.digest[:12],
        proposed_at=row.proposed_at,
        proposed_by=names.get(row.proposed_by, row.proposed_by),
        expires_at=row.expires_at,
        approved_at=row.approved_at,
        approved_by=names.get(row.approved_by, row.approved_by),
        approved_note=row.approved_note,
        ended_at=row.ended_at,
        ended_by=names.get(row.ended_by, row.ended_by),
        ended_because=row.ended_because,
        entry_seq=row.entry_seq,
        moved=moved,
        at=at(content),
        times=_times(content),
    )


def at(content: Content | None) -> str:
    """Say for when applying plans it, empty for at once."""
    due = content.due if content else None
    return wall.words(due.due_at, due.zone) if due else ""


def _times(content: Content | None) -> str:
    """Say when and for how long, empty for at once and for good."""
    made = f"at {at(content)}, if it is applied before" if at(content) else ""
    lasts = content.lasts if content else None
    back = f"goes back by itself {ends.words(lasts)} after it is made" if lasts else ""
    return "; ".join(filter(None, (made, back)))


def _content(row: ProposalRow) -> Content | None:
    try:
        return row.content
    except Invalid:
        return None


def title(content: Content | None) -> str:
    """Say in one phrase what a proposal wants."""
    if content is None:
        return "Its stored text cannot be read"
    if content.policy is not None:
        return "Change which flags need approval"
    said = [
        f"Switch {wish.flag} {flag_text(wish.on, wish.percentage, wish.groups)}"
        for wish in content.sets[:2]
    ]
    more = len(content.sets) - len(said)
    return ", ".join(said) + (f" and {more} more" if more else "")


def _steps(
    row: ProposalRow, content: Content | None, grid: Grid, policy: Policy
) -> tuple[Step, ...]:
    if content is None:
        return ()
    if content.policy is not None:
        here = content.policy.base_version == policy.version
        return (
            Step(
                name="flags that need approval",
                before=_list(policy.flags) if here else "",
                after=_list(content.policy.flags),
                base_version=content.policy.base_version,
                purpose="Whoever changes one of them needs a second person.",
            ),
        )
    cells = {line.name: line.cells.get(row.environment) for line in grid.rows}
    found = []
    for wish in content.sets:
        cell = cells.get(wish.flag)
        here = cell is not None and cell.state.version == wish.base_version
        found.append(
            Step(
                name=str(wish.flag),
                before=_word(cell.state) if cell and here else "",
                after=flag_text(wish.on, wish.percentage, wish.groups),
                base_version=wish.base_version,
                purpose=DECLARED[wish.flag].purpose if wish.on else DECLARED[wish.flag].when_off,
            )
        )
    return tuple(found)


def _word(state: State) -> str:
    return flag_text(state.on, state.percentage, state.groups)


def _list(flags: frozenset[FlagName]) -> str:
    return ", ".join(sorted(flags)) or "none"


def policy_lines(policy: Policy) -> tuple[PolicyLine, ...]:
    """Return every flag with whether it needs approval."""
    return tuple(
        PolicyLine(name=name, purpose=declared.purpose, needs=name in policy.flags)
        for name, declared in DECLARED.items()
    )


def headline(waiting: int, agreed: int, environment: str) -> str:
    """Say in one sentence what waits."""
    if waiting:
        verb = "1 proposal waits" if waiting == 1 else f"{waiting} proposals wait"
        return f"{verb} for a second person in {environment}"
    if agreed:
        verb = "1 approved proposal waits" if agreed == 1 else f"{agreed} approved proposals wait"
        return f"{verb} to be applied in {environment}"
    return f"No proposal waits in {environment}"


def proposal_items(waiting: int, environment: str) -> tuple[OpenItem, ...]:
    """Return what the Overview says of proposals that wait for a second person."""
    if not waiting:
        return ()
    return (OpenItem(text=f"{headline(waiting, 0, environment)}.", route="approvals"),)
