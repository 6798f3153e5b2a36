"""Whether two pairs of eyes are two: what both accounts hold now, and what binds them together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime

from routing.access.models import RoleGrant, User
from routing.audit import queries as audit
from routing.audit.queries import EntryRow, Filters
from routing.core.approval import TIES_FOR
from routing.core.values import Action, EnvironmentName, Outcome, Role

# Who did these to an account knows, or knew, its password.
_CONTROL: Mapping[Action, str] = {
    Action.USER_CREATE: "made the account of",
    Action.USER_RESET: "reset the password of",
}
_TIES: Mapping[Action, str] = {
    **_CONTROL,
    Action.USER_REOPEN: "reopened the account of",
    Action.ROLE_GRANT: "granted a role to",
}
_PAGE = 500


def held(
    pseudonyms: Collection[str], environment: EnvironmentName, *, lock: bool
) -> Mapping[str, Role]:
    """Return the role that each of these people holds now; nobody who is closed or holds none.

    With `lock`, inside a transaction, whoever changes their roles waits for its end. Rows are
    locked in one order, so that two such questions never wait for each other.
    """
    people = User.objects.filter(pseudonym__in=pseudonyms).order_by("pk")
    found = people.select_for_update() if lock else people
    active = {user.pk: user.pseudonym for user in found if user.is_active}
    grants = RoleGrant.objects.filter(user_id__in=active, environment_id=str(environment))
    return {active[grant.user_id]: Role(grant.role) for grant in grants}


def tie(proposer: str, approver: str, *, now: datetime) -> str:
    """Say what binds the two accounts together since 7 days, empty if nothing does.

    Read from the trail, which later grants do not overwrite. It counts either way round: an
    account that its approver made is no other person either. An account that an account of
    somebody's made is that somebody's too.
    """
    for one, other, words in (
        (proposer, approver, "the proposer, or an account in the same hands, {} the approver"),
        (approver, proposer, "the approver, or an account in the same hands, {} the proposer"),
    ):
        done = _done_to(other, by=_hands(one, now), now=now)
        if done:
            return words.format(done)
    if _makers(proposer, now) & _makers(approver, now):
        return "one person made both accounts, or knows a password of both"
    return ""


def _makers(who: str, now: datetime) -> frozenset[str]:
    """Return the people who made `who`, or reset its password, over any number of steps.

    A shell is none: whoever holds it could do worse.
    """
    makers: set[str] = set()
    fresh = {who}
    while fresh:
        deeds = [Filters(object_id=one, actions=_CONTROL) for one in fresh]
        found = {row.actor for asked in deeds for row in _lately(asked, now)}
        fresh = (
            {one for one in found if not one.startswith(("shell:", "system:"))} - makers - {who}
        )
        makers |= fresh
    return frozenset(makers)


def _hands(who: str, now: datetime) -> frozenset[str]:
    """Return `who` and every account that is in their hands, over any number of steps."""
    hands, fresh = {who}, {who}
    while fresh:
        deeds = [Filters(actor=one, actions=_CONTROL) for one in fresh]
        made = {row.object_id for asked in deeds for row in _lately(asked, now)}
        fresh = made - hands
        hands |= fresh
    return frozenset(hands)


def _done_to(account: str, *, by: frozenset[str], now: datetime) -> str:
    # Resetting one's own password binds nobody to anybody.
    deeds = {
        Action(row.action)
        for row in _lately(Filters(object_id=account, actions=_TIES), now)
        if row.actor in by and row.actor != account
    }
    return next((words for deed, words in _TIES.items() if deed in deeds), "")


def _lately(asked: Filters, now: datetime) -> list[EntryRow]:
    filters = replace(asked, object_type="user", outcome=Outcome.DONE, since=now - TIES_FOR)
    found: list[EntryRow] = []
    before: int | None = None
    while True:
        page = audit.page(filters=filters, before_seq=before, size=_PAGE)
        found += page.rows
        before = page.next_before_seq
        if before is None:
            return found
