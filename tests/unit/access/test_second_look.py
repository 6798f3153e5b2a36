"""A token that was issued a moment ago is known to whoever looks once more."""

from __future__ import annotations

import asyncio

import pytest

from routing.access import second_look
from routing.access.second_look import SecondLook


class Database:
    """Readings take a turn of the loop; what was committed before one began is found by it."""

    def __init__(self) -> None:
        self.committed = self.known = self.readings = 0
        self.begun = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def read(self) -> None:
        self.readings += 1
        self.begun.set()
        found = self.committed
        await (self.gate.wait() if self.gate else asyncio.sleep(0))
        self.known = found


async def test_what_was_committed_before_the_look_is_known_after_it() -> None:
    database = Database()
    look = SecondLook(database.read, pause_s=0)
    for number in range(1, 4):
        database.committed = number
        await look()
        assert database.known == number


async def test_a_reading_that_had_begun_before_is_not_taken_for_a_look() -> None:
    database = Database()
    database.gate = asyncio.Event()
    look = SecondLook(database.read, pause_s=0)
    early = asyncio.create_task(look())
    await database.begun.wait()
    database.committed = 1
    late = asyncio.create_task(look())
    await asyncio.sleep(0)
    database.gate.set()
    await asyncio.gather(early, late)
    assert (database.known, database.readings) == (1, 2)


async def test_many_strangers_share_a_reading() -> None:
    database = Database()
    look = SecondLook(database.read, pause_s=0)
    await asyncio.gather(*(look() for _ in range(200)))
    assert database.readings <= 2


async def test_a_database_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_look, "WITHIN_S", 0.02)
    database = Database()
    database.gate = asyncio.Event()
    look = SecondLook(database.read, pause_s=0)
    await look()
    await look()
    assert database.readings == 1
    look.close()


async def test_a_reading_that_breaks_leaves_the_next_one_to_come() -> None:
    outcomes = iter([OSError("away"), None])

    async def read() -> None:
        if error := next(outcomes):
            raise error

    look = SecondLook(read, pause_s=0)
    with pytest.raises(OSError, match="away"):
        await look()
    await look()
