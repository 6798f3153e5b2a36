"""The draft of a matrix: begun, edited, discarded, published as the next version; all booked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.changes import publish as publishing
from routing.changes import standing
from routing.changes.publish import Published
from routing.core import guards, reasons, rights
from routing.core.chain import Json
from routing.core.errors import Invalid, Stale
from routing.core.guards import Judgement
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName
from routing.matrix import codec, drafts, store
from routing.matrix.drafts import Draft

_OBJECT = "matrix_draft"


def begin(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    reason: str,
    version: int | None = None,
) -> Draft:
    """Open a draft of `version` of the matrix, of the one in force without it.

    Raises Forbidden, Invalid, NotFound (no such version) and Stale (there is a draft); each is
    booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.DRAFT_SAVE,
        environment=environment,
        object_type=_OBJECT,
        object_id=str(environment),
        reason=reason,
    ):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, environment)
        with transaction.atomic(durable=True):
            inforce = store.read(environment)
            source = inforce if version is None else store.version(environment, version)
            fresh = drafts.begin(
                environment=environment,
                base_version=inforce.version,
                rows=codec.encode(source),
                by=by.id,
                reason=why,
                now=now,
            )
            _book(Action.DRAFT_SAVE, fresh, by=by, now=now, reason=why, before=None)
            return fresh


def save(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    revision: int,
    rows: Sequence[Mapping[str, Any]],
) -> Draft:
    """Put `rows` into the draft; what breaks a rule is kept and listed as its problems.

    Raises Forbidden, Invalid (rows that cannot be read, every one with its reason), NotFound and
    Stale (another revision by now); each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.DRAFT_SAVE,
        environment=environment,
        object_type=_OBJECT,
        object_id=str(environment),
    ):
        rights.check(by, Right.CHANGE, environment)
        drafts.at(environment, revision)  # whoever lost the draft need not mend its rows
        found = codec.misread(rows)
        if found:
            raise Invalid(" ".join(found), problems=list(found))
        with transaction.atomic(durable=True):
            before = drafts.at(environment, revision)
            fresh = drafts.save(
                environment=environment, revision=revision, rows=rows, by=by.id, now=now
            )
            _book(Action.DRAFT_SAVE, fresh, by=by, now=now, reason="", before=before)
            return fresh


def discard(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    revision: int,
    reason: str = "",
) -> None:
    """Close the draft unpublished; raises Forbidden, Invalid, NotFound, Stale; each is booked."""
    with ledger.denied(
        by=by,
        now=now,
        action=Action.DRAFT_DISCARD,
        environment=environment,
        object_type=_OBJECT,
        object_id=str(environment),
        reason=reason,
    ):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, EnvironmentName.DEVELOPMENT)  # nothing in force changes
        with transaction.atomic(durable=True):
            before = drafts.at(environment, revision)
            drafts.drop(environment, revision)
            _book(Action.DRAFT_DISCARD, None, by=by, now=now, reason=why, before=before)


def publish(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    revision: int,
    base_version: int,
    reason: str,
    confirmed: bool = False,
    typed_environment: str = "",
) -> Published:
    """Put the draft in force as the version after `base_version`, the one that was looked at.

    The draft is closed in the same transaction. Raises Forbidden, Invalid (its problems, nothing
    to change), NotFound, Stale, RuleBroken and NeedsConfirm; each is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.MATRIX_CHANGE,
        environment=environment,
        object_type="matrix",
        object_id=str(environment),
        reason=reason,
    ):
        rights.check(by, Right.CHANGE, environment)
        draft = drafts.at(environment, revision)
        if draft.problems:
            raise Invalid(" ".join(draft.problems), problems=list(draft.problems))
        if codec.encode(draft.matrix) == codec.encode(store.read(environment)):
            raise Invalid("Nothing to change: the draft is what is in force. Discard it.")

    def still_there() -> None:
        if drafts.at(environment, revision) != draft:
            raise Stale("The draft was changed while you published it; look at it again.")

    return publishing.apply(
        by=by,
        now=now,
        environment=environment,
        whole=draft.matrix,
        base_version=base_version,
        reason=reason,
        confirmed=confirmed,
        typed_environment=typed_environment,
        first=still_there,
        then=lambda _: drafts.drop(environment, revision),
    )


def judge(kept: Draft) -> Judgement:
    """Return what the guards would say to publishing `kept` now; it must have no problems."""
    return guards.judge_matrix(
        flags=standing.flags_for_everyone(kept.environment),
        before=store.read(kept.environment),
        after=kept.matrix,
    )


def _book(
    action: Action,
    draft: Draft | None,
    *,
    by: Actor,
    now: datetime,
    reason: str,
    before: Draft | None,
) -> None:
    one = draft or before
    assert one is not None  # a draft is begun, changed or closed, never nothing
    ledger.record(
        by=by,
        now=now,
        action=action,
        environment=one.environment,
        object_type=_OBJECT,
        object_id=str(one.environment),
        reason=reason,
        before=_as_json(before) if before else None,
        after=_as_json(draft) if draft else None,
        facts={"base_version": one.base_version, "problems": list(one.problems)},
    )
    stream.announce("drafts", one.environment)


def _as_json(draft: Draft) -> dict[str, Json]:
    return {"revision": draft.revision, "rows": codec.encode(draft.matrix)}
