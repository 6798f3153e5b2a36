"""What findings say together: the worst wins, and not having looked is never healthy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.core.findings import Found, Overall, Severity, counts, overall


def found(severity: Severity, *, unchecked: bool = False) -> Found:
    return Found(severity=severity, title="x", remediation="y", unchecked=unchecked)


SOME = st.lists(st.builds(found, st.sampled_from(Severity), unchecked=st.booleans()), max_size=8)
BADNESS = [Overall.HEALTHY, Overall.UNKNOWN, Overall.WARNING, Overall.CRITICAL]


def test_nothing_found_by_some_checks_is_healthy() -> None:
    assert overall([], checks=3) is Overall.HEALTHY


def test_no_check_at_all_knows_nothing() -> None:
    assert overall([], checks=0) is Overall.UNKNOWN


def test_low_and_info_leave_it_healthy() -> None:
    assert overall([found(Severity.LOW), found(Severity.INFO)], checks=3) is Overall.HEALTHY


def test_high_and_medium_are_a_warning() -> None:
    assert overall([found(Severity.HIGH)], checks=3) is Overall.WARNING
    assert overall([found(Severity.MEDIUM)], checks=3) is Overall.WARNING


def test_one_critical_finding_is_critical_whatever_else_was_found() -> None:
    lot = [found(Severity.HIGH, unchecked=True), found(Severity.LOW), found(Severity.CRITICAL)]
    assert overall(lot, checks=3) is Overall.CRITICAL


def test_what_could_not_be_checked_is_unknown_until_something_worse_was_found() -> None:
    blind = found(Severity.HIGH, unchecked=True)
    assert overall([blind, found(Severity.LOW)], checks=3) is Overall.UNKNOWN
    assert overall([blind, found(Severity.MEDIUM)], checks=3) is Overall.WARNING


@given(SOME, SOME)
def test_more_findings_never_make_it_better(some: list[Found], more: list[Found]) -> None:
    before = overall(some, checks=5)
    assert BADNESS.index(overall([*some, *more], checks=5)) >= BADNESS.index(before)


@given(SOME)
def test_the_order_of_findings_says_nothing(some: list[Found]) -> None:
    assert overall(some, checks=5) is overall(list(reversed(some)), checks=5)


@given(SOME)
def test_every_finding_is_counted_once(some: list[Found]) -> None:
    counted = counts(some)
    assert list(counted) == list(Severity)
    assert sum(counted.values()) == len(some)
