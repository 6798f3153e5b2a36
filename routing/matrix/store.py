"""Compare-and-set on the matrix inside the caller's transaction; neither books nor announces."""

from __future__ import annotations

from datetime import datetime

from routing.core.errors import NotFound, Stale
from routing.core.matrix import DEFAULT, Matrix, check_rows
from routing.core.values import EnvironmentName
from routing.matrix import codec
from routing.matrix.models import MatrixVersion


def read(environment: EnvironmentName) -> Matrix:
    """Return the matrix in force: the newest version, or the default as version 1.

    It is obeyed as it was published, also where a rule that came later would refuse it. Raises
    Invalid where an operation has no row: nobody published that.
    """
    newest = MatrixVersion.objects.filter(environment_id=environment).order_by("-version").first()
    if newest is None:
        return DEFAULT
    whole = codec.decode_as_is(newest.rows, version=newest.version)
    check_rows(whole)
    return whole


def version(environment: EnvironmentName, number: int) -> Matrix:
    """Return version `number`, in force or not; raises NotFound where there is none."""
    kept = MatrixVersion.objects.filter(environment_id=environment, version=number).first()
    if kept is not None:
        return codec.decode_as_is(kept.rows, version=number)
    if number == DEFAULT.version:
        return DEFAULT
    raise NotFound(
        f"The matrix of {environment} has no version {number}; `manage.py matrix history` lists "
        "them.",
        version=number,
    )


def publish(
    *,
    environment: EnvironmentName,
    base_version: int,
    matrix: Matrix,
    by: str,
    now: datetime,
    reason: str = "",
) -> Matrix:
    """Put `matrix` in force as the version after `base_version`; old ones are kept.

    Raises Stale when another version is in force by now. Two writers at once are told apart by
    the unique (environment, version): the loser's transaction fails.
    """
    inforce = read(environment)
    if inforce.version != base_version:
        raise Stale(
            f"The matrix of {environment} is at version {inforce.version} by now, not "
            f"{base_version}; look at it again.",
            current=inforce.version,
        )
    rows = codec.encode(matrix)
    fresh = codec.decode(rows, version=base_version + 1)
    MatrixVersion.objects.create(
        environment_id=environment,
        version=fresh.version,
        rows=rows,
        made_at=now,
        made_by=by,
        reason=reason,
    )
    return fresh
