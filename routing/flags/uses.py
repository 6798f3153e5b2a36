"""When each flag was last asked for: noted in memory at every asking, stored now and then.

Whoever asks on a hot path notes one word for all the flags that it reads, which costs a decision
well under a microsecond. What a process had not stored when it was killed is lost.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection

from routing.core.flags import FlagName
from routing.core.values import EnvironmentName
from routing.fleet import clock

DECISION = "decision"
PROBE = "probe"
SUPPORT = "support"
ASKED: Mapping[str, Sequence[FlagName]] = {
    DECISION: (
        FlagName.INTELLIGENT_ROUTING,
        FlagName.DIRECT_FALLBACK,
        FlagName.MCP_INTEGRATION,
        FlagName.BEDROCK_PROVIDER,
        FlagName.CACHING,
    ),
    PROBE: (FlagName.MONITORING, FlagName.MCP_INTEGRATION, FlagName.BEDROCK_PROVIDER),
    SUPPORT: (FlagName.SUPPORT_MODE,),
}

_noted: dict[tuple[EnvironmentName, str], float] = {}
_told: dict[tuple[EnvironmentName, str], float] = {}


def note(environment: EnvironmentName, by: str) -> None:
    """Note that `by` (DECISION, PROBE, SUPPORT) reads its flags of `environment` now."""
    _noted[environment, by] = time.monotonic()


def report(*, now: datetime) -> None:
    """Store what was noted since the last report; a later time that is stored already stands.

    How long ago is measured by this process's clock and told by the database's. Raises
    DatabaseError; the next report then tells it.
    """
    global _told  # noqa: PLW0603 - one reference, swapped whole
    noted = dict(_noted)
    at, mono = clock.read(now), time.monotonic()
    newest: dict[tuple[str, str], datetime] = {}
    for (environment, by), since in noted.items():
        if _told.get((environment, by)) == since:
            continue
        when = at - timedelta(seconds=mono - since)
        for flag in ASKED[by]:
            key = (str(environment), str(flag))
            newest[key] = max(when, newest.get(key, when))
    if newest:
        _put(newest)
    _told = noted


def _put(newest: Mapping[tuple[str, str], datetime]) -> None:
    adapt = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO routing_flaguse (environment_id, flag, evaluated_at) VALUES (%s, %s, %s)"
            " ON CONFLICT (environment_id, flag) DO UPDATE SET evaluated_at = "
            "excluded.evaluated_at WHERE excluded.evaluated_at > routing_flaguse.evaluated_at",
            [(*key, adapt(when)) for key, when in sorted(newest.items())],
        )
