"""IntelligentRouter: decides, has the attempts made, books what came of them.

Everything it asks is handed to it: the situation, the clients, the breakers, the log; nothing
here reads a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from routing.attempts import Ask, Attempts, Run
from routing.breakers.board import Board
from routing.compliance import gate
from routing.compliance.policy import Broken
from routing.core import telling
from routing.core.decision import (
    Attempt,
    Conclusion,
    Decision,
    Request,
    State,
    conclude,
    decide,
)
from routing.core.errors import Unavailable
from routing.core.telling import Told
from routing.core.values import EnvironmentName, Failure, Operation, Path, Reason
from routing.decisions import record
from routing.decisions.log import DecisionLog
from routing.paths.base import Answer, PathClient

__all__ = ["LARGE", "Ask", "IntelligentRouter", "Routed", "new_id"]

# Characters: a look for personal data in more would hold up everybody else's requests (a
# million take up to a second).
LARGE = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What became of an ask; `answer` is None when none was given, `status` is HTTP's.

    `code` and `advice` are the words for a caller without an answer, `seq` the record's number,
    None when an emergency went on without one; `broken` is the compliance rule that refused it.
    """

    decision_id: str
    decision: Decision
    conclusion: Conclusion
    attempts: tuple[Attempt, ...]
    status: int
    duration_us: int
    pii: tuple[str, ...]
    caller: record.Caller
    answer: Answer | None = None
    failure: Failure | None = None
    code: str = ""
    advice: str = ""
    retry_after_s: int | None = None
    seq: int | None = None
    broken: Broken | None = None


class IntelligentRouter:
    """Routes asks; one instance a process."""

    def __init__(
        self,
        *,
        situation: Callable[[EnvironmentName, str], State],
        client: Callable[[EnvironmentName, Path], PathClient | None],
        board: Board,
        log: DecisionLog,
        clock: Callable[[], datetime],
        policy: gate.InForce,
        listeners: Sequence[Callable[[Routed, datetime], None]] = (),
    ) -> None:
        self._situation = situation
        self._log = log
        self._clock = clock
        self._policy = policy
        self._listeners = tuple(listeners)
        self._attempts = Attempts(client=client, board=board)

    def explain(self, ask: Ask) -> tuple[Decision, State]:
        """Return what `route` would promise for `ask` now; no call is made, nothing is booked."""
        verdict = self._check(ask)
        state = gate.within(verdict, self._state(ask))
        return decide(_request(ask, state, verdict.refusal, self._clock()), state), state

    async def route(self, ask: Ask) -> Routed:
        """Return what became of `ask`, after its record is on disk.

        Raises Unavailable when the record cannot be written; an emergency is then answered all
        the same and counted in a gap entry. A caller that is cancelled leaves a record too.
        """
        run = await self._begin(ask)
        try:
            await self._attempts.carry_out(run)
        except asyncio.CancelledError:
            await self._book_unanswered(run, status=499)
            raise
        except Exception:
            await self._book_unanswered(run, status=500)
            raise
        # Shielded: who goes away now must not keep the listeners from a record that is written.
        return await asyncio.shield(self._book(run))

    async def _begin(self, ask: Ask) -> Run:
        began = time.monotonic()
        if self._log.problem and ask.operation is not Operation.EMERGENCY:
            # No call is made, nor paid for, that could not be booked.
            raise Unavailable(self._log.problem, retry_after_s=5)
        if ask.size > LARGE:
            verdict = await asyncio.to_thread(self._check, ask)
        else:
            verdict = self._check(ask)
        state = gate.within(verdict, self._state(ask))
        now = self._clock()
        request = _request(ask, state, verdict.refusal, now)
        decision = decide(request, state)
        return Run(
            ask=ask,
            request=request,
            state=state,
            decision=decision,
            decision_id=new_id(now),
            verdict=verdict,
            began=began,
            deadline=began + decision.row.budget_ms / 1000,
        )

    def _check(self, ask: Ask) -> gate.Verdict:
        return gate.check(
            environment=ask.caller.environment,
            operation=ask.operation,
            texts=ask.texts,
            policy=self._policy,
        )

    def _state(self, ask: Ask) -> State:
        tenant = ask.caller.tenant
        subject = f"{tenant}/{ask.subject}" if ask.subject else tenant
        return self._situation(ask.caller.environment, subject)

    async def _book_unanswered(self, run: Run, *, status: int) -> None:
        run.failure = run.failure or Failure.OUTCOME_UNKNOWN
        with contextlib.suppress(Unavailable):  # nobody got an answer that would lack its record
            await asyncio.shield(self._book(run, status=status))

    async def _book(self, run: Run, *, status: int | None = None) -> Routed:
        routed = self._routed(run, status)
        now = self._clock()
        body = record.body(
            decision_id=run.decision_id,
            now=now,
            caller=run.ask.caller,
            request=run.request,
            state=run.state,
            decision=run.decision,
            conclusion=routed.conclusion,
            attempts=run.attempts,
            prompt=record.prompt(
                masked=run.verdict.masked, asked=run.ask.texts, pii=run.verdict.classes
            ),
            judged=record.Judged(
                policy=run.verdict.policy,
                pii=str(run.verdict.treatment),
                broken=str(routed.broken or ""),
            ),
            end=record.End(
                status=routed.status,
                duration_us=routed.duration_us,
                failure=str(run.failure or ""),
                usage=_usage(run.answer),
            ),
        )
        try:
            routed = replace(routed, seq=await self._log.record(body))
        except Unavailable:
            if run.ask.operation is not Operation.EMERGENCY:
                raise
            self._log.count_loss()
        for listener in self._listeners:
            listener(routed, now)
        return routed

    def _routed(self, run: Run, status: int | None) -> Routed:
        conclusion = conclude(
            run.decision,
            run.attempts,
            held=run.skips,
            resorted=run.resorted,
            shed=run.shed,
        )
        told = telling.ANSWERED if run.answer is not None else self._tell(run, conclusion.reason)
        return Routed(
            decision_id=run.decision_id,
            decision=run.decision,
            conclusion=conclusion,
            attempts=tuple(run.attempts),
            status=status or told.status,
            duration_us=int((time.monotonic() - run.began) * 1_000_000),
            pii=tuple(str(kind) for kind in run.verdict.classes),
            caller=run.ask.caller,
            answer=run.answer,
            failure=run.failure,
            code=told.code,
            advice=told.advice,
            retry_after_s=told.retry_after_s,
            broken=gate.broken(run.verdict, run.decision),
        )

    def _tell(self, run: Run, reason: Reason) -> Told:
        return telling.tell(
            reason=reason,
            failure=run.failure,
            refusal=gate.sentence(run.verdict, run.decision),
            said_s=run.said_s,
            wait_s=self._attempts.wait_s(run),
        )


def new_id(now: datetime) -> str:
    """Return a fresh decision id: sorted by time to the millisecond, then random."""
    return f"d{int(now.timestamp() * 1000):012x}{secrets.token_hex(8)}"


def _request(ask: Ask, state: State, refusal: str, now: datetime) -> Request:
    row = state.matrix.row(ask.operation, ask.priority)
    return Request(
        operation=ask.operation,
        priority=ask.priority or row.default_priority,
        now_us=int(now.timestamp() * 1_000_000),
        pinned=ask.pinned,
        mcp_can_say_it=ask.mcp_can_say_it,
        refusal=refusal,
    )


def _usage(answer: Answer | None) -> tuple[int, int] | None:
    if answer is None or answer.usage is None:
        return None
    return answer.usage.input_tokens, answer.usage.output_tokens
