"""One process with shared breakers and nothing else; run it with `python -m`.

It reads orders from standard input (`trip`, `load`, `rest`, `end`) and writes what it sees as JSON
lines: each state with its time, each trial with its begin and end, all on the machine's monotonic
clock, which its processes share.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from typing import Any

CALLERS = 6
CALL_S = 0.04
LOOK_S = 0.002
OPEN_US = 1_500_000


def say(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


async def lasting(seconds: float) -> None:
    """Be under way for so long, as a call is."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()


async def watch(board: Any, key: Any) -> None:
    """Tell every change of state."""
    seen = None
    while True:
        views = [view for view in board.views() if view.key == key]
        shared = views[0].shared if views else None
        state = str(views[0].state) if views else "closed"
        if (state, shared) != seen:
            seen = state, shared
            say(state=state, shared=shared, at=board.now_us())
        await lasting(LOOK_S)


async def call(board: Any, key: Any) -> None:
    """Call as a router does, again and again, and tell the trials."""
    from routing.core.circuit import PermitKind, Result

    while True:
        permit = board.admit(key)
        began = board.now_us()
        await lasting(CALL_S)
        if permit is None:
            continue
        ended = board.now_us()  # before the slot is free again
        board.settle(key, permit, Result.SUCCESS)
        if permit.kind is PermitKind.TRIAL:
            say(trial=[began, ended], era=permit.era, generation=permit.generation)


def trip(board: Any, key: Any) -> None:
    from routing.core.circuit import Result

    for _ in range(board.settings.consecutive_failures):
        permit = board.admit(key)
        if permit is not None:
            board.settle(key, permit, Result.FAILURE)


async def hear(sharing: Any) -> None:
    from routing import stream

    async for heard in stream.listen():
        if heard.topic == "breakers":
            sharing.hear()


async def run(name: str) -> None:
    from routing import conf, loops, stream
    from routing.breakers.board import Board, Key
    from routing.breakers.sharing import Sharing
    from routing.core.circuit import CircuitSettings
    from routing.core.values import EnvironmentName, Path

    key = Key(environment=EnvironmentName.DEVELOPMENT, path=Path.MCP, target="local:mcp")
    board = Board(CircuitSettings(open_us=OPEN_US))
    sharing = Sharing(
        board=board,
        environments=(key.environment,),
        process=name,
        now=lambda: datetime.now(UTC),  # noqa: TID251 - the rim of this program
    )
    stream.bind(asyncio.get_running_loop())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with loops.hand("breakers") as hand:
        tasks = [
            asyncio.create_task(sharing.keep(hand.try_to, conf.current().poll_s)),
            asyncio.create_task(hear(sharing)),
            asyncio.create_task(watch(board, key)),
        ]
        callers: list[asyncio.Task[None]] = []
        while (order := (await reader.readline()).decode().strip()) not in ("", "end"):
            if order == "trip":
                trip(board, key)
            elif order == "load":
                callers = [asyncio.create_task(call(board, key)) for _ in range(CALLERS)]
            elif order == "rest":
                for caller in callers:
                    caller.cancel()
        for task in (*tasks, *callers):
            task.cancel()
        await asyncio.gather(*tasks, *callers, return_exceptions=True)
    loops.let_pool_go()


if __name__ == "__main__":
    import django

    django.setup()
    asyncio.run(run(sys.argv[1]))
