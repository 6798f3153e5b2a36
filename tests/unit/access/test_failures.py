"""Counting failures of people whom we do not know."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.access import failures
from routing.access.failures import ANY, Counts, Key, Kind, Tally

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
KEYS = st.builds(
    Key,
    kind=st.sampled_from(Kind),
    account=st.text("ab", max_size=8),
    network=st.text("xy", max_size=8),
)
TALLIES = st.builds(
    Tally, count=st.integers(1, 99), total=st.integers(1, 99), last_at=st.just(NOW)
)


def key(account: str = "ada", network: str = "192.0.2.0/24") -> Key:
    return Key(kind=Kind.WRONG, account=account, network=network)


def test_asks_to_book_at_five_fifty_and_five_hundred() -> None:
    counts = Counts()
    asked = [n for n in range(1, 1001) if counts.add(key(), now=NOW)]
    assert asked == [5, 50, 500]


def test_counts_the_total_on_after_a_booking() -> None:
    counts = Counts()
    for _ in range(3):
        counts.add(key(), now=NOW)
    counts.take(None, now=NOW)
    counts.add(key(), now=NOW)
    assert counts.take(None, now=NOW) == {key(): Tally(count=1, total=4, last_at=NOW)}


def test_begins_a_new_total_after_an_hour_of_peace() -> None:
    counts = Counts()
    for _ in range(4):
        counts.add(key(), now=NOW)
    counts.add(key(), now=NOW + timedelta(hours=1))
    [tally] = counts.take(None, now=NOW).values()
    assert (tally.count, tally.total) == (5, 1)


def test_takes_only_the_key_that_reached_its_threshold() -> None:
    counts = Counts()
    counts.add(key("ada"), now=NOW)
    counts.add(key("bob"), now=NOW)
    assert list(counts.take(key("bob"), now=NOW)) == [key("bob")]
    assert list(counts.take(None, now=NOW)) == [key("ada")]


def test_what_is_put_back_is_taken_again_with_what_came_since() -> None:
    counts = Counts()
    counts.add(key(), now=NOW)
    taken = counts.take(None, now=NOW)
    counts.add(key(), now=NOW)
    counts.put_back(taken)
    assert counts.take(None, now=NOW)[key()].count == 2


def test_a_flood_of_names_takes_bounded_memory_and_loses_no_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failures, "MOST_KEYS", 10)
    counts = Counts()
    for number in range(1000):
        counts.add(key(f"name-{number}", f"net-{number % 40}"), now=NOW)
    taken = counts.take(None, now=NOW)
    assert len(taken) <= 10 + 10 + 1
    assert sum(tally.count for tally in taken.values()) == 1000


def test_no_count_is_lost_between_threads() -> None:
    counts, start = Counts(), threading.Barrier(4)

    def work() -> None:
        start.wait(10)
        for _ in range(500):
            counts.add(key(), now=NOW)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert counts.take(None, now=NOW)[key()].count == 2000


@given(st.dictionaries(KEYS, TALLIES, max_size=200))
def test_together_is_fifty_entries_at_most_and_counts_the_same(rows: dict[Key, Tally]) -> None:
    made = failures.together(list(rows.items()))
    assert len(made) <= failures.MOST_ENTRIES
    assert sum(t.count for _, t in made) == sum(t.count for t in rows.values())


def test_together_names_the_network_when_there_are_many_accounts() -> None:
    tally = Tally(count=1, total=1, last_at=NOW)
    rows = [(key(f"name-{n}"), tally) for n in range(51)]
    assert failures.together(rows) == [(key(ANY), Tally(count=51, total=51, last_at=NOW))]
