"""What role whoever was booked has now; asked for what was ordered earlier."""

from __future__ import annotations

from datetime import datetime

from routing.access.models import RoleGrant, Token
from routing.core.values import ActorKind, EnvironmentName, Role


def role_now(kind: ActorKind, id: str, environment: EnvironmentName, now: datetime) -> Role | None:
    """Return the role in `environment` that the actor booked as `id` has at `now`, or None.

    Whoever has a shell has an admin's rights, then as now.
    """
    if kind is ActorKind.SHELL:
        return Role.ADMIN
    if kind is ActorKind.USER:
        grants = RoleGrant.objects.filter(user__pseudonym=id, user__is_active=True)
        found = grants.filter(environment_id=environment).values_list("role", flat=True).first()
    else:
        tokens = Token.objects.filter(id=id, environment_id=environment, revoked_at=None)
        found = tokens.filter(expires_at__gt=now).values_list("role", flat=True).first()
    return Role(found) if found else None
