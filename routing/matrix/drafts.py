"""Compare-and-set on the draft of a matrix in the caller's transaction; books nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, QuerySet

from routing.core.errors import NotFound, Stale
from routing.core.matrix import Matrix, problems
from routing.core.values import EnvironmentName
from routing.matrix import codec
from routing.matrix.models import MatrixDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A draft as it stands; `problems` keep it from being published.

    `matrix` carries the number that it would be published under, if nobody is faster.
    """

    environment: EnvironmentName
    base_version: int
    revision: int
    matrix: Matrix
    problems: tuple[str, ...]
    owner: str
    reason: str
    begun_at: datetime
    changed_at: datetime
    changed_by: str


def read(environment: EnvironmentName) -> Draft | None:
    """Return the draft of `environment`, None without one."""
    kept = _open(environment).first()
    return None if kept is None else _draft(kept)


def begin(
    *,
    environment: EnvironmentName,
    base_version: int,
    rows: Sequence[Mapping[str, Any]],
    by: str,
    reason: str,
    now: datetime,
) -> Draft:
    """Open a draft of `rows`, which must be readable; raises Stale where there is one already."""
    fresh = {
        "base_version": base_version,
        "rows": list(rows),
        "owner": by,
        "reason": reason,
        "begun_at": now,
        "changed_at": now,
        "changed_by": by,
        "is_open": True,
    }
    kept, created = MatrixDraft.objects.get_or_create(environment_id=environment, defaults=fresh)
    if not created:
        closed = MatrixDraft.objects.filter(environment_id=environment, is_open=False)
        if not closed.update(**fresh, revision=F("revision") + 1):
            raise Stale(
                f"{environment} has a draft already, last changed by {kept.changed_by}. Go on "
                "with that one, or discard it first.",
                current=kept.revision,
            )
    return _draft(MatrixDraft.objects.get(environment_id=environment))


def save(
    *,
    environment: EnvironmentName,
    revision: int,
    rows: Sequence[Mapping[str, Any]],
    by: str,
    now: datetime,
) -> Draft:
    """Put `rows` in place of those of `revision`; raises NotFound and Stale."""
    changed = _open(environment, revision).update(
        rows=list(rows), revision=revision + 1, changed_at=now, changed_by=by
    )
    if not changed:
        raise _gone(environment, revision)
    return _draft(MatrixDraft.objects.get(environment_id=environment))


def drop(environment: EnvironmentName, revision: int) -> None:
    """Close the draft if it is still at `revision`; raises NotFound and Stale."""
    if not _open(environment, revision).update(is_open=False, revision=revision + 1):
        raise _gone(environment, revision)


def at(environment: EnvironmentName, revision: int) -> Draft:
    """Return the draft at `revision`; raises NotFound and Stale."""
    found = read(environment)
    if found is None or found.revision != revision:
        raise _gone(environment, revision)
    return found


def _open(environment: EnvironmentName, revision: int | None = None) -> QuerySet[MatrixDraft]:
    kept = MatrixDraft.objects.filter(environment_id=environment, is_open=True)
    return kept if revision is None else kept.filter(revision=revision)


def _gone(environment: EnvironmentName, revision: int) -> NotFound | Stale:
    kept = read(environment)
    if kept is None:
        return NotFound(
            f"{environment} has no draft of its matrix: nobody began one, or it was published or "
            "discarded. Begin one."
        )
    return Stale(
        f"The draft of {environment} is at revision {kept.revision} by now, not {revision}: "
        f"{kept.changed_by} changed it. Nothing of yours was changed; look at it again.",
        current=kept.revision,
    )


def _draft(kept: MatrixDraft) -> Draft:
    matrix = codec.decode_as_is(kept.rows, version=kept.base_version + 1)
    return Draft(
        environment=EnvironmentName(kept.environment_id),
        base_version=kept.base_version,
        revision=kept.revision,
        matrix=matrix,
        problems=problems(matrix),
        owner=kept.owner,
        reason=kept.reason,
        begun_at=kept.begun_at,
        changed_at=kept.changed_at,
        changed_by=kept.changed_by,
    )
