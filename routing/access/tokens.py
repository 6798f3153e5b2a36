"""Tokens of machines: issued once, kept as digests, read from memory with every request."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import F

from routing import stream
from routing.access import keys, scope
from routing.access.known import Snapshot, TokenFacts, digest, snapshot
from routing.access.models import Token, TokenSet
from routing.access.scope import TokenKind
from routing.audit import ledger
from routing.core import allowance
from routing.core.allowance import Limits
from routing.core.chain import Json
from routing.core.errors import NotFound, NotSignedIn
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName, Operation, Role

__all__ = [
    "Issued",
    "Snapshot",
    "TokenFacts",
    "adopt",
    "book_withdrawn",
    "current",
    "find",
    "find_access_key",
    "issue",
    "load",
    "refresh_if_changed",
    "revoke",
    "revoke_runs",
    "withdraw",
]
PREFIX = "hyo_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new token; `secret` is shown now and never again.

    So is `secret_access_key`, which signs requests together with `access_key_id`; both are empty
    for a token without an access key.
    """

    id: str
    secret: str = field(repr=False)
    kind: TokenKind
    environment: EnvironmentName
    role: Role
    expires_at: datetime
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)


_current = Snapshot()
_loading = threading.Lock()


def issue(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    role: Role,
    name: str,
    operations: Iterable[Operation | str] | None = None,
    emergency: bool = False,
    tenant: str = "default",
    limits: Limits | None = None,
    expires_at: datetime | None = None,
    kind: TokenKind = TokenKind.MACHINE,
    access_key: bool = False,
    reason: str = "",
) -> Issued:
    """Make a token and return its secret, once; with `access_key` also a pair to sign with.

    `operations` is the allow-list, all but `emergency` without it; `limits` are the usual ones
    without it. A machine's token needs the right Settings and lasts 90 days, at most 365; a run
    token is minted by ourselves and lasts an hour at most. Raises Forbidden, RuleBroken, Invalid,
    UnknownWord, NotFound.
    """
    token_id = f"tok_{secrets.token_hex(8)}"
    with ledger.denied(
        by=by,
        now=now,
        action=Action.TOKEN_ISSUE,
        environment=environment,
        object_type="token",
        object_id="new",
    ):
        scope.check(by, environment=environment, role=role, kind=kind)
        reason = scope.why(reason, environment, kind)
        secret = PREFIX + secrets.token_urlsafe(32)
        server = keys.server_key() if access_key else b""
        most = allowance.check(limits or Limits())
        row = Token(
            id=token_id,
            name=scope.named(name),
            kind=str(kind),
            environment_id=str(environment),
            role=str(role),
            tenant=scope.tenant(tenant),
            operations=[str(o) for o in scope.operations(operations)],
            emergency=emergency,
            at_once=most.at_once,
            per_second=most.per_second,
            tokens_per_minute=most.tokens_per_minute,
            secret_sha256=digest(secret),
            access_key_id=keys.new_id(server) if access_key else None,
            generation=int(access_key),
            created_at=now,
            created_by=by.id,
            expires_at=scope.end(expires_at, kind=kind, now=now),
        )
        with transaction.atomic():
            scope.check_still(by, environment=environment, role=role)
            row.save(force_insert=True)
            _bump()
            _book(row, Action.TOKEN_ISSUE, by=by, now=now, reason=reason, after=_said(row))
    return Issued(
        id=row.id,
        secret=secret,
        kind=kind,
        environment=environment,
        role=role,
        expires_at=row.expires_at,
        access_key_id=row.access_key_id or "",
        secret_access_key=_secret(server, row),
    )


def revoke(*, by: Actor, now: datetime, token_id: str, reason: str = "") -> None:
    """Revoke a token; every process refuses it as soon as it sees the new version.

    Who minted a run token may revoke it. Revoking twice changes and books nothing. Raises
    Forbidden, Invalid (the reason); NotFound also for a token where `by` has no role.
    """
    row = Token.objects.filter(pk=token_id).first()
    if row is None or not scope.sees(by, row):
        raise NotFound(f"There is no token {token_id[:40]!r} here; reload the list of tokens.")
    environment = EnvironmentName(row.environment_id)
    with ledger.denied(
        by=by,
        now=now,
        action=Action.TOKEN_REVOKE,
        environment=environment,
        object_type="token",
        object_id=row.id,
    ):
        scope.check_revoke(by, row)
        reason = scope.why(reason, environment, TokenKind(row.kind))
        with transaction.atomic():
            if not Token.objects.filter(pk=row.pk, revoked_at=None).update(revoked_at=now):
                return
            _bump()
            _book_revoked(row, by=by, now=now, reason=reason)


def revoke_runs(*, by: Actor, now: datetime, environment: EnvironmentName, name: str) -> int:
    """Revoke the run tokens in force that `by` minted under names that begin with `name`.

    For what a run leaves behind that was killed. Returns how many there were.
    """
    left = Token.objects.filter(
        kind=str(TokenKind.RUN),
        environment_id=str(environment),
        created_by=by.id,
        name__startswith=name,
        revoked_at=None,
        expires_at__gt=now,
    )
    ids = list(left.values_list("pk", flat=True))
    for token_id in ids:
        revoke(by=by, now=now, token_id=token_id, reason="left behind by a run that was killed")
    return len(ids)


