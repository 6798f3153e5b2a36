from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import failures
from routing.core.circuit_state import Result
from routing.core.values import Failure

every = st.sampled_from(Failure)
CALLERS_OWN = {Failure.VALIDATION, Failure.COMPLIANCE}
NEVER_CALLED = {Failure.DISABLED, Failure.BREAKER_OPEN, Failure.QUEUE_FULL}


@given(every)
def test_every_failure_has_its_answers(failure: Failure) -> None:
    row = failures.consequence(failure)
    assert failures.counts_for_breaker(failure) is row.counts
    assert failures.may_retry(failure) is row.may_retry
    assert failures.may_fall_back(failure) is row.may_fall_back
    assert row.advice.endswith(".") and 400 <= row.status < 600


@given(every)
def test_the_callers_own_faults_and_only_they_are_answered_with_4xx(failure: Failure) -> None:
    row = failures.consequence(failure)
    assert (row.status < 500) == (failure in CALLERS_OWN)


@given(every)
def test_a_failure_counts_against_the_path_or_not_at_all(failure: Failure) -> None:
    assert failures.counts_for_breaker(failure) in {Result.FAILURE, Result.IGNORED}


@given(every)
def test_what_may_be_retried_may_also_move(failure: Failure) -> None:
    assert failures.may_fall_back(failure) or not failures.may_retry(failure)


@given(every)
def test_what_is_settled_for_the_caller_gets_no_hint_to_come_back(failure: Failure) -> None:
    if not failures.may_fall_back(failure):
        assert failures.retry_after_s(failure, said_s=5) is None


@given(every, st.one_of(st.none(), st.integers()))
def test_a_hint_is_never_longer_than_a_minute(failure: Failure, said: int | None) -> None:
    hint = failures.retry_after_s(failure, said_s=said)
    assert hint is None or 1 <= hint <= 60


@given(every)
def test_an_unavailable_path_says_when_to_come_back(failure: Failure) -> None:
    if failures.consequence(failure).status in {503, 504}:
        assert failures.retry_after_s(failure) is not None


@pytest.mark.parametrize("failure", sorted(CALLERS_OWN))
def test_final_for_the_caller(failure: Failure) -> None:
    row = failures.consequence(failure)
    assert (row.counts, row.may_retry, row.may_fall_back) == (Result.IGNORED, False, False)


@pytest.mark.parametrize("failure", sorted(NEVER_CALLED))
def test_a_path_that_was_not_called_is_not_blamed(failure: Failure) -> None:
    row = failures.consequence(failure)
    assert (row.counts, row.may_retry, row.may_fall_back) == (Result.IGNORED, False, True)


def test_an_unknown_outcome_is_neither_retried_nor_moved_but_is_path_trouble() -> None:
    row = failures.consequence(Failure.OUTCOME_UNKNOWN)
    assert (row.counts, row.may_retry, row.may_fall_back) == (Result.FAILURE, False, False)


def test_throttling_is_not_death() -> None:
    row = failures.consequence(Failure.THROTTLED)
    assert (row.counts, row.may_retry, row.may_fall_back) == (Result.IGNORED, True, True)
    assert failures.retry_after_s(Failure.THROTTLED, said_s=17) == 17


def test_refused_credentials_are_path_trouble_without_a_retry_storm() -> None:
    row = failures.consequence(Failure.REFUSED_CREDENTIALS)
    assert (row.counts, row.may_retry, row.may_fall_back) == (Result.FAILURE, False, True)


def test_only_what_can_help_and_harms_nothing_is_retried() -> None:
    assert {f for f in Failure if failures.may_retry(f)} == {
        Failure.THROTTLED,
        Failure.UNREACHABLE,
        Failure.PROVIDER,
    }


def test_a_hung_path_counts_so_that_it_can_trip() -> None:
    assert failures.counts_for_breaker(Failure.TIMEOUT) is Result.FAILURE
