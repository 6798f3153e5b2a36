"""The stored decisions of an environment as `core.replay` takes them, newest first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from routing.core import replay
from routing.core.errors import Invalid
from routing.core.replay import Effect, Proposal
from routing.core.values import EnvironmentName
from routing.decisions.models import Decision

USUAL = 500
MOST = 5000


def effect(environment: EnvironmentName, proposal: Proposal, n: int = USUAL) -> Effect:
    """Return what `proposal` would have done to the last `n` decisions that reached the database.

    Raises Invalid unless `n` is 1 to 5000.
    """
    if not 1 <= n <= MOST:
        raise Invalid(f"{n} decisions cannot be replayed; ask for 1 to {MOST}.", field="last")
    return replay.replay(stored(environment, n), proposal)


def stored(environment: EnvironmentName, n: int) -> Iterator[Mapping[str, Any]]:
    """Yield the bodies of the last `n` decisions; one that is no JSON object comes as empty."""
    found = (
        Decision.objects.filter(environment=str(environment), kind="decision", at__isnull=False)
        .order_by("-at")
        .values_list("body", flat=True)[:n]
    )
    for body in found.iterator(chunk_size=500):
        yield _read(bytes(body))


def _read(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
