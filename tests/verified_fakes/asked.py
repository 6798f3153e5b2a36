"""What the tests ask of a path, and what they look at when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from routing.core.values import EnvironmentName, Operation
from routing.paths.base import Answer, Call, Message, PathClient, PathError
from tests.verified_fakes import standin
from tests.verified_fakes.standin import StandIn

LATE_S = 0.3  # how far beyond its time a call may end
MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
PATHS = {"bedrock": "direct_bedrock", "mcp": "mcp"}


def call(text: str = "how are you today", **more: Any) -> Call:
    given: dict[str, Any] = {
        "environment": EnvironmentName.DEVELOPMENT,
        "operation": Operation.STANDARD,
        "messages": (Message(role="user", text=text),),
        "max_tokens": 50,
        "timeout_s": 5.0,
        "decision_id": "d1",
    }
    return Call(**{**given, **more})


async def failed(client: PathClient, **more: Any) -> PathError:
    """Return the failure of one call, which must end in time."""
    asked = call(**more)
    began = time.monotonic()
    try:
        answer = await client.call(asked)
    except PathError as error:
        assert time.monotonic() - began < asked.timeout_s + LATE_S
        assert 0 < len(error.detail) <= 300
        return error
    raise AssertionError(f"the call was answered: {answer}")


async def outcomes(*calls: Awaitable[Answer]) -> list[Answer | PathError]:
    """Return what became of concurrent calls; anything but PathError is raised."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    ours: list[Answer | PathError] = []
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, PathError):
            raise one
        ours.append(one)
    return ours


@dataclass(frozen=True, slots=True)
class Mark:
    """How much a stand-in's journal held at some moment."""

    stand_in: StandIn
    lines: int

    def since(self, kind: str = "") -> list[dict[str, Any]]:
        """Requests that have arrived since then, of that kind if given."""
        new = read(self.stand_in)[self.lines :]
        return [e for e in new if e["event"] == "arrived" and kind in {"", e["kind"]}]


def read(stand_in: StandIn) -> list[dict[str, Any]]:
    file = stand_in.home / "run" / "journal" / f"development-{PATHS[stand_in.name]}.jsonl"
    if not file.exists():
        return []
    return [json.loads(line) for line in standin.whole_lines(file)]


def ended(stand_in: StandIn) -> set[str]:
    """Names of the requests that are over for the stand-in: answered, or their callers left."""
    return {entry["request"] for entry in read(stand_in) if entry["event"] == "ended"}


def mark(stand_in: StandIn) -> Mark:
    return Mark(stand_in, len(read(stand_in)))


async def until(true: Callable[[], bool], within_s: float = 3.0) -> None:
    """Return when `true` is; look again with every turn of the loop's clock."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        await turn()


async def turn(seconds: float = 0.01) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


def threads(but: Collection[threading.Thread] = ()) -> list[str]:
    """Names of the threads that clients keep, `but` those of earlier tests."""
    kept = (one for one in threading.enumerate() if one not in but)
    return [one.name for one in kept if one.name.startswith("bedrock-")]


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Insist that the block leaves no task and no thread of a client behind.

    A thread of an earlier test that waits for a name cannot be ended and ends by itself; it is
    not this block's.
    """
    known, before = asyncio.all_tasks(), set(threading.enumerate())
    yield
    known |= {task for task in (asyncio.current_task(),) if task is not None}
    # The other ends of the connections need a moment to see them close.
    await until(lambda: not asyncio.all_tasks() - known)
    left = set(threading.enumerate()) - before
    assert not [one for one in left if one.name.startswith("bedrock-")]
