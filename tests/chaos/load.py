"""Requests that come when they come: open loop, so that a slow answer holds no other one back."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from routing.core.values import EnvironmentName, Operation, Priority
from routing.decisions.record import Caller
from routing.paths.base import Message
from routing.router import Ask, IntelligentRouter


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as its caller saw it; `began_s` on the monotonic clock.

    `paths` are those that were called, in order; `calls` names them with their failures.
    """

    began_s: float
    took_s: float
    status: int
    code: str
    retry_after_s: int | None
    operation: Operation
    budget_s: float
    effective: str | None
    paths: tuple[str, ...]
    failures: tuple[str | None, ...]
    decision_id: str


Send = Callable[[], Awaitable[Seen]]


async def pass_time(seconds: float) -> None:
    """Let that time pass: it is the load's own pace, and no event ends it."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=max(0.0, seconds))


async def open_loop(send: Send, rate: float, seconds: float, rng: random.Random) -> list[Seen]:
    """Send at `rate` a second with Poisson arrivals; return all that was seen, by beginning.

    Who falls behind sends what is due at once: the arrivals are drawn beforehand.
    """
    began = time.monotonic()
    tasks: list[asyncio.Future[Seen]] = []
    due = rng.expovariate(rate)
    while due < seconds:
        left = began + due - time.monotonic()
        if left > 0:
            await pass_time(left)
        tasks.append(asyncio.ensure_future(send()))
        due += rng.expovariate(rate)
    return sorted(await asyncio.gather(*tasks), key=lambda one: one.began_s)


def caller(
    router: IntelligentRouter,
    place: EnvironmentName,
    draw: Callable[[], tuple[Operation, Priority | None]],
) -> Send:
    """Return what routes one ask of a kind that `draw` chooses."""
    who = Caller(environment=place, token="tok_1", tenant="acme")
    words = (Message(role="user", text="How do we stand?"),)

    async def send() -> Seen:
        operation, priority = draw()
        ask = Ask(caller=who, operation=operation, messages=words, priority=priority)
        began = time.monotonic()
        done = await router.route(ask)
        effective = done.conclusion.effective
        return Seen(
            began_s=began,
            took_s=time.monotonic() - began,
            status=done.status,
            code=done.code,
            retry_after_s=done.retry_after_s,
            operation=operation,
            budget_s=done.decision.row.budget_ms / 1000,
            effective=str(effective) if effective else None,
            paths=tuple(str(a.path) for a in done.attempts),
            failures=tuple(a.failure and str(a.failure) for a in done.attempts),
            decision_id=done.decision_id,
        )

    return send


def rank(values: Sequence[float], percent: float) -> float:
    """Return the percentile by nearest rank, 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1] if ordered else 0.0
