"""Compare-and-set on prices and limits inside the caller's transaction; alerts, each once."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from routing.core.budget import LEVELS, Standing, Unit
from routing.core.errors import Stale
from routing.core.values import EnvironmentName
from routing.cost import policy
from routing.cost.models import BudgetAlert, CostPolicy
from routing.cost.policy import Policy


def read(environment: EnvironmentName) -> Policy:
    """Return what is in force: the newest version, or none of anything as version 0.

    Raises Invalid or UnknownWord for one that cannot be obeyed: it is never guessed.
    """
    newest = CostPolicy.objects.filter(environment_id=environment).order_by("-version").first()
    if newest is None:
        return policy.DEFAULT
    return policy.decode(newest.document, version=newest.version)


def put(
    *, environment: EnvironmentName, base_version: int, wanted: Policy, by: str, now: datetime
) -> Policy:
    """Put `wanted` in force as the version after `base_version`; old ones are kept.

    Raises Stale when another version is in force by now. Two writers at once are told apart by
    the unique (environment, version): the loser's transaction fails.
    """
    inforce = read(environment)
    if inforce.version != base_version:
        raise Stale(
            f"Prices and limits of {environment} are at version {inforce.version} by now, not "
            f"{base_version}; look at them again.",
            current=inforce.version,
        )
    document = policy.encode(wanted)
    fresh = policy.decode(document, version=base_version + 1)
    CostPolicy.objects.create(
        environment_id=environment,
        version=fresh.version,
        document=document,
        made_at=now,
        made_by=by,
    )
    return fresh


def note_alerts(
    environment: EnvironmentName, standing: Standing, currency: str, now: datetime
) -> tuple[int, ...]:
    """Note every level that `standing` reaches and return those that nobody noted before.

    Within the caller's transaction; of two processes one is told of each level.
    """
    limit = standing.limit
    fresh = []
    for level in LEVELS:
        if level > standing.level:
            break
        key = {
            "environment": str(environment),
            "limit": limit.name,
            "amount": limit.amount,
            "currency": currency if limit.unit is Unit.MONEY else "",
            "since": standing.since,
            "level": level,
        }
        if BudgetAlert.objects.filter(**key).exists():
            continue
        try:
            with transaction.atomic():
                BudgetAlert.objects.create(**key, spent=standing.spent, at=now)
        except IntegrityError:
            continue  # another process was faster
        fresh.append(level)
    return tuple(fresh)
