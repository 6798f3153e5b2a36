"""How long a further try waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.access.delays import ACCOUNT, NETWORK, Rule, wait_s

RULES = st.sampled_from([ACCOUNT, NETWORK])
FAILURES = st.integers(0, 10**6)
ELAPSED = st.floats(-(10**6), 10**6)


@pytest.mark.parametrize(
    ("failures", "wait"), [(0, 0), (4, 0), (5, 5), (6, 10), (7, 20), (12, 640), (13, 900)]
)
def test_doubles_from_the_fifth_failure_up_to_a_quarter_of_an_hour(
    failures: int, wait: int
) -> None:
    assert wait_s(ACCOUNT, failures=failures, elapsed_s=0) == wait


@given(rule=RULES, failures=FAILURES, elapsed_s=ELAPSED)
def test_is_never_for_good_whatever_the_clock_did(
    rule: Rule, failures: int, elapsed_s: float
) -> None:
    assert 0 <= wait_s(rule, failures=failures, elapsed_s=elapsed_s) <= rule.longest_s


@given(rule=RULES, failures=FAILURES)
def test_is_over_when_it_was_waited_out(rule: Rule, failures: int) -> None:
    wait = wait_s(rule, failures=failures, elapsed_s=0)
    assert wait_s(rule, failures=failures, elapsed_s=wait) == 0
    if wait:
        assert wait_s(rule, failures=failures, elapsed_s=wait - 0.5) > 0


@given(rule=RULES, failures=FAILURES, elapsed_s=st.floats(0, 800))
def test_never_shrinks_with_a_further_failure(rule: Rule, failures: int, elapsed_s: float) -> None:
    now = wait_s(rule, failures=failures, elapsed_s=elapsed_s)
    assert wait_s(rule, failures=failures + 1, elapsed_s=elapsed_s) >= now


@given(rule=RULES, failures=FAILURES)
def test_forgets(rule: Rule, failures: int) -> None:
    assert wait_s(rule, failures=failures, elapsed_s=rule.forgotten_s) == 0
