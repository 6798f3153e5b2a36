"""Shares: the same subject always, monotone in the percentage, spread evenly, flags apart."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from routing.core import rollout
from routing.core.flags import FlagName, State, Subject

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


GROUPS = st.frozensets(st.sampled_from(("tenant:a", "tenant:b", "token:c")))
STATES = st.builds(
    State, on=st.booleans(), percentage=SHARES, groups=GROUPS.map(sorted).map(tuple)
)
WHO = st.builds(Subject, name=SUBJECTS, groups=GROUPS)


def expected(flag: str, state: State, who: Subject) -> bool:
    """Say who gets a flag, from the words of the product and the form of the hash alone."""
    if not state.on:
        return False
    text = f"hybridops-rollout/1\0{len(flag)}\0{flag}\0".encode()
    digest = hashlib.sha256(text + who.name.encode("utf-8", "surrogatepass")).hexdigest()
    place = int(digest[:16], 16) % 100
    return place < state.percentage or any(group in who.groups for group in state.groups)


@given(flag=FLAGS, state=STATES, who=WHO)
def test_who_gets_a_flag_is_what_its_state_says(
    flag: FlagName, state: State, who: Subject
) -> None:
    assert rollout.gets(flag, state, who) == expected(str(flag), state, who)
    if not rollout.gets(flag, state, who):
        assert state.share < 100
    if rollout.gets(flag, state, who):
        assert state.share > 0


@given(flag=FLAGS, state=STATES, who=WHO, more=SHARES, others=GROUPS)
def test_more_of_a_flag_takes_it_from_nobody(
    flag: FlagName, state: State, who: Subject, more: int, others: frozenset[str]
) -> None:
    wider = replace(
        state,
        on=True,
        percentage=max(state.percentage, more),
        groups=tuple(sorted({*state.groups, *others})),
    )
    assert rollout.gets(flag, wider, who) or not rollout.gets(flag, state, who)


@given(before=STATES, after=STATES)
def test_the_ends_of_a_change_are_what_any_subject_meets(before: State, after: State) -> None:
    """Each subject stands in one of 100 buckets and in any set of groups."""
    words = sorted({*before.groups, *after.groups, "tenant:none"})
    sets = [frozenset(c) for n in range(len(words) + 1) for c in itertools.combinations(words, n)]

    def has(state: State, place: int, groups: frozenset[str]) -> bool:
        return state.on and (place < state.percentage or not groups.isdisjoint(state.groups))

    everyone = {
        (has(before, place, groups), has(after, place, groups))
        for place in range(100)
        for groups in sets
    }
    plain = rollout.ends(
        before.percentage if before.on else 0, after.percentage if after.on else 0
    )
    assert plain | rollout.member_ends(before, after) == everyone
    # What the guards are told of shares is never less than what can happen without a change.
    assert everyone <= rollout.ends(before.share, after.share) | rollout.member_ends(before, after)
