"""The fan-out: one rendering for all, in order, never too often, and nobody may hold it up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import fanout
from dashboard.fanout import Fanout, Listener
from dashboard.look import Reader
from dashboard.partials import PARTIALS
from routing.core.errors import TooMany
from routing.core.values import EnvironmentName

DEV, STG, PROD = EnvironmentName
NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
GRID, LANE, HEADER = "flags_grid", "mcp_lane", "state_header"


@dataclass(slots=True)
class Stand:
    """A fan-out over facts that the test sets, under a clock that it moves."""

    facts: dict[str, str] = field(default_factory=dict)
    at_s: float = 100.0
    rendered: list[tuple[EnvironmentName, Reader, str]] = field(default_factory=list)
    is_away: bool = False
    hub: Fanout = field(init=False)

    def __post_init__(self) -> None:
        self.hub = Fanout(boot="b1", render=self.render, clock=lambda: self.at_s, now=lambda: NOW)

    async def render(
        self, environment: EnvironmentName, reader: Reader, names: tuple[str, ...]
    ) -> Mapping[str, str]:
        if self.is_away:
            return {}
        self.rendered += [(environment, reader, name) for name in names]
        told = {name: self.facts.get(name, "") for name in names}
        return {name: f"<p>{environment} {reader} {said}</p>" for name, said in told.items()}

    def joined(self, *topics: str, person: str = "", **more: Any) -> Listener:
        listener = Listener(
            **{
                "environment": DEV,
                "reader": Reader.EVERYONE,
                "topics": frozenset(topics or (GRID,)),
                "person": person or f"user:{id(more)}:{len(self.hub.listeners)}",
                "session": "s",
                **more,
            }
        )
        self.hub.join(listener)
        return listener

    async def later(self, seconds: float = 1.0) -> float | None:
        self.at_s += seconds
        return await self.hub.render_due()


async def frames(listener: Listener) -> list[dict[str, Any]]:
    """Take out what waits, without waiting for more."""
    found: list[dict[str, Any]] = []
    while True:
        getting = asyncio.ensure_future(listener.next())
        await asyncio.sleep(0)
        if not getting.done():
            getting.cancel()
            return found
        frame = getting.result()
        if frame is None:
            return found
        found.append(json.loads(frame))


def parts(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return [(f["topic"], f["seq"]) for f in found if f["topic"] != fanout.HEARTBEAT]


async def test_a_socket_gets_what_its_page_shows_and_a_heartbeat_at_once() -> None:
    stand = Stand(facts={GRID: "on"})
    listener = stand.joined(GRID)
    (hello,) = await frames(listener)
    assert (hello["topic"], hello["seqs"], hello["boot"]) == (fanout.HEARTBEAT, {}, "b1")
    await stand.later()
    (frame,) = await frames(listener)
    assert frame == {
        "boot": "b1",
        "topic": GRID,
        "seq": 1,
        "at": NOW.isoformat(),
        "html": "<p>development everyone on</p>",
    }


async def test_one_rendering_serves_all_and_their_bytes_are_the_same() -> None:
    stand = Stand()
    one, other = stand.joined(GRID), stand.joined(GRID)
    await stand.later()
    assert len(stand.rendered) == 1
    assert await frames(one) == await frames(other)


async def test_who_comes_later_gets_what_is_known_without_a_rendering() -> None:
    stand = Stand(facts={GRID: "on"})
    first = stand.joined(GRID)
    await stand.later()
    late = stand.joined(GRID)
    assert parts(await frames(late)) == [(GRID, 1)]
    stand.facts[GRID] = "off"
    stand.hub.mark("flags", DEV)
    await stand.later()
    assert parts(await frames(late)) == [(GRID, 2)]
    assert parts(await frames(first)) == [(GRID, 1), (GRID, 2)]
    assert len(stand.rendered) == 2


async def test_what_did_not_change_is_not_sent_and_an_age_is_no_change() -> None:
    stand = Stand(facts={GRID: "<time data-ago>5 s ago</time>"})
    listener = stand.joined(GRID)
    await stand.later()
    await frames(listener)
    stand.facts[GRID] = "<time data-ago>9 s ago</time>"
    stand.hub.mark(None, None)
    await stand.later()
    assert len(stand.rendered) == 2
    assert await frames(listener) == []


async def test_a_burst_of_news_is_rendered_four_times_a_second_at_most() -> None:
    stand = Stand()
    stand.joined(GRID)
    for _ in range(1000):
        stand.hub.mark("flags", DEV)
        await stand.later(0.001)
    assert len(stand.rendered) == 4
    assert stand.hub.news.is_set()


async def test_the_last_of_a_burst_is_not_lost() -> None:
    stand = Stand(facts={GRID: "first"})
    listener = stand.joined(GRID)
    await stand.later()
    stand.facts[GRID] = "last"
    stand.hub.mark("flags", DEV)
    wait_s = await stand.later(0.1)
    assert wait_s == pytest.approx(0.15)
    assert parts(await frames(listener)) == [(GRID, 1)]
    assert await stand.later(wait_s or 0) is None
    assert parts(await frames(listener)) == [(GRID, 2)]


async def test_news_that_comes_while_it_renders_is_rendered_again() -> None:
    stand = Stand()
    listener = stand.joined(GRID)
    honest = stand.render

    async def slow(*asked: Any) -> Mapping[str, str]:
        told = await honest(*asked)
        stand.facts[GRID] = "changed meanwhile"
        stand.hub.mark("flags", DEV)
        return told

    stand.hub._render = slow
    await stand.later()
    stand.hub._render = honest
    await stand.later()
    last = (await frames(listener))[-1]
    assert "changed meanwhile" in last["html"]


@pytest.mark.parametrize(
    ("topic", "environment", "expected"),
    [
        ("flags", DEV, {GRID, LANE}),
        ("health", DEV, {LANE}),
        ("flags", STG, set()),
        ("flags", None, {GRID, LANE}),
        (None, None, {GRID, LANE}),
        ("weather", None, set()),
    ],
)
async def test_news_concern_the_parts_that_hear_them(
    topic: str | None, environment: EnvironmentName | None, expected: set[str]
) -> None:
    stand = Stand()
    stand.joined(GRID, LANE)
    await stand.later()
    stand.rendered.clear()
    stand.hub.mark(topic, environment)
    await stand.later()
    assert {name for _, _, name in stand.rendered} == expected


async def test_what_varies_by_right_is_rendered_for_each_and_mixed_up_for_none() -> None:
    stand = Stand()
    viewer = stand.joined(HEADER, GRID)
    reviewer = stand.joined(HEADER, GRID, reader=Reader.AUDIT)
    await stand.later()
    assert sorted(stand.rendered) == sorted(
        [(DEV, Reader.AUDIT, HEADER), (DEV, Reader.EVERYONE, HEADER), (DEV, Reader.EVERYONE, GRID)]
    )
    assert "audit" not in json.dumps(await frames(viewer))
    headers = [f["html"] for f in await frames(reviewer) if f["topic"] == HEADER]
    assert headers == ["<p>development audit </p>"]


async def test_a_right_that_was_taken_takes_its_part_along() -> None:
    stand = Stand()
    listener = stand.joined(HEADER, reader=Reader.AUDIT)
    await stand.later()
    await frames(listener)
    stand.hub.change_reader(listener, Reader.EVERYONE)
    await stand.later()
    assert [f["html"] for f in await frames(listener)] == ["<p>development everyone </p>"]
    stand.facts[HEADER] = "news"
    stand.hub.mark("flags", DEV)
    await stand.later()
    assert [f["html"] for f in await frames(listener)] == ["<p>development everyone news</p>"]


async def test_environments_do_not_hear_of_each_other() -> None:
    stand = Stand()
    dev, prod = stand.joined(GRID), stand.joined(GRID, environment=PROD)
    await stand.later()
    await frames(dev), await frames(prod)
    stand.facts[GRID] = "news"
    stand.hub.mark("flags", PROD)
    await stand.later()
    assert await frames(dev) == []
    assert "production" in (await frames(prod))[0]["html"]


async def test_a_heartbeat_tells_every_number_so_that_a_lost_last_frame_is_missed() -> None:
    stand = Stand()
    listener = stand.joined(GRID, LANE)
    await stand.later()
    await frames(listener)
    stand.hub.beat()
    stand.hub.beat()
    beats = await frames(listener)
    assert [b["seq"] for b in beats] == [1, 2]
    assert beats[-1]["seqs"] == {GRID: 1, LANE: 1}


async def test_a_slow_socket_is_ended_and_the_others_are_not() -> None:
    stand = Stand()
    slow, quick = stand.joined(GRID), stand.joined(GRID)
    for number in range(fanout.QUEUE + 5):
        stand.facts[GRID] = f"change {number}"
        stand.hub.mark("flags", DEV)
        await stand.later()
        assert parts(await frames(quick)) == [(GRID, number + 1)]
    assert slow.code == fanout.SLOW
    assert quick.code is None
    assert await slow.next() is None


async def test_the_first_reason_to_end_counts() -> None:
    listener = Stand().joined(GRID)
    listener.end(fanout.SIGNED_OUT)
    listener.end(fanout.SLOW)
    listener.push("late")
    assert listener.code == fanout.SIGNED_OUT
    assert await listener.next() is None


async def test_a_persons_sixth_socket_is_refused_and_a_strangers_is_not() -> None:
    stand = Stand()
    held = [stand.joined(GRID, person="user:1") for _ in range(fanout.PER_PERSON)]
    with pytest.raises(TooMany):
        stand.joined(GRID, person="user:1")
    assert len(stand.hub.listeners) == fanout.PER_PERSON
    stand.joined(GRID, person="user:2")
    stand.hub.leave(held[0])
    stand.joined(GRID, person="user:1")


async def test_nothing_is_rendered_for_nobody() -> None:
    stand = Stand()
    listener = stand.joined(GRID)
    await stand.later()
    stand.hub.leave(listener)
    stand.rendered.clear()
    stand.hub.mark(None, None)
    await stand.later()
    assert stand.rendered == []


async def test_who_comes_back_is_shown_the_present_under_a_new_number() -> None:
    stand = Stand(facts={GRID: "old"})
    listener = stand.joined(GRID)
    await stand.later()
    stand.hub.leave(listener)
    stand.facts[GRID] = "new"
    back = stand.joined(GRID)
    await stand.later()
    found = await frames(back)
    assert parts(found) == [(GRID, 2)]
    assert "new" in found[-1]["html"]


async def test_a_database_that_is_away_stops_nothing_and_is_asked_again() -> None:
    stand = Stand(is_away=True)
    listener = stand.joined(GRID)
    await stand.later()
    stand.hub.beat()
    assert {f["topic"] for f in await frames(listener)} == {fanout.HEARTBEAT}
    stand.is_away = False
    stand.hub.mark(None, None)
    await stand.later()
    assert parts(await frames(listener)) == [(GRID, 1)]


async def test_the_end_tells_all_to_come_again() -> None:
    stand = Stand()
    listeners = [stand.joined(GRID), stand.joined(GRID, environment=PROD)]
    stand.hub.end(fanout.RESTART)
    assert {one.code for one in listeners} == {fanout.RESTART}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from([GRID, LANE]), st.integers(0, 3)),
        st.tuples(st.just("tick"), st.sampled_from([0.05, 0.2, 0.5]), st.just(0)),
        st.tuples(st.just("join"), st.just(0), st.just(0)),
        st.tuples(st.just("leave"), st.just(0), st.integers(0, 3)),
    ),
    max_size=40,
)


@given(STEPS)
def test_numbers_have_no_gap_and_the_last_frame_is_the_truth(steps: list[Any]) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[Any]) -> None:
    stand, open_ones = Stand(), []
    seen: dict[Listener, list[dict[str, Any]]] = {}
    for do, what, number in steps:
        if do == "say":
            stand.facts[what] = str(number)
            stand.hub.mark("flags", DEV)
        elif do == "join":
            open_ones.append(stand.joined(GRID, LANE))
        elif do == "leave" and open_ones:
            stand.hub.leave(open_ones.pop(number % len(open_ones)))
        else:
            await stand.later(float(what or 0))
        for listener in open_ones:
            seen.setdefault(listener, []).extend(await frames(listener))
    await stand.later(), await stand.later()
    for listener in open_ones:
        found = seen.setdefault(listener, []) + await frames(listener)
        for topic in (GRID, LANE):
            mine = [f for f in found if f["topic"] == topic]
            numbers = [f["seq"] for f in mine]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert mine[-1]["html"] == f"<p>development everyone {stand.facts.get(topic, '')}</p>"


def test_every_part_hears_something() -> None:
    assert all(part.hears for part in PARTIALS.values())
