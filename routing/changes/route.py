"""A change of the matrix: one operation's row, published as a new version, judged and booked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.changes import consent, standing
from routing.core import guards, matrix, reasons, rights
from routing.core.errors import Invalid
from routing.core.matrix import Matrix, Row
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName, Operation, Path
from routing.flags import store as flags
from routing.matrix import codec, queries, store


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRoute:
    """One operation's paths. `base_version` is the version of the matrix looked at.

    `fallback` None means none; an emergency never has one.
    """

    operation: Operation
    primary: Path
    fallback: Path | None
    base_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    entry_seq: int
    version: int
    before: Row
    after: Row


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    route: SetRoute,
    reason: str,
    confirmed: bool = False,
    typed_environment: str = "",
) -> Published:
    """Publish the matrix with `route` in it; every process is told after the commit.

    Raises Forbidden, Invalid, Stale (with `current`), RuleBroken and NeedsConfirm; each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.MATRIX_CHANGE,
        environment=environment,
        object_type="route",
        object_id=str(route.operation),
    ):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        with transaction.atomic(durable=True):
            # One lock for flags and matrix: each alone could pass its guard, and both together
            # leave an operation without a path.
            flags.lock(environment)
            return _publish(
                by=by,
                now=now,
                environment=environment,
                route=route,
                why=why,
                confirmed=confirmed,
            )


def _publish(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    route: SetRoute,
    why: str,
    confirmed: bool,
) -> Published:
    inforce = store.read(environment)
    wanted = _with(inforce, route)
    before, after = inforce.rows[route.operation], wanted.rows[route.operation]
    judgement = guards.judge_matrix(
        flags=standing.flags_for_everyone(environment), before=inforce, after=wanted
    )
    fresh = store.publish(
        environment=environment,
        base_version=route.base_version,
        matrix=wanted,
        by=by.id,
        now=now,
        reason=why,
    )
    if before == after:
        raise Invalid(f"Nothing to change: {route.operation} already goes that way.")
    consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
    entry = ledger.record(
        by=by,
        now=now,
        action=Action.MATRIX_CHANGE,
        environment=environment,
        object_type="route",
        object_id=str(route.operation),
        reason=why,
        before=codec.encode_row(before),
        after=codec.encode_row(after),
        facts={"matrix_version": fresh.version, "rule": judgement.rule, "confirmed": confirmed},
    )
    transaction.on_commit(queries.refresh, robust=True)
    stream.announce("matrix", environment)
    return Published(entry_seq=entry.seq, version=fresh.version, before=before, after=after)


def _with(inforce: Matrix, route: SetRoute) -> Matrix:
    """Return the matrix with the operation's row, and its narrowed ones, sent the other way."""

    def sent(row: Row) -> Row:
        if row.operation is not route.operation:
            return row
        # Whoever turns a row means everybody: a share of it would stay behind.
        split = row.split if route.primary is row.primary else 0
        return replace(row, primary=route.primary, fallback=route.fallback, split=split)

    rows = {key: sent(row) for key, row in inforce.rows.items()}
    narrowed = {key: sent(row) for key, row in inforce.narrowed.items()}
    wanted = Matrix(version=inforce.version + 1, rows=rows, narrowed=narrowed)
    matrix.check(wanted)
    return wanted
