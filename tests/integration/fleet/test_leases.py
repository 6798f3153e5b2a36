"""Leases on the real database: one holder at a time, and a past one is refused at the write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.core.errors import Broken, Stale
from routing.fleet import leases
from routing.fleet.leases import Lease
from routing.fleet.models import LoopLease

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def let_pass(seconds: float) -> None:
    """Move every lease into the past: the same on both databases, whoever's clock judges."""
    LoopLease.objects.update(expires_at=F("expires_at") - timedelta(seconds=seconds))


def take(holder: str, seconds: float = 15) -> Lease | None:
    return leases.take("probes", holder, now=NOW, seconds=seconds)


def must_take(holder: str, seconds: float = 15) -> Lease:
    lease = take(holder, seconds)
    assert lease is not None
    return lease


def write_under(fence: int) -> None:
    with transaction.atomic():
        leases.check_fence("probes", fence)


@pytest.mark.django_db
class TestOneHolder:
    def test_gives_the_lease_to_the_first_only(self) -> None:
        first = must_take("a:1")
        assert (first.fence, take("b:1")) == (1, None)

    def test_refuses_the_holder_itself_so_that_two_of_its_loops_never_share(self) -> None:
        must_take("a:1")
        assert take("a:1") is None

    def test_gives_a_lease_that_ran_out_to_the_next_with_a_higher_fence(self) -> None:
        first = must_take("a:1")
        let_pass(15)
        assert must_take("b:1").fence == first.fence + 1

    def test_keeps_a_lease_as_long_as_it_is_renewed(self) -> None:
        first = must_take("a:1")
        for _ in range(3):
            let_pass(10)
            assert leases.renew(first, now=NOW)
        assert take("b:1") is None

    def test_does_not_renew_what_ran_out(self) -> None:
        first = must_take("a:1")
        let_pass(15)
        assert not leases.renew(first, now=NOW)

    def test_does_not_renew_what_another_took(self) -> None:
        first = must_take("a:1")
        let_pass(15)
        must_take("b:1")
        assert not leases.renew(first, now=NOW)

    def test_a_released_lease_is_free_at_once_and_its_fence_still_grows(self) -> None:
        first = must_take("a:1")
        assert leases.release(first)
        assert must_take("a:1").fence == first.fence + 1

    def test_a_past_holder_cannot_release_the_lease_of_the_present_one(self) -> None:
        first = must_take("a:1")
        let_pass(15)
        second = must_take("b:1")
        assert not leases.release(first)
        assert leases.renew(second, now=NOW)

    def test_leases_of_different_names_know_nothing_of_each_other(self) -> None:
        must_take("a:1")
        assert leases.take("alerts", "b:1", now=NOW, seconds=15) is not None

    @pytest.mark.parametrize("seconds", [0, -1, 60.1])
    def test_refuses_a_length_that_would_never_or_hardly_end(self, seconds: float) -> None:
        with pytest.raises(Broken, match="60 s"):
            take("a:1", seconds)

    def test_a_lease_from_a_clock_that_was_set_back_a_day_is_not_immortal(self) -> None:
        first = must_take("a:1", 60)
        let_pass(-25 * 3600)
        assert must_take("b:1").fence == first.fence + 1

    def test_a_clock_that_slews_back_a_second_gives_no_lease_away(self) -> None:
        must_take("a:1", 60)
        let_pass(-1)
        assert take("b:1") is None


@pytest.mark.django_db
class TestFence:
    def test_lets_the_holder_write(self) -> None:
        write_under(must_take("a:1").fence)

    def test_refuses_a_zombie_that_wakes_up_after_its_lease_was_taken(self) -> None:
        zombie = must_take("a:1")
        let_pass(15)
        present = must_take("b:1")
        with pytest.raises(Stale) as refused:
            write_under(zombie.fence)
        assert refused.value.facts["current"] == present.fence

    def test_lets_a_late_holder_write_while_nobody_else_took_the_lease(self) -> None:
        late = must_take("a:1")
        let_pass(600)
        write_under(late.fence)

    def test_refuses_a_fence_that_was_never_given(self) -> None:
        with pytest.raises(Stale):
            write_under(1)


