"""The door on a real socket, the row that leads to it, and runs that go there."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from io import StringIO
from typing import Any

import uvicorn
from django.core.management import call_command

from routing import runs
from routing.access import tokens
from routing.api.report import Sources
from routing.api.wire import App
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.fleet import heartbeat
from routing.runs import Reply, Run
from tests.unit.stage import Stage

PRODUCTION = EnvironmentName.PRODUCTION
EVERY_VERSION = {"tokens": 10**9}
MOST_S = 10


def now() -> datetime:
    from routing import wiring

    return wiring.now()


class Announcing(uvicorn.Server):
    """Says when it takes connections."""

    def __init__(self, app: App, **more: Any) -> None:
        super().__init__(uvicorn.Config(app, port=0, lifespan="off", log_config=None, **more))
        self.ready = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()


class Served(threading.Thread):
    """An app on a loopback port, in a thread and loop of its own."""

    def __init__(self, app: App, **more: Any) -> None:
        super().__init__(daemon=True)
        self.server = Announcing(app, **more)

    def run(self) -> None:
        asyncio.run(self.server.serve())

    @property
    def url(self) -> str:
        port = self.server.servers[0].sockets[0].getsockname()[1]
        scheme = "https" if self.server.config.is_ssl else "http"
        return f"{scheme}://127.0.0.1:{port}"


def serve(app: App, **more: Any) -> Iterator[Served]:
    """Yield `app` served; `more` are further settings of uvicorn."""
    running = Served(app, **more)
    running.start()
    assert running.server.ready.wait(MOST_S)
    yield running
    running.server.should_exit = True
    running.join(MOST_S)
    assert not running.is_alive()


def sources(stage: Stage) -> Sources:
    return Sources(
        process="here:b",
        boot="b",
        code_version="0",
        stream=stage.log.stream,
        write=stage.log.record,
        versions=lambda: {"tokens": tokens.current().version},
        flags=lambda _: stage.flags,
        breakers=stage.board.views,
        health=lambda _: [],
        support=lambda _: None,
        admission=stage.admission.figures,
    )


def row(url: str, *, versions: Mapping[str, int] = EVERY_VERSION, **more: Any) -> str:
    facts: dict[str, Any] = {
        "name": "here",
        "pid": 1,
        "host": "here",
        "kind": "server",
        "environments": tuple(EnvironmentName),
        "code_version": "0",
        "door_url": url,
    }
    return heartbeat.start(heartbeat.Facts(**(facts | more)), now=now(), versions=versions)


def in_run(
    by: Actor, do: Callable[[Run], Awaitable[Reply]], environment: EnvironmentName = PRODUCTION
) -> Reply:
    async def work() -> Reply:
        async with runs.open(environment=environment, by=by, now=now(), purpose="a test") as run:
            return await do(run)

    return runs.wait(work)


def command(*arguments: str) -> tuple[int, dict[str, Any]]:
    out, status = StringIO(), 0
    try:
        call_command(*arguments, "--json", stdout=out, stderr=StringIO())
    except SystemExit as end:
        status = int(str(end.code))
    (line,) = out.getvalue().splitlines()
    return status, json.loads(line)
