"""Half an hour as a drawing: one scale, gaps as gaps, nothing drawn as zero."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dashboard.cards import chart
from routing.core.values import Health
from routing.health.queries import Minute

NOW = datetime(2026, 11, 23, 14, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
THIS = NOW.replace(second=0)


def minute(ago: int, p95_us: int | None = 50_000, worst: Health = Health.HEALTHY) -> Minute:
    return Minute(
        minute=THIS - ago * MINUTE,
        worst=worst,
        probes=12,
        probes_ok=12,
        calls=3,
        failed=0,
        p50_us=None if p95_us is None else p95_us // 2,
        p95_us=p95_us,
    )


def drawn(*minutes: Minute, **more: Any) -> chart.Chart:
    return chart.chart(minutes, **{"budget_ms": 5_000, "marks": (), "now": NOW, **more})


def test_draws_both_paths_on_one_scale() -> None:
    assert [chart.height(us) for us in (1_000, 10_000, 100_000, 1_000_000, 10_000_000)] == [
        100,
        80,
        60,
        40,
        20,
    ]
    assert (chart.height(0), chart.height(10**12)) == (100, 0)


def test_a_minute_without_requests_breaks_the_line_and_is_no_zero() -> None:
    one = drawn(minute(4), minute(3), minute(2, None), minute(1), minute(0))
    assert one.line.count("M") == 2
    assert f" {chart.HEIGHT}" not in one.line
    assert "no request was answered" in drawn(minute(0, None)).title
    assert drawn(minute(0, None)).line == ""


def test_a_minute_that_stands_alone_is_seen() -> None:
    points = re.findall(r"(\d+) (\d+)", drawn(minute(5)).line)
    assert int(points[1][0]) - int(points[0][0]) == chart.STEP


def test_what_was_not_measured_is_a_gap_and_the_minute_just_begun_is_none() -> None:
    spans = drawn(*(minute(ago) for ago in range(1, 30) if ago not in (5, 6))).spans
    assert [(s.status, s.width // chart.STEP) for s in spans] == [
        ("healthy", 23),
        ("gap", 2),
        ("healthy", 4),
        ("begun", 1),
    ]
    assert spans[1].title == "14:08 to 14:10 UTC: not measured"


def test_the_worse_the_taller() -> None:
    spans = drawn(minute(3, worst=Health.UNHEALTHY), minute(2, worst=Health.DEGRADED)).spans
    tall = {span.status: span.height for span in spans}
    assert tall["unhealthy"] > tall["degraded"] > tall["gap"]


def test_a_change_is_marked_where_it_happened() -> None:
    marks = [(NOW - 10 * MINUTE, "a flag"), (NOW - 31 * MINUTE, "too long ago")]
    (mark,) = drawn(marks=marks).marks
    assert mark.title == "a flag"
    assert mark.x == (29 - 10) * chart.STEP + chart.STEP // 2


@given(
    st.lists(
        st.tuples(st.integers(0, 29), st.none() | st.integers(0, 10**9), st.sampled_from(Health)),
        unique_by=lambda one: one[0],
    )
)
def test_whatever_is_drawn_stays_inside_and_covers_the_half_hour(found: list[Any]) -> None:
    one = drawn(*(minute(ago, p95, worst) for ago, p95, worst in found))
    for x, y in re.findall(r"(-?\d+) (-?\d+)", f"{one.line} {one.band}"):
        assert 0 <= int(x) <= chart.WIDTH
        assert 0 <= int(y) <= chart.HEIGHT
    assert sum(span.width for span in one.spans) == chart.WIDTH
    assert one.line.count("M") == one.band.count("Z")