@pytest.mark.django_db(transaction=True)
def test_a_fence_outside_a_transaction_is_a_mistake_of_ours() -> None:
    with pytest.raises(Broken, match="transaction"):
        leases.check_fence("probes", 1)


@pytest.mark.django_db(transaction=True)
def test_of_eight_processes_that_reach_for_it_at_once_one_gets_the_lease() -> None:
    start = threading.Barrier(8)
    given_out: list[Lease] = []

    def reach(number: int) -> None:
        start.wait(10)
        lease = take(f"p{number}:1")
        if lease:
            given_out.append(lease)

    in_threads(reach, 8)
    assert [lease.fence for lease in given_out] == [1]


@pytest.mark.django_db(transaction=True)
def test_nobody_takes_the_lease_between_the_check_of_a_fence_and_the_commit() -> None:
    first = must_take("a:1")
    let_pass(15)
    checked, order = threading.Event(), []

    def write(_: int) -> None:
        with transaction.atomic():
            leases.check_fence("probes", first.fence)
            checked.set()
            # A taker that does not wait for this transaction is done within this second.
            taken.wait(1)
            order.append("written")

    taken = threading.Event()

    def reach(_: int) -> None:
        checked.wait(10)
        must_take("b:1")
        order.append("taken")
        taken.set()

    writer = threading.Thread(target=closing, args=(write, 0))
    taker = threading.Thread(target=closing, args=(reach, 0))
    for thread in (writer, taker):
        thread.start()
    for thread in (writer, taker):
        thread.join(20)
    assert order == ["written", "taken"]


def in_threads(work: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=closing, args=(work, n)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def closing(work: Callable[[int], None], number: int) -> None:
    try:
        work(number)
    finally:
        connection.close()


HOLDERS = ("a:1", "b:1", "c:1")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from(HOLDERS)),
        st.tuples(st.just("renew"), st.sampled_from(HOLDERS)),
        st.tuples(st.just("release"), st.sampled_from(HOLDERS)),
        st.tuples(st.just("write"), st.sampled_from(HOLDERS)),
        st.tuples(st.just("pass"), st.sampled_from([1, 7, 16])),
    ),
    max_size=25,
)


class Model:
    """What ought to hold: who has the lease, how long it runs, the last fence given."""

    def __init__(self) -> None:
        self.holder = ""
        self.left = 0.0
        self.fence = 0
        self.believes: dict[str, Lease] = {}

    def held(self) -> bool:
        return self.holder != "" and self.left > 0

    def holds(self, who: str) -> bool:
        return self.held() and self.holder == who and self.believes[who].fence == self.fence


def step(model: Model, verb: str, who: Any) -> None:
    """Do one step on the database and insist on what the model says of it."""
    if verb == "pass":
        let_pass(who)
        model.left -= who
        return
    if verb == "take":
        lease = take(who)
        assert (lease is None) == model.held()
        if lease is not None:
            assert lease.fence == model.fence + 1
            model.holder, model.left, model.fence = who, 15, lease.fence
            model.believes[who] = lease
        return
    lease = model.believes.get(who)
    if lease is None:
        return
    if verb == "renew":
        assert leases.renew(lease, now=NOW) == model.holds(who)
        model.left = 15 if model.holds(who) else model.left
    elif verb == "release":
        mine = model.holder == who and lease.fence == model.fence
        assert leases.release(lease) == mine
        model.holder = "" if mine else model.holder
    elif lease.fence == model.fence:
        write_under(lease.fence)
    else:
        with pytest.raises(Stale):
            write_under(lease.fence)


@pytest.mark.django_db
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_whatever_the_interleaving_one_holder_at_most_and_only_the_last_fence_writes(
    steps: list[tuple[str, Any]],
) -> None:
    with transaction.atomic():
        model = Model()
        for verb, who in steps:
            step(model, verb, who)
        transaction.set_rollback(True)
