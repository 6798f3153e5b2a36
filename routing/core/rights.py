"""Who may do what: one table, read by every door (product.md section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from routing.core.errors import Forbidden
from routing.core.values import ActorKind, EnvironmentName, Role


class Right(StrEnum):
    READ = "read"
    ROUTE = "route"
    AUDIT_READ = "audit_read"
    AUDIT_VERIFY = "audit_verify"
    APPROVE = "approve"
    CHANGE = "change"  # flags, matrix, overrides, breakers
    SUPPORT = "support"
    IMPORT = "import"
    DEPLOY = "deploy"
    DEPLOY_PRODUCTION = "deploy_production"
    ROLL_BACK = "roll_back"
    SETTINGS = "settings"  # path settings, people, roles, tokens, keys
    SETTLE = "settle"  # adopt or revert what was changed around us
    BREAK_GLASS = "break_glass"


_VIEWER = frozenset({Right.READ, Right.ROUTE})
_REVIEWER = _VIEWER | {Right.AUDIT_READ, Right.AUDIT_VERIFY, Right.APPROVE}
_OPERATOR = _VIEWER | {
    Right.AUDIT_READ,
    Right.CHANGE,
    Right.SUPPORT,
    Right.IMPORT,
    Right.DEPLOY,
}

RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: _VIEWER,
    Role.REVIEWER: _REVIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Right),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts, as a door established it; never as the caller claims.

    `id` is what is booked: a user's pseudonym, a token's id, `shell:<OS user>@<host>` or
    `system:<part>`. `name` is for the screen only. `grants` maps environment to role.
    `request_id` ties entries to a request; `session` is a hash of the session key; `peer` the
    truncated network of the caller.
    """

    kind: ActorKind
    id: str
    name: str
    grants: Mapping[EnvironmentName, Role] = field(default_factory=dict)
    request_id: str = ""
    session: str = ""
    peer: str = ""

    def role(self, environment: EnvironmentName) -> Role | None:
        """Return the actor's role in `environment`, None without one."""
        return self.grants.get(environment)


def shell_actor(*, user: str, host: str) -> Actor:
    """Return the actor of a command: admin everywhere, never a second pair of eyes."""
    name = f"shell:{user}@{host}"
    return Actor(
        kind=ActorKind.SHELL, id=name, name=name, grants=dict.fromkeys(EnvironmentName, Role.ADMIN)
    )


def system_actor(part: str) -> Actor:
    """Return the actor of one of our own loops; it holds no rights, it only books."""
    return Actor(kind=ActorKind.SYSTEM, id=f"system:{part}", name=f"HybridOps {part}")


def needs(right: Right, environment: EnvironmentName) -> Right:
    """Return the right that `right` becomes in `environment` (deploys differ in production)."""
    if right is Right.DEPLOY and environment is EnvironmentName.PRODUCTION:
        return Right.DEPLOY_PRODUCTION
    return right


def can(actor: Actor, right: Right, environment: EnvironmentName) -> bool:
    """Tell whether `actor` holds `right` in `environment`."""
    role = actor.role(environment)
    return role is not None and needs(right, environment) in RIGHTS[role]


def check(actor: Actor, right: Right, environment: EnvironmentName) -> None:
    """Raise Forbidden, naming the roles that would do, unless `actor` holds `right` there."""
    if can(actor, right, environment):
        return
    wanted = needs(right, environment)
    roles = [str(role) for role in Role if wanted in RIGHTS[role]]
    held = actor.role(environment)
    raise Forbidden(
        f"This needs the role {' or '.join(roles)} in {environment}; "
        f"you are {held or 'without a role'} there. Ask an admin of {environment} for a grant.",
        right=str(right),
        environment=str(environment),
        roles=roles,
    )
