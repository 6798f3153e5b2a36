"""Operators at once: one wins per version, nothing is lost, nobody sees half of a set."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from routing.audit import verify
from routing.core.errors import Refused
from routing.core.flags import FlagName, State
from routing.core.values import EnvironmentName, Outcome
from routing.flags import queries, snapshot, store
from tests.integration.changes.ground import (
    NOW,
    OPERATOR,
    STG,
    apply,
    entries,
    is_on,
    lay,
    to,
    version,
)

pytestmark = pytest.mark.django_db(transaction=True)
CACHING, SUPPORT = FlagName.CACHING, FlagName.SUPPORT_MODE
OPERATORS = 6
ROUNDS = 4
READS = 10_000


def in_threads(work: list[Callable[[], Any]]) -> list[Any]:
    """Run `work` at once, each in a thread with its own connection; return the results."""
    barrier = threading.Barrier(len(work))

    def run(one: Callable[[], Any]) -> Any:
        try:
            barrier.wait(timeout=10)
            return one()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


def attempt(number: int, base: int, on: bool) -> str:
    """Try to set caching from `base`; return how that ended."""
    by = replace(OPERATOR, id=f"user:{number}")
    try:
        apply([to(CACHING, on, base=base)], by=by)
    except Refused as refusal:
        assert refusal.facts["current"]["version"] == base + 1  # what won is shown
        return refusal.code
    return "done"


def test_of_many_from_one_version_exactly_one_wins() -> None:
    lay()
    for number in range(ROUNDS):
        base = number + 1
        on = number % 2 == 1
        ends = Counter(in_threads([partial(attempt, n, base, on) for n in range(OPERATORS)]))
        assert ends == {"done": 1, "stale": OPERATORS - 1}
        assert version(CACHING) == base + 1
        assert is_on(CACHING) is on
        assert snapshot.is_on(CACHING, STG) is on
    booked = Counter(e.outcome for e in entries() if e.action == "flag.change")
    assert booked == {Outcome.DONE: ROUNDS, Outcome.REFUSED: ROUNDS * (OPERATORS - 1)}
    assert queries.grid([STG]).versions == {STG: ROUNDS + 1}
    assert verify.verify().ok


def test_different_flags_at_once_all_arrive() -> None:
    lay()
    flags = [CACHING, SUPPORT, FlagName.DIRECT_FALLBACK]
    wishes = [to(flag, not is_on(flag)) for flag in flags]
    in_threads([partial(apply, [wish], confirmed=True) for wish in wishes])
    assert [is_on(wish.flag) for wish in wishes] == [wish.on for wish in wishes]
    assert queries.grid([STG]).versions == {STG: 1 + len(wishes)}
    assert snapshot.current().environments[STG].version == 1 + len(wishes)


def test_a_set_is_seen_whole_by_every_reader() -> None:
    lay()
    apply([to(SUPPORT, True)])
    done = threading.Event()
    seen: Counter[tuple[bool, bool]] = Counter()

    def write() -> None:
        try:
            for number in range(25):
                on = number % 2 == 1
                apply([to(CACHING, on), to(SUPPORT, on)])
        finally:
            done.set()

    def read() -> None:
        while not done.is_set() or seen.total() < READS:
            flags = snapshot.current().evaluate(STG)
            seen[flags[CACHING], flags[SUPPORT]] += 1

    def poll() -> None:
        while not done.is_set():
            snapshot.refresh()

    in_threads([write, read, poll])
    assert set(seen) == {(True, True), (False, False)}
    assert seen.total() >= READS
    assert snapshot.current().environments[STG].version == 2 + 25


def test_half_of_a_set_is_seen_by_nobody_before_the_commit() -> None:
    lay()
    snapshot.refresh()
    with transaction.atomic():
        store.lock(STG)
        store.swap(
            environment=STG,
            flag=CACHING,
            wanted=State(on=False, version=1),
            by="user:1",
            now=NOW,
        )
        in_threads([snapshot.refresh])
        assert snapshot.is_on(CACHING, STG) is True
        transaction.set_rollback(True)


def test_all_flags_are_read_by_one_statement(django_assert_num_queries: Any) -> None:
    lay()
    with django_assert_num_queries(1):
        snapshot.refresh()
    with django_assert_num_queries(1):
        queries.grid(EnvironmentName)


def test_looking_for_a_change_reads_the_versions_alone(django_assert_num_queries: Any) -> None:
    lay()
    with django_assert_num_queries(1) as asked:
        assert snapshot.refresh_if_changed() is False
    assert "flagstate" not in asked.captured_queries[0]["sql"].lower()


def test_whoever_holds_a_snapshot_keeps_what_it_said() -> None:
    lay()
    held = snapshot.current()
    apply([to(CACHING, False), to(SUPPORT, True)])
    assert (held.is_on(CACHING, STG), held.is_on(SUPPORT, STG)) == (True, False)
    fresh = snapshot.current()
    assert (fresh.is_on(CACHING, STG), fresh.is_on(SUPPORT, STG)) == (False, True)
