"""Reading people and tokens as frozen rows, for pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from routing.access.models import RoleGrant, Token, User
from routing.access.scope import TokenKind
from routing.core.allowance import Limits
from routing.core.errors import NotFound
from routing.core.values import EnvironmentName, Operation, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRow:
    """One person with a role in one environment."""

    user_id: int
    username: str
    pseudonym: str
    role: Role
    is_active: bool
    granted_at: datetime
    granted_by: str
    last_signed_in_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One account with its roles everywhere."""

    user_id: int
    username: str
    pseudonym: str
    is_active: bool
    one_time_password: bool
    created_at: datetime
    created_by: str
    last_signed_in_at: datetime | None
    roles: Mapping[EnvironmentName, Role]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """One token of one environment, in force or not; `signs` with an access key beside it."""

    id: str
    name: str
    kind: TokenKind
    role: Role
    tenant: str
    operations: tuple[Operation, ...]
    emergency: bool
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    limits: Limits
    signs: bool

    def is_in_force(self, now: datetime) -> bool:
        """Tell whether a request with this token is let in."""
        return self.revoked_at is None and now < self.expires_at


def people(environment: EnvironmentName) -> tuple[PersonRow, ...]:
    """Return who holds a role in `environment`, by name."""
    grants = RoleGrant.objects.filter(environment_id=str(environment)).select_related("user")
    return tuple(
        PersonRow(
            user_id=grant.user.pk,
            username=grant.user.username,
            pseudonym=grant.user.pseudonym,
            role=Role(grant.role),
            is_active=grant.user.is_active,
            granted_at=grant.granted_at,
            granted_by=grant.granted_by,
            last_signed_in_at=grant.user.last_login,
        )
        for grant in grants.order_by("user__username")
    )


def account(user_id: int) -> AccountRow:
    """Return one account; raises NotFound."""
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound("There is no such account; reload the list of people.")
    grants = RoleGrant.objects.filter(user=user).values_list("environment_id", "role")
    held = {EnvironmentName(environment): Role(role) for environment, role in grants}
    return AccountRow(
        user_id=user.pk,
        username=user.username,
        pseudonym=user.pseudonym,
        is_active=user.is_active,
        one_time_password=user.one_time_password,
        created_at=user.created_at,
        created_by=user.created_by,
        last_signed_in_at=user.last_login,
        roles={name: held[name] for name in EnvironmentName if name in held},
    )


def user_id(username: str) -> int:
    """Return the number of the account of that name; raises NotFound."""
    found = User.objects.filter(username=username.strip().lower()).values_list("pk", flat=True)
    for number in found:
        return int(number)
    raise NotFound("There is no account of that name. Make one, or check the spelling.")


def tokens(environment: EnvironmentName) -> tuple[TokenRow, ...]:
    """Return every token of `environment`, the newest first."""
    rows = Token.objects.filter(environment_id=str(environment)).order_by("-created_at", "id")
    return tuple(
        TokenRow(
            id=row.id,
            name=row.name,
            kind=TokenKind(row.kind),
            role=Role(row.role),
            tenant=row.tenant,
            operations=tuple(Operation(o) for o in row.operations),
            emergency=row.emergency,
            created_at=row.created_at,
            created_by=row.created_by,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            limits=Limits(
                at_once=row.at_once,
                per_second=row.per_second,
                tokens_per_minute=row.tokens_per_minute,
            ),
            signs=row.access_key_id is not None,
        )
        for row in rows
    )


def names(actors: Iterable[str]) -> Mapping[str, str]:
    """Return the names of the people behind the pseudonyms among `actors`."""
    found = User.objects.filter(pseudonym__in=set(actors)).values_list("pseudonym", "username")
    return dict(found)


def pseudonym(username: str) -> str:
    """Return what is booked for the person of that name, empty where there is none."""
    found = User.objects.filter(username=username).values_list("pseudonym", flat=True).first()
    return found or ""
