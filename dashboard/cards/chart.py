"""Half an hour of one path as a drawing: p50 to p95 by minute, and its health beneath.

Both paths share one logarithmic scale, from 1 ms at the bottom to 100 s at the top. A minute that
was not measured is a gap; one without requests has health but no line. Never a zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import log10

from dashboard.cards.wording import took
from routing.core.values import Health
from routing.health.queries import Minute

MINUTES = 30
WIDTH, HEIGHT = 600, 100
STEP = WIDTH // MINUTES
DECADES = 5  # 1 ms to 100 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Minutes in a row with one health, in units of the drawing: the worse, the taller."""

    x: int
    width: int
    y: int
    height: int
    status: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A change; `x` in units of the drawing."""

    x: int
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Paths are in SVG's words, empty where nothing was answered; `budget_y` has its line."""

    line: str
    band: str
    budget_y: int
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]
    title: str


def chart(
    minutes: Sequence[Minute],
    *,
    budget_ms: int,
    marks: Sequence[tuple[datetime, str]],
    now: datetime,
) -> Chart:
    """Draw the 30 minutes up to `now`; `marks` are changes with their words."""
    start = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)
    by_place = {_place(minute.minute, start): minute for minute in minutes}
    kept = {place: m for place, m in by_place.items() if 0 <= place < MINUTES}
    runs = list(_runs({p: m for p, m in kept.items() if m.p95_us is not None}))
    return Chart(
        line=" ".join(_line(run) for run in runs),
        band=" ".join(_band(run) for run in runs),
        budget_y=height(budget_ms * 1000),
        spans=tuple(_spans(kept, start)),
        marks=tuple(
            Mark(x=x, title=words) for at, words in marks if 0 <= (x := _across(at, start)) < WIDTH
        ),
        title=_title(kept),
    )


def height(us: int) -> int:
    """Return how far from the top a duration is drawn; outside the scale, at its edge."""
    share = log10(max(us, 1000) / 1000) / DECADES
    return round(HEIGHT * (1 - min(share, 1.0)))


def _place(at: datetime, start: datetime) -> int:
    return int((at - start).total_seconds() // 60)


def _across(at: datetime, start: datetime) -> int:
    return round((at - start).total_seconds() * STEP / 60)


def _runs(found: Mapping[int, Minute]) -> Iterator[list[tuple[int, Minute]]]:
    """Yield minutes that follow one another; what lies between is a gap."""
    places = enumerate(sorted(found))
    for _, run in groupby(places, key=lambda pair: pair[1] - pair[0]):
        yield [(place, found[place]) for _, place in run]


def _line(run: Sequence[tuple[int, Minute]]) -> str:
    return "M" + " ".join(f"{x} {y}" for x, y in _points(run, high=True))


def _band(run: Sequence[tuple[int, Minute]]) -> str:
    there, back = _points(run, high=True), reversed(_points(run, high=False))
    return "M" + " ".join(f"{x} {y}" for x, y in (*there, *back)) + "Z"


def _points(run: Sequence[tuple[int, Minute]], *, high: bool) -> list[tuple[int, int]]:
    """Return the middle of each minute; a minute that stands alone is as wide as it lasted."""
    at = [
        (place * STEP + STEP // 2, height((m.p95_us if high else m.p50_us) or 0))
        for place, m in run
    ]
    return (
        at if len(at) > 1 else [(at[0][0] - STEP // 2, at[0][1]), (at[0][0] + STEP // 2, at[0][1])]
    )


STRIP, _LOW = 10, 3
_TALL: Mapping[str, int] = {Health.UNHEALTHY: STRIP, Health.DEGRADED: 6}


def _spans(found: Mapping[int, Minute], start: datetime) -> Iterator[Span]:
    status = [str(found[p].worst) if p in found else "gap" for p in range(MINUTES)]
    if status[-1] == "gap":
        status[-1] = "begun"  # its first probe may be under way: not yet is no gap
    x = 0
    for word, run in groupby(status):
        width = len(list(run))
        first = start + timedelta(minutes=x)
        last = first + timedelta(minutes=width)
        said = {"gap": "not measured", "begun": "not measured yet"}.get(word, word)
        tall = _TALL.get(word, _LOW)
        yield Span(
            x=x * STEP,
            width=width * STEP,
            y=STRIP - tall,
            height=tall,
            status=word,
            title=f"{first:%H:%M} to {last:%H:%M} UTC: {said}",
        )
        x += width


def _title(found: Mapping[int, Minute]) -> str:
    times = [m.p95_us for _, m in sorted(found.items()) if m.p95_us is not None]
    missing = MINUTES - len(found)
    bad = sum(1 for m in found.values() if m.worst is Health.UNHEALTHY)
    said = (
        f"p95 by minute: last {took(times[-1])}, highest {took(max(times))}"
        if times
        else "no request was answered"
    )
    return f"Last 30 min: {said}; {bad} min unhealthy, {missing} min not measured."
