"""The tools of an MCP server: pinned at first sight, watched for changes, accepted by a person."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.core import pinning, reasons, rights
from routing.core.chain import Json
from routing.core.errors import Invalid, NotFound, Stale
from routing.core.pinning import Difference, Drift, Listing
from routing.core.rights import Actor, Right, system_actor
from routing.core.values import Action, EnvironmentName
from routing.fleet import queries as fleet
from routing.pins import queries, store
from routing.pins.queries import PinRow

TOPIC = "tools"
WATCH = system_actor("tools")
SHORTEST_DIGEST = 12  # hex characters by which a person may name a digest


def see(*, now: datetime, environment: EnvironmentName, target: str, seen: Listing) -> None:
    """Keep what the MCP server lists: the first is pinned, a change is kept beside the pin.

    Booked is each first sight and each time that it gets graver, so a server that changes with
    every look cannot fill the trail.
    """
    with transaction.atomic(durable=True):
        row = queries.pin(environment, target, seen.tool)
        if row is None:
            _pin(now, environment, target, seen)
        elif row.seen.digest != seen.digest or row.seen.count != seen.count:
            _note(now, row, seen)


def _pin(now: datetime, environment: EnvironmentName, target: str, seen: Listing) -> None:
    pin = pinning.pin(seen)
    if pin is None:
        return  # the probe says that there is no such tool
    row, created = store.lay(environment, target, pin, by=WATCH.id, now=now)
    if created:
        _book(Action.TOOLS_PIN, WATCH, now, row, after=_digests(row.pin.digest, seen))


def _note(now: datetime, row: PinRow, seen: Listing) -> None:
    difference = pinning.compare(row.pin, seen)
    drift = pinning.worse(row.pin.drift, difference.drift)
    if not store.see(row, seen, drift, now=now) or drift is row.pin.drift:
        return
    _book(
        Action.TOOLS_DRIFT,
        WATCH,
        now,
        row,
        before=_digests(row.pin.digest),
        after=_digests(seen.digest, seen),
        facts=_facts(difference),
    )


def accept(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    digest: str,
    reason: str,
    typed_environment: str = "",
) -> PinRow:
    """Make the tools that are there now, with that `digest`, the pinned ones; return the pin.

    `digest` may be its first 12 hex characters or more. Raises Forbidden, Invalid, NotFound (no
    pin yet), Stale (something else is there by now: `current`); each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.TOOLS_ACCEPT,
        environment=environment,
        object_type="tool",
        object_id=str(environment),
    ):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, environment)
        if not why:
            raise Invalid("Say with a reason why the changed tools are right.", field="reason")
        reasons.check_place(typed_environment, environment)
        with transaction.atomic(durable=True):
            return _accept(by, now, current(environment), digest, why)


def current(environment: EnvironmentName) -> PinRow:
    """Return the pin of the configured tool; raises NotFound before the server was seen."""
    place = fleet.environment(environment)
    row = queries.pin(environment, place.mcp_target, place.mcp_tool)
    if row is None:
        raise NotFound(
            f"No tools of an MCP server are pinned in {environment} yet: a running server pins "
            "them when it first sees them. Configure the path, start the server, ask again."
        )
    return row


def _accept(by: Actor, now: datetime, row: PinRow, digest: str, why: str) -> PinRow:
    wanted = digest.strip().lower()
    if len(wanted) < SHORTEST_DIGEST or not row.seen.digest.startswith(wanted):
        raise Stale(
            f"The digest of the tools that are there is {row.seen.digest}; compare them and "
            "accept that one.",
            current=row.seen.digest,
        )
    pin = pinning.pin(row.seen)
    if pin is None:
        raise Invalid(pinning.refusal(row.pin, row.seen), field="digest")
    if row.pin.drift is Drift.NONE and row.pin.digest == pin.digest:
        raise Invalid("Nothing to accept: these tools are the pinned ones.", field="digest")
    store.accept(row, pin, by=by.id, now=now, reason=why)
    _book(
        Action.TOOLS_ACCEPT,
        by,
        now,
        row,
        reason=why,
        before=_digests(row.pin.digest),
        after=_digests(pin.digest, row.seen),
        facts=_facts(row.difference),
    )
    return current(row.environment)


def _book(
    action: Action,
    by: Actor,
    now: datetime,
    row: PinRow,
    *,
    reason: str = "",
    before: Json = None,
    after: Json = None,
    facts: Json = None,
) -> None:
    ledger.record(
        by=by,
        now=now,
        action=action,
        environment=row.environment,
        object_type="tool",
        object_id=row.pin.tool,
        reason=reason,
        before=before,
        after=after,
        facts={"target": row.target, "changes": facts},
    )
    stream.announce(TOPIC, row.environment)


def _digests(digest: str, seen: Listing | None = None) -> dict[str, Json]:
    count: dict[str, Json] = {"tools": len(seen.tools)} if seen else {}
    return {"digest": digest, **count}


def _facts(difference: Difference) -> dict[str, Json]:
    """Return what changed as an entry holds it: names of ours, and a few of theirs made inert."""
    return {
        "drift": str(difference.drift),
        "parts": list(difference.parts),
        "added": pinning.named(difference.added),
        "removed": pinning.named(difference.removed),
        "changed": pinning.named(difference.changed),
    }
