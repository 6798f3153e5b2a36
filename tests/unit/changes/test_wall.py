"""Local times as people write them: skipped ones and those that come twice are not guessed."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

import pytest

from routing.changes import wall
from routing.core.errors import Invalid

BERLIN = "Europe/Berlin"


def test_a_plain_time_is_one_moment() -> None:
    assert wall.moment("2027-03-28 14:30", BERLIN) == datetime(2027, 3, 28, 12, 30, tzinfo=UTC)
    assert wall.moment("2027-03-28T14:30") == datetime(2027, 3, 28, 14, 30, tzinfo=UTC)


def test_a_skipped_time_is_refused_with_both_neighbours() -> None:
    with pytest.raises(Invalid) as refused:
        wall.moment("2027-03-28 02:30", BERLIN, "first")
    assert refused.value.message == (
        "2027-03-28 02:30 does not exist in Europe/Berlin: the clocks jump from 01:59 to 03:00. "
        "Choose 2027-03-28 01:59 (00:59 UTC) or 2027-03-28 03:00 (01:00 UTC)."
    )
    for neighbour in refused.value.facts["neighbours"]:
        assert (
            wall.moment(neighbour, BERLIN).date()
            == datetime.fromisoformat("2027-03-28T00:00").date()
        )


def test_a_time_that_comes_twice_asks_which() -> None:
    with pytest.raises(Invalid) as refused:
        wall.moment("2026-10-25 02:30", BERLIN)
    assert refused.value.facts["field"] == "which"
    assert "first at 00:30 UTC, again at 01:30 UTC" in refused.value.message
    for which, hour in (("first", 0), ("second", 1)):
        at = wall.moment("2026-10-25 02:30", BERLIN, which)
        assert at == datetime(2026, 10, 25, hour, 30, tzinfo=UTC)


def test_half_an_hour_of_summer_time() -> None:
    with pytest.raises(Invalid, match="jump from 01:59 to 02:30"):
        wall.moment("2026-10-04 02:15", "Australia/Lord_Howe")
    with pytest.raises(Invalid, match="first at 14:45 UTC, again at 15:15 UTC"):
        wall.moment("2027-04-04 01:45", "Australia/Lord_Howe")


@pytest.mark.parametrize(
    "said",
    ["", "soon", "2027-03-28", "14:30", "2027-03-28T14:30Z", "2027-03-28T14:30:01", "2027-13-01"],
)
def test_other_words_are_no_time(said: str) -> None:
    with pytest.raises(Invalid, match="no date and time to the minute"):
        wall.moment(said)


@pytest.mark.parametrize("zone", ["", "Berlin", "../etc/passwd", "/etc/localtime", "x" * 999])
def test_other_words_are_no_zone(zone: str) -> None:
    with pytest.raises(Invalid, match="no time zone that this machine knows"):
        wall.moment("2027-03-28 14:30", zone)


def test_a_moment_is_told_in_the_zone_it_was_meant_in() -> None:
    at = wall.moment("2027-03-28 14:30", BERLIN)
    assert wall.words(at, BERLIN) == "2027-03-28 14:30 Europe/Berlin (12:30 UTC)"
    assert wall.words(at, "UTC") == "2027-03-28 12:30 UTC"


def test_every_zone_that_is_offered_is_known() -> None:
    offered = wall.names()
    assert offered[0] == "UTC" and BERLIN in offered
    assert all(isinstance(wall.find(zone), tzinfo) for zone in offered)
