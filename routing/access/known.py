"""Tokens as a process knows them: what each may do, found by its secret or its access key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from routing.access.scope import TokenKind
from routing.core.allowance import Limits
from routing.core.rights import Actor
from routing.core.values import ActorKind, EnvironmentName, Operation, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """What a token may do; `operations` never holds `emergency`, which is a scope of its own."""

    id: str
    name: str
    kind: TokenKind
    environment: EnvironmentName
    role: Role
    tenant: str
    operations: frozenset[Operation]
    emergency: bool
    expires_at: datetime
    access_key_id: str = ""
    generation: int = 0
    limits: Limits = field(default_factory=Limits)

    def may(self, operation: Operation) -> bool:
        """Tell whether the token may ask for `operation`."""
        if operation is Operation.EMERGENCY:
            return self.emergency
        return operation in self.operations

    def actor(self, *, request_id: str = "", peer: str = "") -> Actor:
        """Return the actor that a request with this token is."""
        return Actor(
            kind=ActorKind.TOKEN,
            id=self.id,
            name=self.name,
            grants={self.environment: self.role},
            request_id=request_id,
            peer=peer,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All tokens that are not revoked, by secret (its digest) and access key, at one version."""

    version: int = -1
    by_digest: Mapping[str, TokenFacts] = field(default_factory=dict)
    by_access_key: Mapping[str, TokenFacts] = field(default_factory=dict)

    def find(self, secret: str, now: datetime) -> TokenFacts | None:
        """Return what the token of `secret` may do; None if unknown, revoked or expired.

        The time that this takes tells of the digest at most, and nobody can aim at a digest.
        """
        return _in_force(self.by_digest.get(digest(secret)), now)

    def find_access_key(self, access_key_id: str, now: datetime) -> TokenFacts | None:
        """Return what the token of an access key may do; whether its secret was known is open."""
        return _in_force(self.by_access_key.get(access_key_id), now)


def _in_force(found: TokenFacts | None, now: datetime) -> TokenFacts | None:
    return found if found and now < found.expires_at else None


def snapshot(known: Mapping[str, TokenFacts], *, version: int) -> Snapshot:
    """Return `known`, tokens by the digests of their secrets, as one version of all."""
    by_access_key = {f.access_key_id: f for f in known.values() if f.access_key_id}
    return Snapshot(version=version, by_digest=known, by_access_key=by_access_key)


def digest(secret: str) -> str:
    """Return what is kept of a secret: its SHA-256 in hex, which leads nobody back to it."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
