"""A sample of the races of `tests.chaos.races` over the real server."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.chaos import races
from tests.chaos.races import Answer, Operator
from tests.e2e.serving import Server

RACES, OPERATORS = 15, 4


def test_of_operators_at_once_one_wins_each_version_and_is_booked(
    server: Server, account: Callable[[str], dict[str, Any]], seed: int
) -> None:
    who = [account("operator"), account("admin")]
    racing = [
        Operator(server.url, who[n % 2]["username"], who[n % 2]["password"])
        for n in range(OPERATORS)
    ]
    tally = races.run(racing, server, random.Random(seed), RACES)
    assert races.check(tally, racing[1], server) == [], tally.line()
    assert len(tally.entries) == RACES
    for operator in racing:
        operator.close()


def test_the_race_objects_to_a_second_winner_and_to_an_old_state() -> None:
    """The control: answers as they would be without the compare-and-set."""
    won = Answer(status=302, version=8, entry=5, to="on")
    lost = Answer(status=409, version=8, entry=0, to="on")
    assert races._wrong(7, [won, lost], [won]) == []
    assert races._wrong(7, [won, won], [won, won]) == ["2 successes from version 7"]
    assert races._wrong(7, [won, replace(lost, version=7)], [won]) == [
        "a 409 that shows version 7 instead of 8"
    ]
    assert races._wrong(7, [won, replace(lost, status=500)], [won]) == [
        "an answer 500 from version 7"
    ]
