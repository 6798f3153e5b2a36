"""Times on the wall as moments, against every minute of the zone's own clock.

The oracle never asks for an offset of a local time: it lets the clock run through UTC, minute by
minute, and notes what it shows.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core import moments

MINUTE = timedelta(minutes=1)
# Half an hour of summer time, none, a whole day left out, two hours, and the usual.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "America/St_Johns",
    "UTC",
)
# Turns of the clock, so that what is drawn lies near one often enough.
TURNS = (
    datetime.fromisoformat("2027-03-28T02:30"),
    datetime.fromisoformat("2026-10-25T02:30"),
    datetime.fromisoformat("2026-10-04T02:15"),
    datetime.fromisoformat("2027-04-04T01:45"),
    datetime.fromisoformat("2011-12-30T12:00"),
    datetime.fromisoformat("2026-03-08T02:30"),
    datetime.fromisoformat("2026-03-29T02:00"),
)


def showing(zone: ZoneInfo, around: datetime) -> dict[datetime, list[datetime]]:
    """Return which moments, within 27 h, show which time on the wall."""
    seen: dict[datetime, list[datetime]] = defaultdict(list)
    at = around.replace(tzinfo=UTC) - timedelta(hours=27)
    for _ in range(54 * 60):
        seen[at.astimezone(zone).replace(tzinfo=None, fold=0)].append(at)
        at += MINUTE
    return seen


def near_a_turn(turn: datetime, minutes: int) -> datetime:
    return turn + timedelta(minutes=minutes)


LOCALS = st.one_of(
    st.builds(near_a_turn, st.sampled_from(TURNS), st.integers(-200, 200)),
    st.datetimes(
        datetime.fromisoformat("2005-01-01T00:00"), datetime.fromisoformat("2037-01-01T00:00")
    ).map(lambda at: at.replace(second=0, microsecond=0)),
)


@settings(max_examples=25)
@given(local=LOCALS, name=st.sampled_from(ZONES))
def test_it_is_each_moment_at_which_the_clock_shows_it(local: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    seen = showing(zone, local)
    assert moments.moments(local, zone) == tuple(seen.get(local, ()))
    if local in seen:
        return
    before, after = moments.neighbours(local, zone)
    earlier = max(shown for shown in seen if shown < local)
    later = min(shown for shown in seen if shown > local)
    assert (before, after) == (seen[earlier][-1], seen[later][0])


@pytest.mark.parametrize(
    ("name", "local", "utc"),
    [
        ("Europe/Berlin", "2027-03-28T01:59", ["2027-03-28T00:59"]),
        ("Europe/Berlin", "2027-03-28T02:00", []),
        ("Europe/Berlin", "2027-03-28T02:59", []),
        ("Europe/Berlin", "2027-03-28T03:00", ["2027-03-28T01:00"]),
        ("Europe/Berlin", "2026-10-25T01:59", ["2026-10-24T23:59"]),
        ("Europe/Berlin", "2026-10-25T02:30", ["2026-10-25T00:30", "2026-10-25T01:30"]),
        ("Europe/Berlin", "2026-10-25T03:00", ["2026-10-25T02:00"]),
        ("Australia/Lord_Howe", "2026-10-04T02:15", []),
        ("Australia/Lord_Howe", "2026-10-04T02:30", ["2026-10-03T15:30"]),
        ("Australia/Lord_Howe", "2027-04-04T01:29", ["2027-04-03T14:29"]),
        ("Australia/Lord_Howe", "2027-04-04T01:30", ["2027-04-03T14:30", "2027-04-03T15:00"]),
        ("Australia/Lord_Howe", "2027-04-04T02:00", ["2027-04-03T15:30"]),
        ("Pacific/Apia", "2011-12-30T12:00", []),
    ],
)
def test_known_turns(name: str, local: str, utc: list[str]) -> None:
    found = moments.moments(datetime.fromisoformat(local), ZoneInfo(name))
    assert [f"{at:%Y-%m-%dT%H:%M}" for at in found] == utc


@pytest.mark.parametrize(
    ("name", "local", "before", "after"),
    [
        ("Europe/Berlin", "2027-03-28T02:30", "01:59", "03:00"),
        ("Europe/Berlin", "2027-03-28T02:00", "01:59", "03:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "01:59", "02:30"),
        ("Pacific/Apia", "2011-12-30T12:00", "23:59", "00:00"),
    ],
)
def test_the_neighbours_of_a_gap(name: str, local: str, before: str, after: str) -> None:
    zone = ZoneInfo(name)
    found = moments.neighbours(datetime.fromisoformat(local), zone)
    assert [f"{moments.shown(at, zone):%H:%M}" for at in found] == [before, after]
    assert found[1] - found[0] == MINUTE
