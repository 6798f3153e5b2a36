"""The window of requests, against a reference that keeps every sample and counts in loops."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.health import WINDOW_US, Traffic
from routing.core.values import EnvironmentName, Failure, Path
from routing.health import traffic
from routing.health.traffic import Figures, Sample, Window

DEV, STG = EnvironmentName.DEVELOPMENT, EnvironmentName.STAGING
WORDS = ["", *(str(failure) for failure in Failure)]


def rank(ordered: list[int], percent: int) -> int | None:
    return ordered[max(1, math.ceil(len(ordered) * percent / 100)) - 1] if ordered else None


def reference(
    kept: list[Sample], now_us: int, since_us: int, most: int
) -> tuple[Traffic, Figures]:
    newest = max((s.at_us for s in kept), default=0)
    there = [s for s in kept if s.at_us >= newest - WINDOW_US][-most:]
    found = [s for s in there if s.at_us >= now_us - WINDOW_US]
    real = [s for s in found if not s.synthetic and s.began_us >= since_us]
    took = sorted(s.duration_us for s in found if not s.failure)
    return (
        Traffic(
            calls=len(real),
            failed=sum(1 for s in real if s.failure and s.counts),
            slow=sum(1 for s in real if s.slow),
            newest_us=max((s.at_us for s in real), default=0),
        ),
        Figures(
            calls=len(found),
            synthetic=sum(1 for s in found if s.synthetic),
            failed=sum(1 for s in found if s.failure),
            slow=sum(1 for s in found if s.slow),
            p50_us=rank(took, 50),
            p95_us=rank(took, 95),
            p99_us=rank(took, 99),
            failures=dict(Counter(s.failure for s in found if s.failure)),
        ),
    )


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    at_us = 1_000_000_000
    made = []
    for _ in range(draw(st.integers(0, 40))):
        at_us += draw(st.integers(0, WINDOW_US // 8))
        took_us = draw(st.integers(0, 20_000_000))
        failure = draw(st.sampled_from(WORDS))
        made.append(
            Sample(
                at_us=at_us,
                began_us=at_us - took_us,
                duration_us=took_us,
                failure=failure,
                counts=bool(failure) and draw(st.booleans()),
                slow=draw(st.booleans()),
                synthetic=draw(st.booleans()),
            )
        )
    return made


@given(samples(), st.integers(0, WINDOW_US * 2), st.integers(0, WINDOW_US * 2), st.booleans())
def test_it_counts_what_the_reference_counts(
    kept: list[Sample], later_us: int, before_us: int, all_of_it: bool
) -> None:
    window = Window()
    for sample in kept:
        window.add(DEV, Path.MCP, sample)
        window.add(STG, Path.MCP, sample)
    newest = kept[-1].at_us if kept else 0
    now_us, since_us = newest + later_us, 0 if all_of_it else newest - before_us
    since_us = max(0, since_us)
    expected = reference(kept, now_us, since_us, traffic.MOST)
    assert window.real(DEV, Path.MCP, now_us, since_us) == expected[0]
    assert window.figures(DEV, Path.MCP, now_us) == expected[1]
    assert window.figures(DEV, Path.DIRECT_BEDROCK, now_us) == Figures()


@pytest.mark.parametrize(("most", "spare", "at_once"), [(50, 3, 4), (7, 1, 1), (50_000, 0, 2048)])
@given(st.data())
def test_what_left_the_window_is_gone_whenever_its_place_is_given_back(
    most: int, spare: int, at_once: int, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(traffic, "MOST", most)
        patched.setattr(traffic, "SPARE", spare)
        patched.setattr(traffic, "AT_ONCE", at_once)
        window, kept = Window(), data.draw(samples())
        for sample in kept:
            window.add(DEV, Path.MCP, sample)
        now_us = kept[-1].at_us if kept else 0
        expected = reference(kept, now_us, 0, most)
        assert window.real(DEV, Path.MCP, now_us) == expected[0]
        assert window.figures(DEV, Path.MCP, now_us) == expected[1]


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=1).map(sorted)), st.integers(1, 100))
def test_a_rank_among_ordered_parts_is_the_rank_of_all(parts: list[list[int]], of: int) -> None:
    assert traffic.rank(parts, of) == rank(sorted(one for part in parts for one in part), of)


def test_a_busy_minute_takes_little_room() -> None:
    window = Window()
    for number in range(traffic.MOST * 3):
        at_us = number * 1000
        window.add(
            DEV,
            Path.MCP,
            Sample(
                at_us=at_us,
                began_us=at_us,
                duration_us=5,
                failure="",
                counts=False,
                slow=False,
                synthetic=False,
            ),
        )
    (lane,) = window._lanes.values()
    assert len(lane.at_us) <= 2 * traffic.MOST + traffic.SPARE
    assert window.figures(DEV, Path.MCP, at_us).calls == min(traffic.MOST, WINDOW_US // 1000 + 1)


def test_a_clock_that_was_set_back_loses_nothing() -> None:
    window = Window()
    for at_us in (5_000_000, 9_000_000, 1_000_000):
        made = Sample(
            at_us=at_us,
            began_us=at_us,
            duration_us=5,
            failure="",
            counts=False,
            slow=False,
            synthetic=False,
        )
        window.add(DEV, Path.MCP, made)
    assert window.real(DEV, Path.MCP, 1_000_000).calls == 3
    later = 1_000_000 + WINDOW_US + 1
    assert window.real(DEV, Path.MCP, later).calls == 0
