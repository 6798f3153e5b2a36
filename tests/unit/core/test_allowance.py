from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import allowance
from routing.core.allowance import MOST, WINDOW_S, Limits, Spending
from routing.core.errors import Invalid

MINUTE = 1000  # tokens
amounts = st.integers(0, MINUTE)
# Each step: seconds that pass, what a call is estimated at, what it used, how many it waits for.
steps = st.lists(st.tuples(st.integers(0, 30), amounts, amounts, st.integers(0, 3)), max_size=60)


@given(steps)
def test_no_minute_holds_more_than_the_limit_and_what_estimates_were_short_of(
    made: list[tuple[int, int, int, int]],
) -> None:
    """Against a list of everything that ever happened, looked at whole."""
    spending, now_s = Spending(), 0
    under_way: list[tuple[int, int, int]] = []
    spent: list[tuple[int, int, int]] = []
    for number, (passes_s, estimated, used, lasts) in enumerate(made):
        now_s += passes_s
        for one in [u for u in under_way if u[2] <= number]:
            under_way.remove(one)
            spending.settle(one[0], one[1], now_s)
            spent.append((now_s, one[1], max(0, one[1] - one[0])))
        recent = [(u, short) for at, u, short in spent if at > now_s - WINDOW_S]
        held = sum(e for e, _, _ in under_way)
        assert spending.total(now_s) == held + sum(u for u, _ in recent)
        if spending.wait_s(estimated, MINUTE, now_s) == 0:
            spending.hold(estimated)
            under_way.append((estimated, used, number + 1 + lasts))
            total = held + estimated + sum(u for u, _ in recent)
            assert total <= MINUTE
        else:
            assert held + estimated + sum(u for u, _ in recent) > MINUTE


@given(steps, amounts)
def test_the_time_to_come_back_is_the_first_second_in_which_it_fits(
    made: list[tuple[int, int, int, int]], wanted: int
) -> None:
    spending, now_s = Spending(), 0
    for passes_s, _, used, _ in made:
        now_s += passes_s
        spending.settle(0, used, now_s)
    wait_s = spending.wait_s(wanted, MINUTE, now_s)
    assert 0 <= wait_s <= WINDOW_S
    if wait_s:
        assert spending.wait_s(wanted, MINUTE, now_s + wait_s - 1) == 1
        assert spending.wait_s(wanted, MINUTE, now_s + wait_s) == 0


def test_what_calls_under_way_hold_may_end_at_any_moment() -> None:
    spending = Spending()
    spending.hold(MINUTE)
    assert spending.wait_s(1, MINUTE, 0) == 1
    assert not spending.idle(10_000)
    spending.settle(MINUTE, 0, 0)
    assert spending.wait_s(MINUTE, MINUTE, 0) == 0
    assert spending.idle(WINDOW_S)


@pytest.mark.parametrize(
    ("more", "cost"),
    [
        ({"told": (7, 5)}, 12),
        ({"told": (-7, 5)}, 5),
        ({"told": (10**18, 0)}, allowance.MOST_USED),
        ({"answer": "x" * 40}, 3 + 11),
        ({}, 0),
        ({"untold": True}, 500),
        ({"untold": True, "told": (7, 5)}, 12),
        ({"untold": True, "answer": "x"}, 3 + 1),
    ],
)
def test_a_call_costs_what_is_known_of_it(more: dict[str, object], cost: int) -> None:
    facts: dict[str, object] = {"texts": ["12345678"], "answer": None, "told": None}
    facts |= {"untold": False, **more}
    assert allowance.used(500, **facts) == cost  # type: ignore[arg-type]


def test_an_estimate_covers_all_that_may_be_answered() -> None:
    assert allowance.estimate(["", "abcd"], 100) == 1 + 2 + 100
    assert allowance.estimate(["\ud800"], 1) > 1


@pytest.mark.parametrize("name", Limits.__dataclass_fields__)
def test_a_limit_has_bounds_of_its_own(name: str) -> None:
    for value in (0, -1, getattr(MOST, name) + 1):
        with pytest.raises(Invalid, match=name):
            allowance.check(replace(Limits(), **{name: value}))
    assert allowance.check(MOST) is MOST
