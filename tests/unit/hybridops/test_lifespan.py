from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from hybridops.edge import Message
from hybridops.lifespan import FIRST_PAUSE_S, LONGEST_PAUSE_S, Life, Loop


async def forever() -> None:
    await asyncio.Event().wait()


def life_of(*loops: Loop, pauses: list[float] | None = None) -> Life:
    async def prepare() -> Sequence[Loop]:
        return loops

    async def pause(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)
        await asyncio.sleep(0)

    return Life(prepare, pause)


async def speak(life: Life, *types: str) -> list[Message]:
    said = iter(types)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": next(said)}

    async def send(message: Message) -> None:
        sent.append(message)

    await life.run(receive, send)
    return sent


async def test_starts_and_stops_as_the_protocol_asks() -> None:
    sent = await speak(life_of(("one", forever)), "lifespan.startup", "lifespan.shutdown")
    assert [m["type"] for m in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_start_that_fails_says_why() -> None:
    async def prepare() -> Sequence[Loop]:
        raise RuntimeError("run migrate first")

    sent = await speak(Life(prepare), "lifespan.startup")
    assert sent == [{"type": "lifespan.startup.failed", "message": "run migrate first"}]


async def test_is_ready_only_between_start_and_stop() -> None:
    life = life_of(("one", forever))
    assert not life.ready
    await life.start()
    assert life.ready
    await life.stop()
    assert not life.ready


async def test_a_loop_that_dies_is_logged_and_starts_again_after_growing_pauses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs = 0
    enough = asyncio.Event()

    async def fragile() -> None:
        nonlocal runs
        runs += 1
        if runs == 8:
            enough.set()
            await forever()
        raise ValueError("lost the row")

    pauses: list[float] = []
    life = life_of(("fragile", fragile), pauses=pauses)
    with caplog.at_level(logging.ERROR):
        await life.start()
        await asyncio.wait_for(enough.wait(), 5)
    await life.stop()
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert (pauses[0], pauses[-1]) == (FIRST_PAUSE_S, LONGEST_PAUSE_S)
    assert "loop fragile died" in caplog.text
    assert "lost the row" in caplog.text


async def test_a_loop_that_dies_leaves_the_others_alone() -> None:
    died, alive = asyncio.Event(), asyncio.Event()

    async def fragile() -> None:
        died.set()
        raise ValueError

    async def steady() -> None:
        await died.wait()
        alive.set()
        await forever()

    life = life_of(("fragile", fragile), ("steady", steady), pauses=[])
    await life.start()
    await asyncio.wait_for(alive.wait(), 5)
    await life.stop()


async def test_stopping_lets_a_loop_put_its_things_away() -> None:
    began, put_away = asyncio.Event(), asyncio.Event()

    async def tidy() -> None:
        began.set()
        try:
            await forever()
        finally:
            put_away.set()

    life = life_of(("tidy", tidy))
    await life.start()
    await asyncio.wait_for(began.wait(), 5)
    await life.stop()
    assert put_away.is_set()


async def test_a_loop_that_fails_while_it_is_stopped_is_not_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs, began = 0, asyncio.Event()

    async def clumsy() -> None:
        nonlocal runs
        runs += 1
        began.set()
        try:
            await forever()
        finally:
            raise OSError("the database went away with us")

    life = life_of(("clumsy", clumsy))
    await life.start()
    await asyncio.wait_for(began.wait(), 5)
    await life.stop()
    assert runs == 1
    assert "the database went away with us" in caplog.text
    assert "did not stop" not in caplog.text
