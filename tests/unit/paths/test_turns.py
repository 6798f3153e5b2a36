from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.values import Failure, Priority
from routing.paths.base import PathError
from routing.paths.turns import Turns

CRITICAL, HIGH, MEDIUM, LOW = Priority


async def settle() -> None:
    """Let every task that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


def begin(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(coroutine)


async def wait_in(turns: Turns, priority: Priority, name: str, served: list[str]) -> None:
    await turns.take(priority, 5)
    served.append(name)
    turns.give_back()


async def test_the_urgent_go_first_and_equals_in_the_order_of_their_coming() -> None:
    turns, served = Turns(at_once=1, longest=9), list[str]()
    await turns.take(LOW, 1)
    wishes = [(LOW, "l1"), (MEDIUM, "m1"), (CRITICAL, "c1"), (MEDIUM, "m2"), (HIGH, "h1")]
    tasks = [begin(wait_in(turns, priority, name, served)) for priority, name in wishes]
    await settle()
    line = turns.look()
    assert (line.under_way, line.waiting) == (1, 5)
    turns.give_back()
    await asyncio.gather(*tasks)
    assert served == ["c1", "h1", "m1", "m2", "l1"]
    assert (turns.look().under_way, turns.look().waiting) == (0, 0)


async def test_a_full_line_refuses_and_sends_nothing() -> None:
    turns = Turns(at_once=1, longest=1)
    await turns.take(MEDIUM, 1)
    waiting = begin(turns.take(MEDIUM, 5))
    await settle()
    for priority in (MEDIUM, LOW):
        with pytest.raises(PathError) as met:
            await turns.take(priority, 5)
        assert (met.value.failure, met.value.sent) == (Failure.QUEUE_FULL, False)
    turns.give_back()
    await waiting
    assert turns.look().refused == 2


async def test_a_more_urgent_call_takes_the_place_of_the_last_comer_of_the_lowest() -> None:
    turns, served = Turns(at_once=1, longest=3), list[str]()
    await turns.take(MEDIUM, 1)
    wishes = [(LOW, "l1"), (LOW, "l2"), (MEDIUM, "m1")]
    tasks = [begin(wait_in(turns, priority, name, served)) for priority, name in wishes]
    await settle()
    urgent = begin(wait_in(turns, CRITICAL, "c1", served))
    await settle()
    assert isinstance(tasks[1].exception(), PathError)
    assert turns.look().waiting == 3
    turns.give_back()
    await asyncio.gather(urgent, tasks[0], tasks[2])
    assert served == ["c1", "m1", "l1"]


async def test_who_waits_in_vain_leaves_the_line_in_its_time() -> None:
    turns = Turns(at_once=1, longest=9)
    await turns.take(MEDIUM, 1)
    began = time.monotonic()
    with pytest.raises(PathError) as met:
        await turns.take(CRITICAL, 0.05)
    assert time.monotonic() - began < 0.5
    assert (met.value.failure, met.value.sent) == (Failure.QUEUE_FULL, False)
    assert turns.look().waiting == 0


async def test_who_is_cancelled_leaves_the_line_and_keeps_no_turn() -> None:
    turns = Turns(at_once=1, longest=9)
    await turns.take(MEDIUM, 1)
    gone = begin(turns.take(MEDIUM, 5))
    await settle()
    gone.cancel()
    await settle()
    assert gone.cancelled() and turns.look().waiting == 0
    late = begin(turns.take(MEDIUM, 5))
    await settle()
    turns.give_back()  # the turn is handed on in the moment in which the waiter goes
    late.cancel()
    await settle()
    assert turns.look().under_way == 0


async def test_the_age_of_the_oldest_is_told() -> None:
    turns = Turns(at_once=1, longest=9)
    assert turns.look().oldest_ms == 0
    await turns.take(MEDIUM, 1)
    waiting = begin(turns.take(LOW, 5))
    await settle()
    since = time.monotonic()
    while turns.look().oldest_ms < 20:
        await asyncio.sleep(0)
        assert time.monotonic() - since < 2
    assert turns.look().oldest_ms <= (time.monotonic() - since) * 1000 + 5
    turns.give_back()
    await waiting


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.sampled_from(list(Priority))),
        st.tuples(st.just("done"), st.none()),
        st.tuples(st.just("leave"), st.integers(0, 30)),
    ),
    max_size=60,
)


@given(steps=STEPS, at_once=st.integers(1, 3), longest=st.integers(0, 5))
def test_no_order_of_coming_and_going_breaks_the_bounds(
    steps: list[tuple[str, Any]], at_once: int, longest: int
) -> None:
    """Against a plain list that is sorted anew each time."""
    asyncio.run(play(steps, at_once, longest))


def joined(
    model: list[tuple[int, int]], comer: tuple[int, int], longest: int
) -> list[tuple[int, int]]:
    """Return the line after somebody came to it."""
    if len(model) < longest:
        return sorted([*model, comer])
    if model and model[-1][0] > comer[0]:
        return sorted([*model[:-1], comer])
    return model


async def play(steps: list[tuple[str, Any]], at_once: int, longest: int) -> None:
    turns = Turns(at_once=at_once, longest=longest)
    served: list[int] = []
    tasks: dict[int, asyncio.Task[None]] = {}
    under_way, model, expected = 0, list[tuple[int, int]](), list[int]()

    async def come(number: int, priority: Priority) -> None:
        await turns.take(priority, 60)
        served.append(number)

    for number, (step, what) in enumerate(steps):
        if step == "come":
            rank = list(Priority).index(what)
            tasks[number] = begin(come(number, what))
            if under_way < at_once:
                under_way += 1
                expected.append(number)
            else:
                model = joined(model, (rank, number), longest)
        elif step == "done" and under_way:
            turns.give_back()
            if model:
                expected.append(model.pop(0)[1])
            else:
                under_way -= 1
        elif step == "leave" and model:
            _, gone = model.pop(what % len(model))
            tasks[gone].cancel()
        await settle()
        line = turns.look()
        assert (line.under_way, line.waiting) == (under_way, len(model))
    assert served == expected
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
