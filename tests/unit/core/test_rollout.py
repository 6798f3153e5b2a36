"""Shares: the same subject always, monotone in the percentage, spread evenly, flags apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.core import rollout
from routing.core.flags import FlagName

FLAGS = st.sampled_from(FlagName)
SUBJECTS = st.text(max_size=40)
SHARES = st.integers(0, 100)
EXPECTED = [33, 17, 31, 0, 67, 18, 69]


@given(flag=FLAGS, subject=SUBJECTS, one=SHARES, other=SHARES)
def test_a_larger_share_keeps_everyone_of_a_smaller_one(
    flag: FlagName, subject: str, one: int, other: int
) -> None:
    small, large = sorted((one, other))
    assert rollout.is_in(flag, subject, large) or not rollout.is_in(flag, subject, small)


@given(flag=FLAGS, subject=SUBJECTS)
def test_nobody_is_in_at_0_and_everyone_at_100(flag: FlagName, subject: str) -> None:
    assert not rollout.is_in(flag, subject, 0)
    assert rollout.is_in(flag, subject, 100)


def test_a_subject_keeps_its_bucket_over_processes_and_releases() -> None:
    # Literals: a change of salt or hash would move running rollouts.
    rollout.bucket.cache_clear()
    assert [rollout.bucket(flag, "tenant-1") for flag in FlagName] == EXPECTED


def test_subjects_spread_evenly_over_the_buckets() -> None:
    subjects = 20_000
    counts = [0] * 100
    for number in range(subjects):
        counts[rollout.bucket(FlagName.CACHING, f"tenant-{number}")] += 1
    expected = subjects / 100
    chi2 = sum((count - expected) ** 2 / expected for count in counts)
    assert chi2 < 149  # 99 degrees of freedom, p = 0.001


def test_flags_do_not_favour_the_same_subjects() -> None:
    subjects = [f"tenant-{number}" for number in range(4_000)]
    caching = {s for s in subjects if rollout.is_in(FlagName.CACHING, s, 50)}
    support = {s for s in subjects if rollout.is_in(FlagName.SUPPORT_MODE, s, 50)}
    assert 0.45 < len(caching & support) / len(caching) < 0.55


@given(before=SHARES, after=SHARES)
def test_the_ends_of_a_change_are_what_all_hundred_buckets_see(before: int, after: int) -> None:
    everyone = {(bucket < before, bucket < after) for bucket in range(100)}
    assert rollout.ends(before, after) == everyone
