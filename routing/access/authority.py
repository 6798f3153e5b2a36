"""Who may make credentials: people with the right Settings, and our own commands."""

from __future__ import annotations

from collections.abc import Iterable

from routing.access.models import RoleGrant
from routing.core import rights
from routing.core.errors import NotFound, RuleBroken
from routing.core.rights import Actor, Right
from routing.core.values import ActorKind, EnvironmentName


def check(by: Actor, environments: Iterable[EnvironmentName]) -> None:
    """Raise unless `by` may make people, roles and tokens in every one of `environments`.

    Forbidden without the right; RuleBroken for a token, which would outlive itself in what it
    made; NotFound for an environment that is not laid yet.
    """
    wanted = list(environments)
    if by.kind is ActorKind.TOKEN:
        raise RuleBroken(
            "A token cannot make accounts, roles or tokens. Sign in, or use manage.py.",
            rule="tokens_make_no_credentials",
        )
    for environment in wanted:
        rights.check(by, Right.SETTINGS, environment)
    must_exist(wanted)


def must_exist(environments: Iterable[EnvironmentName]) -> None:
    """Raise NotFound unless all of `environments` are laid."""
    wanted = {str(e) for e in environments}
    # The table belongs to another package; the foreign key leads there.
    table = RoleGrant._meta.get_field("environment").remote_field.model
    missing = wanted - {str(row.pk) for row in table._default_manager.filter(pk__in=wanted)}
    if missing:
        raise NotFound(
            f"There is no environment {', '.join(sorted(missing))} here yet. Add it to "
            "HYBRIDOPS_ENVIRONMENTS and start the server once, which lays it."
        )