def withdraw(
    *, creator: str, environment: EnvironmentName, role: Role | None, now: datetime
) -> Sequence[Token]:
    """Revoke what `creator` made in `environment` and what reaches beyond `role`; return it.

    For a change of roles, inside its transaction, which then calls `book_withdrawn`.
    """
    rows = Token.objects.select_for_update().filter(
        created_by=creator, environment_id=str(environment), revoked_at=None
    )
    beyond = [row for row in rows.order_by("id") if not scope.within(Role(row.role), role)]
    if beyond:
        Token.objects.filter(pk__in=[row.pk for row in beyond]).update(revoked_at=now)
        _bump()
    return beyond


def book_withdrawn(rows: Sequence[Token], *, by: Actor, now: datetime, reason: str) -> None:
    """Book each token that `withdraw` returned."""
    for row in rows:
        _book_revoked(row, by=by, now=now, reason=reason, facts={"because": "role of its maker"})


def load() -> None:
    """Read all tokens into memory.

    The version is read first: a token committed in between is then known at too low a version,
    never missing at one that promises it.
    """
    global _current  # noqa: PLW0603 - one reference, swapped whole
    with _loading:  # an older reading must not replace a newer one
        version = _version()
        rows = Token.objects.filter(revoked_at=None)
        _current = snapshot({row.secret_sha256: _facts(row) for row in rows}, version=version)


def adopt(known: Mapping[str, TokenFacts], *, version: int) -> None:
    """Put tokens in force that were not read from the database, by the digests of their secrets.

    For a start while the database is away; the next reading replaces them.
    """
    global _current  # noqa: PLW0603 - one reference, swapped whole
    with _loading:
        _current = snapshot(known, version=version)


def refresh_if_changed() -> None:
    """Read them again when the version in the database is not ours."""
    if _version() != _current.version:
        load()


def current() -> Snapshot:
    """Return the snapshot of this process; version -1 before it was loaded."""
    return _current


def find(secret: str, now: datetime) -> TokenFacts | None:
    """Return what the token of `secret` may do, from memory; None if it is not in force."""
    return _current.find(secret, now)


def find_access_key(access_key_id: str, now: datetime) -> tuple[TokenFacts, str] | None:
    """Return the token of an access key with its secret, from memory; None if not in force.

    Raises NotSignedIn for one whose secret only another installation could know.
    """
    found = _current.find_access_key(access_key_id, now)
    if found is None:
        return None
    server = keys.server_key()
    if not keys.made_here(access_key_id, server):
        raise NotSignedIn(
            "This access key was made under another server key; ask whoever runs this server to "
            "copy HYBRIDOPS_HOME/keys/access_key from there, or an admin for a new token."
        )
    return found, keys.secret(server, token_id=found.id, generation=found.generation)


def _secret(server: bytes, row: Token) -> str:
    if not row.generation:
        return ""
    return keys.secret(server, token_id=row.id, generation=row.generation)


def _version() -> int:
    return TokenSet.objects.values_list("version", flat=True).filter(pk=1).first() or 0


def _bump() -> None:
    TokenSet.objects.bulk_create([TokenSet(id=1, version=0)], ignore_conflicts=True)
    TokenSet.objects.filter(pk=1).update(version=F("version") + 1)
    stream.announce("tokens", None)
    # This process need not wait for its own poll; if this fails, the poll comes all the same.
    transaction.on_commit(refresh_if_changed, robust=True)


def _facts(row: Token) -> TokenFacts:
    return TokenFacts(
        id=row.id,
        name=row.name,
        kind=TokenKind(row.kind),
        environment=EnvironmentName(row.environment_id),
        role=Role(row.role),
        tenant=row.tenant,
        operations=frozenset(Operation(o) for o in row.operations),
        emergency=row.emergency,
        expires_at=row.expires_at,
        access_key_id=row.access_key_id or "",
        generation=row.generation,
        limits=_limits(row),
    )


def _limits(row: Token) -> Limits:
    return Limits(
        at_once=row.at_once,
        per_second=row.per_second,
        tokens_per_minute=row.tokens_per_minute,
    )


def _said(row: Token) -> Mapping[str, Json]:
    key: dict[str, Json] = {"access_key_id": row.access_key_id} if row.access_key_id else {}
    return key | {
        "name": row.name,
        "kind": row.kind,
        "role": row.role,
        "tenant": row.tenant,
        "operations": row.operations,
        "emergency": row.emergency,
        "limits": asdict(_limits(row)),
        "expires_at": row.expires_at.isoformat(),
    }


def _book_revoked(
    row: Token, *, by: Actor, now: datetime, reason: str, facts: Json = None
) -> None:
    _book(
        row,
        Action.TOKEN_REVOKE,
        by=by,
        now=now,
        reason=reason,
        before={"revoked": False},
        after={"revoked": True},
        facts=facts,
    )


def _book(
    row: Token,
    action: Action,
    *,
    by: Actor,
    now: datetime,
    reason: str,
    before: Json = None,
    after: Json = None,
    facts: Json = None,
) -> None:
    ledger.record(
        by=by,
        now=now,
        action=action,
        environment=EnvironmentName(row.environment_id),
        object_type="token",
        object_id=row.id,
        reason=reason,
        before=before,
        after=after,
        facts=facts,
    )
