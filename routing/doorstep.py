"""Who can only wait in vain is sent away at the door, before anything is done for the request.

Under overload most are sent away, so what that costs decides how many are served. The texts are
not read, nothing is decided, no path is thought of; the record says so, and that is all of it.
An emergency comes in whatever the line looks like, and so does who may get a cached answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from routing import chance
from routing.admission import Admission
from routing.attempts import Ask
from routing.core import decision, telling
from routing.core.admission import rank
from routing.core.decision import Conclusion, State
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName, Failure, Operation, Reason
from routing.decisions import record
from routing.decisions.log import DecisionLog

T = TypeVar("T")


class Doorstep(Generic[T]):
    """One instance a process. `made` takes the facts of an end, as the router tells them."""

    def __init__(
        self,
        *,
        admission: Admission,
        log: DecisionLog,
        clock: Callable[[], datetime],
        made: Callable[..., T],
    ) -> None:
        self._admission = admission
        self._log = log
        self._clock = clock
        self._made = made
        self._seen: dict[EnvironmentName, State] = {}

    def see(self, ask: Ask, state: State) -> None:
        """Keep what was in force when a request was let in: the next is met by that."""
        self._seen[ask.caller.environment] = state

    async def meet(self, ask: Ask) -> T | None:
        """Return what became of an ask that is sent away, None for one that comes in.

        Its record is on disk by then; raises Unavailable where it cannot be written.
        """
        began = time.monotonic()
        state = self._seen.get(ask.caller.environment)
        if state is None or ask.operation is Operation.EMERGENCY or _may_repeat(ask, state):
            return None
        row = state.matrix.row(ask.operation, ask.priority)
        priority = ask.priority or row.default_priority
        crowded_s = self._admission.turn_away(rank(priority, emergency=False))
        if crowded_s is None:
            return None
        now = self._clock()
        none = decision.undecided(row)
        told = telling.crowded(crowded_s)
        away = record.Away(
            decision_id=ask.once.decision_id if ask.once else new_id(now),
            now=now,
            caller=ask.caller,
            priority=priority,
            matrix=state.matrix.version,
            decision=none,
            status=told.status,
            failure=Failure.QUEUE_FULL,
            duration_us=int((time.monotonic() - began) * 1_000_000),
        )
        seq = await self._log.record(record.away(away))
        return self._made(
            decision_id=away.decision_id,
            decision=none,
            conclusion=Conclusion(effective=None, reason=Reason.SHED),
            attempts=(),
            status=told.status,
            duration_us=away.duration_us,
            pii=(),
            caller=ask.caller,
            failure=away.failure,
            code=told.code,
            advice=told.advice,
            retry_after_s=told.retry_after_s,
            seq=seq,
        )


def new_id(now: datetime) -> str:
    """Return a fresh decision id: sorted by time to the millisecond, then random."""
    return f"d{int(now.timestamp() * 1000):012x}{chance.word()}"


def _may_repeat(ask: Ask, state: State) -> bool:
    """Tell whether the ask may get an answer that was given before, which takes no place."""
    if not ask.subject or ask.fresh or ask.caller.synthetic:
        return False
    return bool(state.flags[FlagName.CACHING])
