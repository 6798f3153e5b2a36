"""What is agreed to, what needs it, who counts: on the pure core."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import approval
from routing.core.approval import Content, PolicyWish, Wish
from routing.core.errors import Invalid, RuleBroken
from routing.core.flags import FlagName
from routing.core.guards import PROVIDER, Cause
from routing.core.plans import Due
from routing.core.rights import Actor, Right
from routing.core.values import ActorKind, EnvironmentName, ProposalState

WISHES = st.builds(
    Wish,
    flag=st.sampled_from(FlagName),
    on=st.booleans(),
    percentage=st.integers(0, 100),
    base_version=st.integers(0, 2**53 - 1),
    groups=st.lists(st.sampled_from(["tenant:a", "role:admin"]), max_size=2).map(tuple),
)
DUES = st.builds(
    Due,
    due_at=st.datetimes(timezones=st.just(UTC)),
    local=st.sampled_from(["", "2027-03-28T14:30"]),
    zone=st.sampled_from(["", "UTC", "Europe/Berlin"]),
    grace=st.integers(60, 43_200).map(lambda seconds: timedelta(seconds=seconds)),
)
SPANS = st.integers(60, 604_800).map(lambda seconds: timedelta(seconds=seconds))
REASONS = st.text(st.characters(codec="utf-8"), max_size=40)
CONTENTS = st.builds(
    Content,
    environment=st.sampled_from(EnvironmentName),
    reason=REASONS,
    sets=st.lists(WISHES, max_size=4, unique_by=lambda wish: wish.flag).map(tuple),
    due=st.none() | DUES,
    lasts=st.none() | SPANS,
) | st.builds(
    Content,
    environment=st.sampled_from(EnvironmentName),
    reason=REASONS,
    policy=st.builds(
        PolicyWish,
        flags=st.frozensets(st.sampled_from(FlagName)),
        base_version=st.integers(0, 2**53 - 1),
    ),
)
ONE = Wish(flag=FlagName.CACHING, on=True, percentage=100, base_version=3)
CONTENT = Content(environment=EnvironmentName.STAGING, reason="why not", sets=(ONE,))
NOON = datetime(2027, 3, 28, 12, 0, tzinfo=UTC)
TIMED = replace(CONTENT, due=Due(due_at=NOON), lasts=timedelta(minutes=15))


@given(CONTENTS)
def test_what_is_written_is_read_again(content: Content) -> None:
    text = approval.write(content)
    assert approval.read(text) == replace(content, sets=approval.ordered(content.sets))
    assert approval.write(approval.read(text)) == text


@given(CONTENTS, CONTENTS)
def test_a_digest_is_of_one_content(one: Content, other: Content) -> None:
    same = replace(one, sets=approval.ordered(one.sets)) == replace(
        other, sets=approval.ordered(other.sets)
    )
    digests = {approval.digest(approval.write(content)) for content in (one, other)}
    assert (len(digests) == 1) is same


@pytest.mark.parametrize(
    "changed",
    [
        replace(CONTENT, environment=EnvironmentName.PRODUCTION),
        replace(CONTENT, reason="why now"),
        replace(CONTENT, sets=(replace(ONE, on=False),)),
        replace(CONTENT, sets=(replace(ONE, percentage=99),)),
        replace(CONTENT, sets=(replace(ONE, groups=("tenant:acme",)),)),
        replace(CONTENT, sets=(replace(ONE, base_version=4),)),
        replace(CONTENT, sets=(replace(ONE, flag=FlagName.MONITORING),)),
        replace(CONTENT, sets=()),
        replace(CONTENT, lasts=timedelta(minutes=15)),
        replace(CONTENT, due=Due(due_at=NOON)),
        replace(CONTENT, policy=PolicyWish(flags=frozenset(), base_version=0)),
    ],
)
def test_any_edit_is_another_digest(changed: Content) -> None:
    assert approval.write(changed) != approval.write(CONTENT)


@pytest.mark.parametrize(
    "changed",
    [
        replace(TIMED, lasts=None),
        replace(TIMED, lasts=timedelta(minutes=16)),
        replace(TIMED, due=None),
        replace(TIMED, due=Due(due_at=NOON + timedelta(minutes=1))),
        replace(TIMED, due=Due(due_at=NOON, grace=timedelta(hours=1))),
        replace(TIMED, due=Due(due_at=NOON, zone="Europe/Berlin")),
    ],
)
def test_any_other_time_is_another_digest(changed: Content) -> None:
    assert approval.write(changed) != approval.write(TIMED)


def test_what_was_proposed_without_a_time_has_the_text_that_it_always_had() -> None:
    said = json.loads(approval.write(CONTENT))
    assert set(said) == {"v", "environment", "reason", "sets", "policy"}
    assert said["v"] == 1


@pytest.mark.parametrize("edit", ["space", "on", "key", "flag", "nonsense"])
def test_a_text_that_was_not_written_by_us_is_refused(edit: str) -> None:
    said: dict[str, Any] = json.loads(approval.write(CONTENT))
    if edit == "on":
        said["sets"][0]["on"] = 1
    elif edit == "key":
        said["more"] = 1
    elif edit == "flag":
        said["sets"][0]["flag"] = "ENABLE_ALL"
    text = {"nonsense": "[]", "space": approval.write(CONTENT) + " "}.get(
        edit, json.dumps(said, sort_keys=True, separators=(",", ":"))
    )
    with pytest.raises(Invalid):
        approval.read(text)


SHARES = st.dictionaries(
    st.sampled_from(FlagName), st.tuples(st.integers(0, 100), st.integers(0, 100))
)


@given(st.frozensets(st.sampled_from(FlagName)), SHARES, st.none() | st.sampled_from(Cause))
def test_a_flag_waits_if_the_policy_names_it_and_no_path_goes_off_for_a_cause(
    policy: frozenset[FlagName], shares: dict[FlagName, tuple[int, int]], cause: Cause | None
) -> None:
    needed = approval.needing(policy, shares, cause)
    assert set(needed) <= policy & set(shares)
    for flag in policy & set(shares):
        before, after = shares[flag]
        spared = cause and flag in PROVIDER.values() and before > 0 and after == 0
        assert (flag in needed) is not bool(spared)


def test_only_what_is_open_goes_on_and_nothing_comes_back() -> None:
    assert set(approval.OPEN) == {ProposalState.PROPOSED, ProposalState.APPROVED}
    assert ProposalState.PROPOSED not in {s for after in approval.NEXT.values() for s in after}
    assert [s for s, after in approval.NEXT.items() if ProposalState.APPLIED in after] == [
        ProposalState.APPROVED
    ]


@pytest.mark.parametrize("kind", ActorKind)
def test_the_second_pair_of_eyes_is_a_person(kind: ActorKind) -> None:
    by = Actor(kind=kind, id="x", name="x")
    if kind is ActorKind.USER:
        approval.check_second(by, proposed_by="y")
        with pytest.raises(RuleBroken, match="you proposed this"):
            approval.check_second(by, proposed_by="x")
        return
    with pytest.raises(RuleBroken, match="never the second pair of eyes"):
        approval.check_second(by, proposed_by="y")


def test_another_policy_is_for_admins() -> None:
    wish = PolicyWish(flags=frozenset(), base_version=0)
    assert replace(CONTENT, sets=(), policy=wish).right is Right.SETTINGS
    assert CONTENT.right is Right.CHANGE
