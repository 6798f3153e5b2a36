"""How far a token reaches: what may be asked for, and by whom."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from routing.access import authority
from routing.access.models import RoleGrant, Token, User
from routing.core import reasons, rights, values
from routing.core.errors import Forbidden, Invalid
from routing.core.rights import RIGHTS, Actor, Right
from routing.core.values import ActorKind, EnvironmentName, Operation, Role

USUAL = timedelta(days=90)
LONGEST = timedelta(days=365)
LONGEST_RUN = timedelta(hours=1)
_TENANT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


class TokenKind(StrEnum):
    MACHINE = "machine"
    RUN = "run"  # minted by ourselves for one run; may pin a path and carry a nonce


def within(role: Role, limit: Role | None) -> bool:
    """Tell whether `role` gives nothing that `limit` does not; without a limit nothing is."""
    return limit is not None and RIGHTS[role] <= RIGHTS[limit]


def check(by: Actor, *, environment: EnvironmentName, role: Role, kind: TokenKind) -> None:
    """Raise Forbidden unless `by` may make such a token, with `emergency` or without.

    A machine's token takes the right Settings. A run token is minted by our own loops, which get
    no more than a viewer's, by commands, and for people who may deploy or roll back there.
    """
    if kind is TokenKind.MACHINE:
        authority.check(by, [environment])
    else:
        _check_run(by, environment)
        authority.must_exist([environment])
    _check_role(by, environment, role)


def _check_run(by: Actor, environment: EnvironmentName) -> None:
    if by.kind in (ActorKind.SYSTEM, ActorKind.SHELL):
        return
    if by.kind is ActorKind.USER and rights.can(by, Right.ROLL_BACK, environment):
        return
    if by.kind is not ActorKind.USER:
        raise Forbidden("Only a run of ours can mint a run token; ask for a machine's token.")
    rights.check(by, Right.DEPLOY, environment)


def _check_role(by: Actor, environment: EnvironmentName, role: Role) -> None:
    limit = Role.VIEWER if by.kind is ActorKind.SYSTEM else by.role(environment)
    if not within(role, limit):
        raise Forbidden(
            f"A token has at most the role of who makes it: {role} is more than {limit}. "
            "Ask for a lesser role.",
            role=str(role),
        )


def check_still(by: Actor, *, environment: EnvironmentName, role: Role) -> None:
    """Raise Forbidden if the person lost the role since the request began.

    Inside the transaction that makes the token: whoever changes roles waits for it, and then
    finds the token and withdraws it.
    """
    if by.kind is not ActorKind.USER:
        return
    # The person's row is the one lock of both; a join would lock the grant first, and deadlock.
    user = User.objects.select_for_update().filter(pseudonym=by.id).first()
    held = RoleGrant.objects.filter(user=user, environment_id=str(environment)).first()
    if held is None or not within(role, Role(held.role)):
        raise Forbidden(f"Your role in {environment} was just changed. Reload the page.")


def sees(by: Actor, token: Token) -> bool:
    """Tell whether `by` may know of `token`."""
    return by.role(EnvironmentName(token.environment_id)) is not None or _made(by, token)


def check_revoke(by: Actor, token: Token) -> None:
    """Raise Forbidden unless `by` may revoke `token`."""
    if not (token.kind == TokenKind.RUN and _made(by, token)):
        authority.check(by, [EnvironmentName(token.environment_id)])


def why(reason: str, environment: EnvironmentName, kind: TokenKind) -> str:
    """Return `reason` as it is booked; raises Invalid. A run token's reason is its run."""
    place = EnvironmentName.DEVELOPMENT if kind is TokenKind.RUN else environment
    return reasons.check(reason, place)


def _made(by: Actor, token: Token) -> bool:
    return token.created_by == by.id


def operations(asked: Iterable[Operation | str] | None) -> tuple[Operation, ...]:
    """Return the allow-list in the order of the vocabulary, all but `emergency` for None."""
    if asked is None:
        return tuple(o for o in Operation if o is not Operation.EMERGENCY)
    wanted = {values.parse(Operation, str(o)) for o in asked}
    if Operation.EMERGENCY in wanted:
        raise Invalid(
            "`emergency` is a scope of its own: leave it out of the operations and ask for it "
            "by `emergency`."
        )
    if not wanted:
        raise Invalid("A token needs at least one operation; name one, or none at all for all.")
    return tuple(o for o in Operation if o in wanted)


def named(name: str) -> str:
    """Return `name` trimmed; raises Invalid unless it is 1 to 100 printable characters."""
    trimmed = name.strip()
    if not 1 <= len(trimmed) <= 100 or not trimmed.isprintable():
        raise Invalid("Name the token in 1 to 100 printable characters: who will use it, where.")
    return trimmed


def tenant(text: str) -> str:
    """Return `text`; raises Invalid unless it can name a tenant."""
    if not _TENANT.fullmatch(text):
        raise Invalid(
            "Name the tenant in 1 to 64 of a-z, 0-9, dot, dash, underscore, beginning with a "
            "letter or digit."
        )
    return text


def end(asked: datetime | None, *, kind: TokenKind, now: datetime) -> datetime:
    """Return when the token expires; raises Invalid for a time past or too far ahead."""
    longest = LONGEST_RUN if kind is TokenKind.RUN else LONGEST
    if asked is None:
        return now + min(USUAL, longest)
    if asked.tzinfo is None or not now < asked <= now + longest:
        limit = "an hour" if kind is TokenKind.RUN else f"{LONGEST.days} days"
        raise Invalid(f"A token of this kind ends in the future and within {limit}.")
    return asked
