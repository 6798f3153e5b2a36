from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as Folder

import pytest

from routing.access import tokens
from routing.api import door
from routing.api.booking import Booking
from routing.api.wire import Receive, Scope, Send
from routing.changes import first_run
from routing.core.rights import Actor, shell_actor
from routing.core.values import EnvironmentName
from tests.integration.runs.served import Served, now, serve, sources
from tests.unit import stage as stages
from tests.unit.stage import Stage


@pytest.fixture
def by() -> Actor:
    return shell_actor(user="ada", host="here")


@pytest.fixture(autouse=True)
def ground(by: Actor) -> None:
    first_run.lay(by=by, now=now(), environments=tuple(EnvironmentName), embedded=True)
    tokens.load()


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path) as made:
        yield made


@pytest.fixture
def served(stage: Stage) -> Iterator[Served]:
    booking = Booking()
    machines = door.build(
        router=lambda: stage.router,
        find=tokens.find,
        clock=now,
        hosts=["127.0.0.1"],
        sources=lambda: sources(stage),
        booking=booking,
    )

    async def root(scope: Scope, receive: Receive, send: Send) -> None:
        if door.is_ours(scope["path"]):
            await machines(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"not json"})

    yield from serve(root)
    booking.close()
