"""IntelligentRouter: decides, has the attempts made, books what came of them.

Everything it asks is handed to it: the situation, the clients, the breakers, the log; nothing
here reads a table.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from routing.admission import Admission
from routing.attempts import Ask, Attempts, Run
from routing.breakers.board import Board
from routing.breakers.pace import Paces
from routing.cache.store import ResponseCache
from routing.charging import Till
from routing.compliance import gate
from routing.compliance.policy import Broken
from routing.core import telling
from routing.core.admission import rank
from routing.core.cost import Charge
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
from routing.core.flags import Subject
from routing.core.rollout import split_bucket
from routing.core.telling import Told
from routing.core.values import EnvironmentName, Failure, Operation, Path, Reason, StreamEnd
from routing.cost.meter import Meter
from routing.decisions import record
from routing.decisions.log import DecisionLog
from routing.doorstep import Doorstep, new_id
from routing.flow import Flow, Left, Limits, Opening, Outlet
from routing.paths.base import Answer, PathClient
from routing.recall import Recall

__all__ = ["LARGE", "Ask", "IntelligentRouter", "Routed", "new_id"]

# Characters: a look for personal data in more would hold up everybody else's requests (a
# million take up to a second).
LARGE = 16_384
GONE = 499  # the status of a request whose caller did not wait for its end


@dataclass(slots=True, kw_only=True)
class Routed:
    """What became of an ask; `answer` is None when none was given, `status` is HTTP's.

    `code` and `advice` are the words for a caller without an answer, `seq` the record's number,
    None when an emergency went on without one, `repeats` the decision whose answer is given again,
    `broken` the compliance rule that refused it. `streamed` is what reached a caller piece by
    piece, None where nothing did; `duration_us` is then until the first. `charge` is what it cost.
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
    repeats: str = ""
    streamed: record.Streamed | None = None
    broken: Broken | None = None
    charge: Charge | None = None

    @property
    def usage(self) -> tuple[int, int] | None:
        """Return the tokens in and out as the path told them, None where it did not."""
        return self.charge.tokens if self.charge else None


