"""A whole matrix put in force at once, as a release carries it: judged and booked as a change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.changes import consent, standing
from routing.core import guards, matrix, reasons, rights
from routing.core.matrix import Matrix
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName
from routing.flags import store as flags
from routing.matrix import codec, queries, store


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    entry_seq: int
    version: int
    before: Matrix


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    whole: Matrix,
    base_version: int,
    reason: str,
    confirmed: bool = False,
    typed_environment: str = "",
    first: Callable[[], None] | None = None,
    then: Callable[[Published], None] | None = None,
) -> Published:
    """Publish the rows of `whole` as the next version; every process is told after the commit.

    `first` and `then` are a run's: it checks its fence and keeps its result in the transaction of
    the change. Raises Forbidden, Invalid, Stale, RuleBroken and NeedsConfirm; each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.MATRIX_CHANGE,
        environment=environment,
        object_type="matrix",
        object_id=str(environment),
    ):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        matrix.check(whole)
        with transaction.atomic(durable=True):
            if first is not None:
                first()
            flags.lock(environment)
            inforce = store.read(environment)
            judgement = guards.judge_matrix(
                flags=standing.flags_for_everyone(environment), before=inforce, after=whole
            )
            consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
            fresh = store.publish(
                environment=environment,
                base_version=base_version,
                matrix=whole,
                by=by.id,
                now=now,
                reason=why,
            )
            done = Published(
                entry_seq=_book(
                    by=by,
                    now=now,
                    environment=environment,
                    why=why,
                    before=inforce,
                    after=fresh,
                ),
                version=fresh.version,
                before=inforce,
            )
            if then is not None:
                then(done)
            return done


def _book(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    why: str,
    before: Matrix,
    after: Matrix,
) -> int:
    entry = ledger.record(
        by=by,
        now=now,
        action=Action.MATRIX_CHANGE,
        environment=environment,
        object_type="matrix",
        object_id=str(environment),
        reason=why,
        before={"version": before.version, "rows": codec.encode(before)},
        after={"version": after.version, "rows": codec.encode(after)},
        facts={"matrix_version": after.version},
    )
    transaction.on_commit(queries.refresh, robust=True)
    stream.announce("matrix", environment)
    return entry.seq
