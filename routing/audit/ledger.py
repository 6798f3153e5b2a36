"""The only pen of control entries: what changed and its entry commit together, or neither."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import IntegrityError, OperationalError, connection, transaction

from routing.audit import body
from routing.audit.models import DenialCount, Entry, Stream
from routing.core import chain
from routing.core.chain import Json
from routing.core.errors import AuditBroken, Broken, Refused, Unavailable
from routing.core.rights import Actor, system_actor
from routing.core.values import Action, EnvironmentName, Outcome
from routing.glass import queries as glass

CONTROL = "control"
LOCK_WAIT_MS = 2000
DENIALS_PER_MINUTE = 60
_LOCK = int.from_bytes(hashlib.sha256(b"hybridops-audit:control").digest()[:8], "big", signed=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRef:
    """Where an entry stands; `hash` in hex."""

    stream: str
    seq: int
    hash: str


def record(
    *,
    by: Actor,
    now: datetime,
    action: Action,
    environment: EnvironmentName | None,
    object_type: str,
    object_id: str,
    outcome: Outcome = Outcome.DONE,
    reason: str = "",
    before: Json = None,
    after: Json = None,
    facts: Json = None,
) -> EntryRef:
    """Append one entry to the control stream, as the last statement of the caller's `atomic`.

    Raises Broken outside a transaction or for values that no entry can hold, Invalid for a
    reason over 2000 characters, Unavailable when the head stays locked for 2 s, AuditBroken
    when the trail itself is not as it was left. Each of them undoes the caller's `atomic`, even
    if the caller catches it: no entry, no change.
    """
    if not connection.in_atomic_block:
        raise Broken("An entry is booked in the transaction of its change; open one first.")
    try:
        last = _take_head() or _open(now)
        text = body.write(
            stream=CONTROL,
            seq=last.seq + 1,
            by=by,
            now=now,
            action=action,
            environment=environment,
            object_type=object_type,
            object_id=object_id,
            outcome=outcome,
            reason=reason,
            before=before,
            after=after,
            facts=_marked(facts, environment, now),
        )
        return _append(last.seq + 1, bytes.fromhex(last.hash), text)
    except Exception:
        transaction.set_rollback(True)
        raise


def _marked(facts: Json, environment: EnvironmentName | None, now: datetime) -> Json:
    """Return `facts` with the break-glass under which the entry is booked, if one holds."""
    held = glass.active(environment, now) if environment is not None else None
    if held is None:
        return facts
    told = facts if isinstance(facts, dict) else {} if facts is None else {"facts": facts}
    return {**told, "break_glass": held.id}


def head() -> EntryRef | None:
    """Return the last entry of the control stream, None before the first."""
    found = (
        Entry.objects.filter(stream=CONTROL).order_by("-seq").values_list("seq", "hash").first()
    )
    return EntryRef(stream=CONTROL, seq=found[0], hash=bytes(found[1]).hex()) if found else None


def _take_head() -> EntryRef | None:
    """Return the head, with every other writer kept away from it until the commit."""
    if connection.vendor == "postgresql":
        _lock()
    elif getattr(connection, "transaction_mode", None) != "IMMEDIATE":
        # A deferred transaction could read the head before it holds the write lock.
        raise Broken('SQLite needs OPTIONS["transaction_mode"] = "IMMEDIATE"; restore it.')
    # A statement of its own: at READ COMMITTED it sees what was committed before the lock.
    return head()


def _lock() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(LOCK_WAIT_MS)])
            cursor.execute(
                "SELECT pg_advisory_xact_lock(%s), current_setting('transaction_isolation')",
                [_LOCK],
            )
            isolation = cursor.fetchone()[1]
    except OperationalError as error:
        raise Unavailable(
            "The audit trail is busy, so nothing was changed. Try again in a moment.",
            retry_after_s=2,
        ) from error
    if isolation != "read committed":
        raise Broken(
            f"The transaction runs at {isolation}; the audit trail would fork. Run it at "
            "read committed."
        )


def _open(now: datetime) -> EntryRef:
    """Open the empty log under a random id, so that no two logs share a prefix."""
    if Stream.objects.filter(name=CONTROL).exists():
        raise AuditBroken(
            "The control stream was opened and holds no entries: they were removed. Restore the "
            "last backup beside this database and compare; nothing is written until then."
        )
    log_id = secrets.token_bytes(chain.HASH_BYTES)
    text = body.write(
        stream=CONTROL,
        seq=1,
        by=system_actor("audit"),
        now=now,
        action=Action.STREAM_OPEN,
        environment=None,
        object_type="stream",
        object_id=CONTROL,
        outcome=Outcome.DONE,
        reason="",
        before=None,
        after=None,
        facts={"log_id": log_id.hex(), "link": chain.LABEL.decode()},
    )
    Stream.objects.create(name=CONTROL, log_id=log_id, opened_at=now)
    return _append(1, chain.genesis(log_id), text)


def _append(seq: int, prev: bytes, text: bytes) -> EntryRef:
    digest = chain.link(CONTROL, seq, prev, text)
    try:
        Entry.objects.create(body=text, prev=prev, hash=digest, **body.columns(text))
    except IntegrityError as error:
        raise AuditBroken(
            f"The database refused entry {seq}, so nothing was changed: {error}. Run "
            "`manage.py verify_audit`.",
            seq=seq,
        ) from error
    return EntryRef(stream=CONTROL, seq=seq, hash=digest.hex())


@contextmanager
def denied(
    *,
    by: Actor,
    now: datetime,
    action: Action,
    environment: EnvironmentName | None,
    object_type: str,
    object_id: str,
    reason: str = "",
) -> Iterator[None]:
    """Book a Refused raised inside, in a transaction of its own, and raise it again.

    `reason` is what the person said it was for; a longer one is cut to what an entry holds.

    Stand it around the whole use case, outside every transaction. At most 60 refusals of one
    actor are booked in a minute, over all processes; the rest are counted, and the count is
    booked by the next refusal of a later minute or by `flush_denials`.
    """
    try:
        yield
    except Refused as refusal:
        with transaction.atomic(durable=True):
            counts = _over(now)
            if _within_limit(by, now):
                record(
                    by=by,
                    now=now,
                    action=action,
                    environment=environment,
                    object_type=object_type,
                    object_id=object_id,
                    outcome=Outcome.REFUSED,
                    reason=reason[: body.MAX_REASON],
                    facts={
                        "code": refusal.code,
                        "message": refusal.message[: body.MAX_REASON],
                        "facts": body.plain(refusal.facts),
                    },
                )
            _book(counts, now)
        raise


def flush_denials(*, now: datetime) -> int:
    """Book how many refusals went unbooked in each minute that is over; return the entries."""
    if not DenialCount.objects.filter(minute__lt=_minute(now)).exists():
        return 0
    with transaction.atomic(durable=True):
        return _book(_over(now), now)


def _minute(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(second=0, microsecond=0)


def _over(now: datetime) -> list[DenialCount]:
    """Return the finished minutes, locked; taken before the head, like every row lock here."""
    rows = DenialCount.objects.select_for_update(skip_locked=True)
    return list(rows.filter(minute__lt=_minute(now)).order_by("minute", "actor")[:100])


def _within_limit(by: Actor, now: datetime) -> bool:
    count, _ = DenialCount.objects.select_for_update().get_or_create(
        actor=body.identifier(by.id, 300), minute=_minute(now)
    )
    within = count.booked < DENIALS_PER_MINUTE
    count.booked += within
    count.suppressed += not within
    count.save(update_fields=["booked", "suppressed"])
    return within


def _book(counts: list[DenialCount], now: datetime) -> int:
    suppressed = [count for count in counts if count.suppressed]
    for count in suppressed:
        record(
            by=system_actor("audit"),
            now=now,
            action=Action.DENIALS_SUPPRESSED,
            environment=None,
            object_type="actor",
            object_id=count.actor,
            outcome=Outcome.REFUSED,
            facts={
                "minute": body.moment(count.minute),
                "booked": count.booked,
                "suppressed": count.suppressed,
            },
        )
    DenialCount.objects.filter(pk__in=[count.pk for count in counts]).delete()
    return len(suppressed)
