"""What a frame tells: the whole part, or the lines of it that changed."""

from __future__ import annotations

import pytest

from tests.unit.dashboard.test_fanout import DEV, GRID, Stand, frames


def grid(*, at: int, state: str) -> str:
    rows = (f"<div>flag {row} {state if row == at else 'on'}</div>" for row in range(20))
    return "\n".join(rows)


async def test_who_has_a_part_gets_the_lines_that_changed_and_who_comes_gets_it_whole() -> None:
    stand = Stand(facts={GRID: grid(at=0, state="on")})
    first = stand.joined(GRID)
    await stand.later()
    [_, whole] = await frames(first)
    stand.facts[GRID] = grid(at=7, state="off")
    stand.hub.mark("flags", DEV)
    await stand.later()
    [change] = await frames(first)
    assert change["lines"] == [[7, "<div>flag 7 off</div>"]]
    assert (change["seq"], "html" in change) == (whole["seq"] + 1, False)
    lines = whole["html"].split("\n")
    lines[7] = change["lines"][0][1]
    late = stand.joined(GRID)
    (told, _) = await frames(late)
    assert (told["seq"], told["html"]) == (change["seq"], "\n".join(lines))
    stand.facts[GRID] = grid(at=9, state="off")
    stand.hub.mark("flags", DEV)
    await stand.later()
    assert await frames(first) == await frames(late)


@pytest.mark.parametrize("facts", ["one\nmore", "\n".join(["off"] * 20)])
async def test_a_part_that_grew_or_changed_for_the_most_is_sent_whole(facts: str) -> None:
    stand = Stand(facts={GRID: "\n".join(["on"] * 20)})
    listener = stand.joined(GRID)
    await stand.later()
    await frames(listener)
    stand.facts[GRID] = facts
    stand.hub.mark("flags", DEV)
    await stand.later()
    [frame] = await frames(listener)
    assert facts in frame["html"]


async def test_a_part_that_nobody_showed_meanwhile_is_sent_whole() -> None:
    stand = Stand(facts={GRID: grid(at=0, state="on")})
    stand.hub.leave(stand.joined(GRID))
    listener = stand.joined(GRID)
    await stand.later()
    stand.hub.leave(listener)
    again = stand.joined(GRID)
    stand.facts[GRID] = grid(at=7, state="off")
    await stand.later()
    assert "html" in (await frames(again))[-1]
