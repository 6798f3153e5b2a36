"""A path that does what its script says: for tests and demonstrations, without any network.

It keeps the contract of the real clients: answers or PathError, within the time of the call; a
call that is cancelled, or whose client is closed, ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from routing.core.values import Failure, Path
from routing.paths import base
from routing.paths.base import Answer, Billed, Call, PathError, Probe, Stage, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one call meets: waits for `after`, then fails, breaks, or answers.

    `failure` raises PathError with `detail`, `broken` that error itself: a client that fails its
    contract. Without either, `answer` is returned; None stands for an echo of the last message.
    A stream yields `pieces` before it ends so, the whole text without any; before the n-th it
    waits for `holds[n]`, for that behind the last one before its end.
    """

    answer: Answer | None = None
    failure: Failure | None = None
    detail: str = ""
    retry_after_s: float | None = None
    billed: Billed | None = None
    broken: Exception | None = None
    after: asyncio.Event | None = None
    pieces: tuple[str, ...] = ()
    holds: Mapping[int, asyncio.Event] = field(default_factory=dict)


ECHO = Step()


def fails(
    failure: Failure,
    *,
    retry_after_s: float | None = None,
    detail: str = "",
    billed: Billed | None = None,
) -> Step:
    """Return the step of a call that fails so."""
    words = detail or f"The script says {failure}."
    return Step(failure=failure, detail=words, retry_after_s=retry_after_s, billed=billed)


def says(text: str, *, usage: Usage | None = None) -> Step:
    """Return the step of a call that is answered with `text`."""
    return Step(answer=Answer(text=text, stop_reason="end_turn", model="scripted", usage=usage))


def streams(
    *pieces: str,
    failure: Failure | None = None,
    holds: Mapping[int, asyncio.Event] | None = None,
    usage: Usage | None = None,
) -> Step:
    """Return the step of a call that is answered in `pieces`, or fails behind the last of them."""
    said = says("".join(pieces), usage=usage)
    failing = fails(failure) if failure is not None else said
    return replace(failing, pieces=pieces, holds=holds or {})


def waits(event: asyncio.Event) -> Step:
    """Return the step of a call that is answered once `event` is set; never, if it never is."""
    return Step(after=event)


@dataclass(slots=True)
class ScriptedClient:
    """Plays `steps` in order, then `otherwise` for every further call.

    `calls` are those that arrived, `given_up` how many were cancelled, `under_way` how many wait.
    """

    path: Path
    target: str = "scripted"
    steps: Iterable[Step] = ()
    otherwise: Step = ECHO
    probes: Iterable[Probe] = ()
    calls: list[Call] = field(default_factory=list)
    given_up: int = 0
    under_way: int = 0
    closed: bool = False
    _end: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _left: deque[Step] = field(init=False)
    _probes_left: deque[Probe] = field(init=False)
    _watchers: list[tuple[int, asyncio.Event]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._left = deque(self.steps)
        self._probes_left = deque(self.probes)

    async def call(self, call: Call) -> Answer:
        """Play the next step."""
        step = self._next(call)
        with self._on_the_way():
            if step.after is not None:
                await self._wait(step.after, call.timeout_s)
        return _play(step, call)

    def _next(self, call: Call) -> Step:
        base.check(call)
        self.calls.append(call)
        self._tell()
        if self.closed:
            raise PathError(Failure.UNREACHABLE, "The client is closed.", sent=False)
        return self._left.popleft() if self._left else self.otherwise

    @contextlib.contextmanager
    def _on_the_way(self) -> Iterator[None]:
        self.under_way += 1
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self.given_up += 1
            raise
        finally:
            self.under_way -= 1

    async def _wait(self, event: asyncio.Event, timeout_s: float) -> None:
        ends = [asyncio.create_task(one.wait()) for one in (event, self._end)]
        try:
            await asyncio.wait(ends, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        if self.closed:
            raise PathError(Failure.UNREACHABLE, "The client was closed.")
        if not event.is_set():
            raise PathError(Failure.TIMEOUT, "No answer in the time of the call.")

    async def stream(self, call: Call) -> AsyncGenerator[str | Answer]:
        """Play the next step piece by piece; what has no pieces comes in one."""
        step = self._next(call)
        with self._on_the_way():
            if step.after is not None:
                await self._wait(step.after, call.timeout_s)
            for number, piece in enumerate(step.pieces):
                await self._hold(step, number, call)
                yield piece
            await self._hold(step, len(step.pieces), call)
            answer = _play(step, call)
            if answer.text and not step.pieces:
                yield answer.text
            yield answer

    async def _hold(self, step: Step, number: int, call: Call) -> None:
        if number in step.holds:
            await self._wait(step.holds[number], call.timeout_s)

    async def probe(self) -> Probe:
        """Return the next scripted probe, then good ones."""
        good = Probe(stages=(Stage(name="script", ok=True, ms=0.0),))
        return self._probes_left.popleft() if self._probes_left else good

    async def close(self) -> None:
        """End the calls that wait, refuse every further one."""
        self.closed = True
        self._end.set()

    async def arrived(self, count: int = 1) -> None:
        """Return once `count` calls have arrived in all."""
        event = asyncio.Event()
        self._watchers.append((count, event))
        self._tell()
        await event.wait()

    def _tell(self) -> None:
        for count, event in self._watchers:
            if len(self.calls) >= count:
                event.set()


def _play(step: Step, call: Call) -> Answer:
    if step.broken is not None:
        raise step.broken
    if step.failure is not None:
        raise PathError(
            step.failure, step.detail, retry_after_s=step.retry_after_s, billed=step.billed
        )
    if step.answer is not None:
        return step.answer
    return Answer(text=call.messages[-1].text, stop_reason="end_turn", model="scripted")