class IntelligentRouter:
    """Routes asks; one instance a process."""

    def __init__(
        self,
        *,
        situation: Callable[[EnvironmentName, Subject], State],
        client: Callable[[EnvironmentName, Path], PathClient | None],
        board: Board,
        log: DecisionLog,
        clock: Callable[[], datetime],
        policy: gate.InForce,
        cache: ResponseCache | None = None,
        admission: Admission | None = None,
        meter: Meter | None = None,
        paces: Paces | None = None,
        listeners: Sequence[Callable[[Routed, datetime], None]] = (),
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        self._situation = situation
        self._log = log
        self._clock = clock
        self._policy = policy
        self._admission = admission or Admission()
        self._till = Till(meter or Meter())
        self._listeners = tuple(listeners)
        self._limits = limits
        self._attempts = Attempts(client=client, board=board, paces=paces)
        self._doorstep = Doorstep(admission=self._admission, log=log, clock=clock, made=Routed)
        self._recall = Recall(
            carry_out=self._in_turn, cache=cache or ResponseCache(), client=client
        )

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
        away = await self._doorstep.meet(ask)
        return self._told(away) if away else await self._carry_out(await self._begin(ask))

    async def stream(self, ask: Ask, outlet: Outlet) -> Routed:
        """Pass the answer to `outlet` piece by piece; return what became of `ask`.

        As `route` in all else: its budget is the time to the first piece, before which nothing
        goes out, and after which nothing is tried again. What begins is on disk before it does,
        its end before this returns. Raises Left when `outlet` does not take a piece in time.
        """
        away = await self._doorstep.meet(ask)
        if away:
            return self._told(away)
        run = await self._begin(ask)
        run.flow = Flow(
            outlet=outlet, begin=lambda path: self._open(run, path), limits=self._limits
        )
        return await self._carry_out(run)

    async def _carry_out(self, run: Run) -> Routed:
        try:
            await self._recall.carry_out(run)
            if run.flow is not None and run.repeats and run.answer is not None:
                await run.flow.give(run.answer)
        except (asyncio.CancelledError, Left):
            await self._book_unanswered(run, status=GONE)
            raise
        except Exception:
            await self._book_unanswered(run, status=500)
            raise
        return await self._book(run)

    async def _begin(self, ask: Ask) -> Run:
        began = time.monotonic()
        if self._log.problem and ask.operation is not Operation.EMERGENCY:
            # No call is made, nor paid for, that could not be booked.
            raise Unavailable(self._log.problem, retry_after_s=5)
        if ask.size > LARGE:
            verdict = await asyncio.to_thread(self._check, ask)
        else:
            verdict = self._check(ask)
        state = self._state(ask)
        self._doorstep.see(ask, state)
        state = gate.within(verdict, state)
        now = self._clock()
        request = _request(ask, state, verdict.refusal, now)
        decision = decide(request, state)
        return Run(
            ask=ask,
            request=request,
            state=state,
            decision=decision,
            decision_id=ask.once.decision_id if ask.once else new_id(now),
            verdict=verdict,
            began=began,
            deadline=began + decision.row.budget_ms / 1000,
        )

    async def _in_turn(self, run: Run) -> None:
        """Have the attempts made when it is the run's turn; what has no path waits for none."""
        if not run.decision.eligible and not run.decision.last_resort:
            return
        if self._till.refuses(run, self._clock()):
            return
        emergency = run.ask.operation is Operation.EMERGENCY
        line = rank(run.request.priority, emergency=emergency)
        async with self._admission.place(line, left_s=run.left_s()) as place:
            run.waited_us = place.waited_us
            if place.shed is not None:
                run.shed, run.failure = True, Failure.QUEUE_FULL
                run.crowded_s = place.retry_after_s
                return
            if place.waited_us:
                self._renew(run)
                if self._till.refuses(run, self._clock()):
                    return
            await self._attempts.carry_out(run)

    def _renew(self, run: Run) -> None:
        """Decide anew after a wait: flags, breakers and health may have changed meanwhile."""
        run.state = gate.within(run.verdict, self._state(run.ask))
        run.request = _request(run.ask, run.state, run.verdict.refusal, self._clock())
        run.decision = decide(run.request, run.state)

    def _check(self, ask: Ask) -> gate.Verdict:
        return gate.check(
            environment=ask.caller.environment,
            operation=ask.operation,
            texts=ask.texts,
            policy=self._policy,
        )

    def _state(self, ask: Ask) -> State:
        subject = Subject(name=_subject(ask), groups=ask.caller.groups)
        return self._situation(ask.caller.environment, subject)

    async def _open(self, run: Run, path: Path | None) -> Opening:
        """Book that an answer begins; raises Unavailable as the end's record would.

        `path` speaks, or none does, and the answer is given again.
        """
        speaking = [Attempt(path=path, duration_us=0)] if path else []
        conclusion = conclude(
            run.decision,
            [*run.attempts, *speaking],
            held=run.skips,
            resorted=run.resorted,
            repeated=bool(run.repeats),
        )
        opening = record.opening(self._promise(run, conclusion))
        await self._written(run, self._log.put(opening), out=False)
        return Opening(decision_id=run.decision_id, path=path, reason=conclusion.reason)

    async def _book_unanswered(self, run: Run, *, status: int) -> None:
        if not run.begun:
            run.failure = run.failure or Failure.OUTCOME_UNKNOWN
        with contextlib.suppress(Unavailable):  # nobody got an answer that would lack its record
            await self._book(run, status=status)

    async def _book(self, run: Run, *, status: int | None = None) -> Routed:
        """Return what became of `run` once its record is on disk, which no caller who leaves
        keeps it from: then it is booked and charged all the same, once."""
        routed = self._routed(run, status)
        end = record.End(
            status=routed.status,
            duration_us=routed.duration_us,
            failure=str(run.failure or ""),
            usage=routed.usage,
            stop_reason=run.answer.stop_reason if run.answer else "",
            streamed=routed.streamed,
            waited_us=run.waited_us,
            charge=routed.charge,
        )
        body = record.body(self._promise(run, routed.conclusion), end)

        async def booked(put: asyncio.Future[int]) -> Routed:
            try:
                routed.seq = await self._written(run, put, out=run.begun)
            except Exception:  # what was billed counts, also where its record is lost
                self._till.take(run, routed.charge, None, self._clock())
                raise
            self._till.take(run, routed.charge, routed.seq, self._clock())
            return self._told(routed)

        return await self._log.see_through(body, booked)

    def _told(self, routed: Routed) -> Routed:
        now = self._clock()
        for listener in self._listeners:
            listener(routed, now)
        return routed

    def _promise(self, run: Run, conclusion: Conclusion) -> record.Promise:
        return record.Promise(
            decision_id=run.decision_id,
            now=self._clock(),
            caller=run.ask.caller,
            request=run.request,
            state=run.state,
            decision=run.decision,
            conclusion=conclusion,
            attempts=tuple(run.attempts),
            repeats=run.repeats,
            once=run.ask.once,
            prompt=record.prompt(
                masked=run.verdict.masked, asked=run.ask.texts, pii=run.verdict.classes
            ),
            judged=record.Judged(
                policy=run.verdict.policy,
                pii=str(run.verdict.treatment),
                broken=str(gate.broken(run.verdict, run.decision) or ""),
            ),
        )

    async def _written(self, run: Run, put: asyncio.Future[int], *, out: bool) -> int | None:
        """Return a record's number once it is on disk; None for an emergency that goes on.

        `out` says that the answer went out already: then its record is missing, and counted.
        """
        emergency = run.ask.operation is Operation.EMERGENCY
        try:
            return await put
        except Unavailable:
            if emergency or out:
                self._log.count_loss()
            if emergency:
                return None
            raise

    def _routed(self, run: Run, status: int | None) -> Routed:
        conclusion = conclude(
            run.decision,
            run.attempts,
            held=run.skips,
            resorted=run.resorted,
            shed=run.shed,
            repeated=bool(run.repeats),
            stopped=run.stopped is not None,
        )
        told = telling.ANSWERED if run.answer is not None else self._tell(run, conclusion.reason)
        return Routed(
            decision_id=run.decision_id,
            decision=run.decision,
            conclusion=conclusion,
            attempts=tuple(run.attempts),
            status=status or told.status,
            duration_us=int((run.ended() - run.began) * 1_000_000),
            pii=tuple(str(kind) for kind in run.verdict.classes),
            caller=run.ask.caller,
            answer=run.answer,
            failure=run.failure,
            code=told.code,
            advice=told.advice,
            retry_after_s=told.retry_after_s,
            repeats=run.repeats,
            streamed=_streamed(run, left=status == GONE),
            broken=gate.broken(run.verdict, run.decision),
            charge=self._till.charge(run),
        )

    def _tell(self, run: Run, reason: Reason) -> Told:
        return telling.tell(
            reason=reason,
            failure=run.failure,
            refusal=gate.sentence(run.verdict, run.decision),
            said_s=run.said_s,
            wait_s=self._attempts.wait_s(run),
            begun=run.begun,
            crowded_s=run.crowded_s,
            stopped=run.stopped,
        )


def _subject(ask: Ask) -> str:
    tenant = ask.caller.tenant
    return f"{tenant}/{ask.subject}" if ask.subject else tenant


def _request(ask: Ask, state: State, refusal: str, now: datetime) -> Request:
    row = state.matrix.row(ask.operation, ask.priority)
    return Request(
        operation=ask.operation,
        priority=ask.priority or row.default_priority,
        now_us=int(now.timestamp() * 1_000_000),
        pinned=ask.pinned,
        mcp_can_say_it=ask.mcp_can_say_it,
        refusal=refusal,
        bucket=split_bucket(ask.caller.environment, ask.operation, _subject(ask)),
        chosen=ask.priority is not None,
    )


def _streamed(run: Run, *, left: bool) -> record.Streamed | None:
    if run.flow is None or not run.begun:
        return None
    end = StreamEnd.GIVEN_UP if left else StreamEnd.BROKEN_OFF
    return record.Streamed(
        end=end if run.answer is None else StreamEnd.COMPLETE,
        pieces=run.flow.pieces,
        size=run.flow.size,
        total_us=int((time.monotonic() - run.began) * 1_000_000),
    )
