"""The attempts of one ask, within one deadline: its candidates, one retry, the last resort.

The only retry loop there is. It asks the breakers, calls the clients and keeps what came of it
in the Run; what is decided before and booked after is the router's.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from routing.breakers.board import Board, Key
from routing.breakers.pace import Paces
from routing.breakers.reserve import RetryBudget, Slots
from routing.breakers.sparing import Sparing
from routing.compliance import gate
from routing.core import failures
from routing.core.circuit import Permit, Result
from routing.core.decision import Attempt, Decision, Request, State
from routing.core.once import Once
from routing.core.telling import Spent
from routing.core.values import (
    Breaker,
    EnvironmentName,
    Failure,
    Operation,
    Path,
    Priority,
    Skip,
    WhenDown,
)
from routing.decisions import record
from routing.flow import Flow, Left
from routing.paths.base import Answer, Billed, Call, Message, PathClient, PathError

ATTEMPT_SHARE = 0.6  # of what remains, while another path is left (product.md section 3)
LEAST_S = 0.05  # an attempt with less time than this is not worth its connection
SLOW_SHARE = 0.5  # of the budget; later there is hardly time for another path
EMERGENCY_SLOTS = 2
RETRY_PAUSE_MS = 75  # the longest, full jitter; with both paths down, "no" comes within 100 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request as a door cleaned it. `pinned` only from a run token.

    `subject` chooses the caller's share of a percentage flag or a split, the tenant where it is
    empty; `fresh` asks for an answer that was not given before. `once` is set for a request under
    an idempotency key, and names its decision.
    """

    caller: record.Caller
    operation: Operation
    messages: tuple[Message, ...]
    priority: Priority | None = None
    system: str = ""
    max_tokens: int = 1024
    temperature: float | None = None
    pinned: Path | None = None
    mcp_can_say_it: bool = True
    subject: str = ""
    fresh: bool = False
    once: Once | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """All that would be sent: the system prompt, then the messages."""
        return (self.system, *(m.text for m in self.messages))

    @property
    def size(self) -> int:
        """How many characters that are."""
        return sum(map(len, self.texts))


