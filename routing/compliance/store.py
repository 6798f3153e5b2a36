"""Compare-and-set on the policy inside the caller's transaction; neither books nor announces."""

from __future__ import annotations

from datetime import datetime

from routing.compliance import policy
from routing.compliance.models import CompliancePolicy
from routing.compliance.policy import Policy
from routing.core.errors import Stale
from routing.core.values import EnvironmentName


def read(environment: EnvironmentName) -> Policy:
    """Return the policy in force: the newest version, or the product's own as version 0.

    Raises Invalid or UnknownWord for one that cannot be obeyed: it is never guessed.
    """
    newest = (
        CompliancePolicy.objects.filter(environment_id=environment).order_by("-version").first()
    )
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
            f"The compliance policy of {environment} is at version {inforce.version} by now, not "
            f"{base_version}; look at it again.",
            current=inforce.version,
        )
    document = policy.encode(wanted)
    fresh = policy.decode(document, version=base_version + 1)
    CompliancePolicy.objects.create(
        environment_id=environment,
        version=fresh.version,
        document=document,
        made_at=now,
        made_by=by,
    )
    return fresh
