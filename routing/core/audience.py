"""Groups of callers, as an admin wrote them on their tokens: by tenant, by name, by role.

A group is a word such as `tenant:acme`. A caller says nothing of its groups: its token does.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from routing.core.errors import Invalid

MOST = 10  # groups of one flag: all flags with theirs fit into one audit entry
LONGEST = 72


class Kind(StrEnum):
    TENANT = "tenant"
    TOKEN = "token"
    ROLE = "role"


def of_tenant(tenant: str) -> frozenset[str]:
    """Return the groups of a caller of whom only the tenant is known."""
    return frozenset({f"{Kind.TENANT}:{tenant}"})


def of(*, tenant: str, token: str, role: str) -> frozenset[str]:
    """Return the groups of a caller whose token carries that tenant, name and role."""
    return frozenset({f"{Kind.TENANT}:{tenant}", f"{Kind.TOKEN}:{token}", f"{Kind.ROLE}:{role}"})


def check(groups: Iterable[str]) -> tuple[str, ...]:
    """Return `groups` sorted, each once; raises Invalid for a word that no caller can be in."""
    wanted = tuple(sorted(set(groups)))
    if len(wanted) > MOST:
        raise Invalid(f"{len(wanted)} groups were named; name {MOST} at most.", field="groups")
    for group in wanted:
        kind, _, name = group.partition(":")
        if kind not in set(Kind) or not name or not group.isprintable() or len(group) > LONGEST:
            raise Invalid(
                f"{group[:LONGEST]!r} is no group; say tenant:NAME, token:NAME or role:NAME, the "
                f"name as the callers' tokens have it, {LONGEST} characters in all at most.",
                field="groups",
            )
    return wanted