@dataclass(slots=True)
class Run:
    """One ask under way: its deadline, in seconds of `clock`, and what was tried so far.

    With a `flow` the answer goes out piece by piece, and the deadline is that of the first.
    """

    ask: Ask
    request: Request
    state: State
    decision: Decision
    decision_id: str
    verdict: gate.Verdict
    began: float
    deadline: float
    flow: Flow | None = None
    clock: Callable[[], float] = time.monotonic
    attempts: list[Attempt] = field(default_factory=list)
    skips: dict[Path, Skip] = field(default_factory=dict)
    billed: list[Billed] = field(default_factory=list)  # of attempts that failed
    answer: Answer | None = None
    failure: Failure | None = None
    said_s: float | None = None
    shed: bool = False
    resorted: bool = False
    waited_us: int = 0
    crowded_s: int | None = None  # when to come back, for who got no place in the line
    repeats: str = ""  # the decision whose answer is given again
    stopped: Spent | None = None  # the budget that refuses it

    @property
    def begun(self) -> bool:
        """Whether a part of the answer is on its way to the caller."""
        return self.flow is not None and self.flow.begun

    def left_s(self) -> float:
        return self.deadline - self.clock()

    def ended(self) -> float:
        """Return when the budget was kept or not: now, or when the first piece came."""
        first = self.flow.first_at if self.flow is not None else None
        return self.clock() if first is None else first

    def note(self, path: Path, began: float, failure: Failure | None, detail: str) -> int:
        """Keep one attempt that began then; return how many µs it took, to its first piece."""
        took_us = int((self.ended() - began) * 1_000_000)
        self.attempts.append(
            Attempt(path=path, duration_us=took_us, failure=failure, detail=detail)
        )
        self.failure = failure
        return took_us


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What one call may: its time, whom it tells that it was heard, whether it may still leave."""

    timeout_s: float
    heard: Callable[[], None]
    may_go: Callable[[], bool] | None


class Attempts:
    """Carries out runs; one instance a process, for its slots and its retries are shared."""

    def __init__(
        self,
        *,
        client: Callable[[EnvironmentName, Path], PathClient | None],
        board: Board,
        paces: Paces | None = None,
    ) -> None:
        self._client = client
        self._board = board
        self._sparing = Sparing(board, paces or Paces())
        self._slots = Slots()
        self._retries = RetryBudget()

    async def carry_out(self, run: Run) -> None:
        """Try what may be tried, until there is an answer or nothing is left."""
        self._retries.earn()
        eligible = run.decision.eligible
        for position, path in enumerate(eligible):
            others = eligible[position + 1 :]
            spared = self._spared(run, path, others)
            if spared is not None:
                run.skips[path] = spared
                continue
            alone = not others and Skip.SLOW not in run.skips.values()
            if not await self._try(run, path, alone=alone):
                break
        else:
            if await self._come_back(run):
                await self._last_resort(run)
            return
        if run.failure is Failure.VALIDATION and not run.begun:
            await self._come_back(run)  # what one path cannot do, the slow one may

    async def _come_back(self, run: Run) -> bool:
        """Try what was spared because it is slow; return whether something else may be tried.

        A slow answer is one, where no other path gave any.
        """
        for path in [path for path, skip in run.skips.items() if skip is Skip.SLOW]:
            del run.skips[path]
            if not await self._try(run, path, alone=True):
                return False
        return True

    def _spared(self, run: Run, path: Path, others: Sequence[Path]) -> Skip | None:
        """Return why a path is left alone while `others` are left, None where it is not."""
        if not others:
            return None
        keys = (self._key(run, other) for other in others)
        return self._sparing.why(self._key(run, path), run.ask.operation, keys, run.clock())

    async def _try(self, run: Run, path: Path, *, alone: bool) -> bool:
        """Try one candidate; return whether the next one may be tried."""
        permit = self._permit(run, path)
        if permit is None:
            return True
        go_on = await self._attempt(run, path, permit, alone=alone)
        if go_on and alone and path not in run.skips and await self._pause(run):
            permit = self._board.admit(self._key(run, path))
            if permit is not None:
                go_on = await self._attempt(run, path, permit, alone=True)
        return go_on

    def _permit(self, run: Run, path: Path) -> Permit | None:
        """Ask the breaker of `path`; note why the path is passed over where it says no."""
        key = self._key(run, path)
        permit = self._board.admit(key)
        if permit is None:
            self._pass_over(run, path, key)
        return permit

    def _pass_over(self, run: Run, path: Path, key: Key) -> None:
        forced = self._board.state(key) is Breaker.FORCED_OPEN
        run.skips[path] = Skip.FORCED_OPEN if forced else Skip.BREAKER_OPEN

    async def _pause(self, run: Run) -> bool:
        """Wait before the one retry; False where none may or can be made."""
        if run.failure is None or not failures.may_retry(run.failure):
            return False
        pause_s = max(secrets.randbelow(RETRY_PAUSE_MS) / 1000, run.said_s or 0)
        if pause_s + LEAST_S > run.left_s() or not self._retries.spend():
            return False
        await asyncio.sleep(pause_s)
        return True

    async def _attempt(self, run: Run, path: Path, permit: Permit | None, *, alone: bool) -> bool:
        """Make one call in the time it may have; settle its breaker; say whether to go on."""
        key = self._key(run, path)
        left = run.left_s()
        if left < LEAST_S:
            run.skips.setdefault(path, Skip.NO_TIME_LEFT)
            if permit is not None:
                self._board.cancel(key, permit)
            return False
        ask = run.ask
        pace = self._sparing.pace(key, ask.operation, synthetic=ask.caller.synthetic)
        wait = pace.begin(run.clock, run.decision.row.budget_ms / 1000 * SLOW_SHARE)
        began, answered = wait.began, False
        terms = _Terms(
            timeout_s=left if alone else left * ATTEMPT_SHARE,
            heard=wait.heard,
            may_go=None if permit is None else partial(self._board.stands, key, permit),
        )
        try:
            failure, detail = await self._call(run, path, terms)
            answered = failure is None
        except BaseException as error:
            if permit is not None:  # the caller went away: that says nothing about the path
                self._board.cancel(key, permit)
            run.note(path, began, *_given_up(run, error))
            raise
        finally:
            pace.end(wait, answered=answered)
        if failure is Failure.BREAKER_OPEN and permit and not self._board.stands(key, permit):
            self._board.cancel(key, permit)  # it waited in line meanwhile, and never went out
            self._pass_over(run, path, key)
            return True
        took_us = run.note(path, began, failure, detail)
        self._settle(run, key, permit, failure, took_us=took_us, began=began)
        # What has reached the caller is neither taken back nor followed by another answer.
        return failure is not None and not run.begun and failures.may_fall_back(failure)

    def _settle(
        self,
        run: Run,
        key: Key,
        permit: Permit | None,
        failure: Failure | None,
        *,
        took_us: int,
        began: float,
    ) -> None:
        """Tell breaker and patience what came of a call; a stream took `took_us` to begin."""
        if failure is Failure.THROTTLED:
            self._sparing.patience.throttled(key, run.said_s, run.clock())
        elif failure is None:
            self._sparing.patience.answered(key)
        if permit is not None:
            self._board.settle(key, permit, _result(failure, took_us, run))
        elif failure is None:
            self._board.probe_ok(key, int((run.clock() - began) * 1_000_000))

    async def _call(self, run: Run, path: Path, terms: _Terms) -> tuple[Failure | None, str]:
        run.said_s = None
        client = self._client(run.ask.caller.environment, path)
        if client is None:
            return Failure.DISABLED, "The path is not configured."
        call = self._words(run, terms)
        try:
            if run.flow is not None:
                run.answer = await run.flow.carry(
                    client.stream(call), path, first_s=terms.timeout_s
                )
            else:
                async with asyncio.timeout(terms.timeout_s):
                    run.answer = await client.call(call)
        except TimeoutError:
            return Failure.TIMEOUT, f"No answer within {terms.timeout_s:.1f} s."
        except PathError as error:
            run.said_s = error.retry_after_s
            if error.billed is not None:
                run.billed.append(error.billed)
            if error.sent and failures.counts_for_breaker(error.failure) is Result.IGNORED:
                terms.heard()  # a refusal is no silence
            return error.failure, error.detail
        return None, ""

    def _words(self, run: Run, terms: _Terms) -> Call:
        ask, limits = run.ask, run.flow and run.flow.limits
        system, *texts = run.verdict.texts
        return Call(
            environment=ask.caller.environment,
            operation=ask.operation,
            messages=tuple(
                m if m.text == text else replace(m, text=text)
                for m, text in zip(ask.messages, texts, strict=True)
            ),
            system=system,
            max_tokens=ask.max_tokens,
            temperature=ask.temperature,
            timeout_s=limits.whole_s if limits else terms.timeout_s,
            decision_id=run.decision_id,
            nonce=ask.caller.nonce,
            gap_s=limits.gap_s if limits else None,
            priority=run.request.priority,
            heard=terms.heard,
            may_go=terms.may_go,
        )

    async def _last_resort(self, run: Run) -> None:
        """Try what looks down, in matrix order: one in flight each, two for emergencies."""
        emergency = run.ask.operation is Operation.EMERGENCY
        paths = _resorts(run)
        for position, path in enumerate(paths):
            slot = (run.ask.caller.environment, path, emergency)
            with self._slots.hold(slot, most=EMERGENCY_SLOTS if emergency else 1) as free:
                if not free:
                    run.shed = run.shed or emergency
                    continue
                key = self._key(run, path)
                permit = self._board.admit(key)
                if permit is None and self._board.state(key) is Breaker.FORCED_OPEN:
                    continue
                run.resorted = True
                alone = position == len(paths) - 1
                if not await self._attempt(run, path, permit, alone=alone):
                    return

    def _key(self, run: Run, path: Path) -> Key:
        environment = run.ask.caller.environment
        client = self._client(environment, path)
        return Key(environment=environment, path=path, target=client.target if client else "")

    def wait_s(self, run: Run) -> int:
        """Return when to come back: when the first open breaker lets a trial through."""
        waits = [
            self._board.wait_us(self._key(run, c.path))
            for c in run.decision.candidates
            if self._board.state(self._key(run, c.path)) is Breaker.OPEN
        ]
        return max(1, math.ceil(min(waits) / 1_000_000)) if waits else 5


def _resorts(run: Run) -> tuple[Path, ...]:
    """Return what the last resort tries: promised, or held back by its breaker since then."""
    policy = run.decision.row.when_down is WhenDown.LAST_RESORT
    if not policy and run.ask.operation is not Operation.EMERGENCY:
        return ()
    held = {path for path, skip in run.skips.items() if skip is Skip.BREAKER_OPEN}
    wanted = held.union(run.decision.last_resort)
    wanted.difference_update(attempt.path for attempt in run.attempts)
    return tuple(c.path for c in run.decision.candidates if c.path in wanted)


def _given_up(run: Run, error: BaseException) -> tuple[Failure | None, str]:
    """Return what is noted of a call that was not let end; a path that spoke did not fail."""
    if run.begun and isinstance(error, asyncio.CancelledError | Left):
        return None, "The caller left before the end."
    return Failure.OUTCOME_UNKNOWN, "The call was given up."


def _result(failure: Failure | None, took_us: int, run: Run) -> Result:
    if run.begun and failure is Failure.TIMEOUT:
        return Result.IGNORED  # it spoke until our own limit for a whole answer
    if failure is not None:
        return failures.counts_for_breaker(failure)
    slow_us = run.decision.row.budget_ms * 1000 * SLOW_SHARE
    return Result.SLOW if took_us > slow_us else Result.SUCCESS
