"""The flags of any past moment and the history of each, against what was seen as it happened."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.audit.models import Entry
from routing.core.flags import FlagName, State
from routing.core.values import EnvironmentName
from routing.flags import past, queries
from tests.integration.changes.ground import DEV, NOW, OPERATOR, STG, apply, lay, to
from tests.integration.flags.around import uncounted

pytestmark = pytest.mark.django_db
CACHING, SUPPORT, FALLBACK = FlagName.CACHING, FlagName.SUPPORT_MODE, FlagName.DIRECT_FALLBACK
States = dict[FlagName, State]


def states(environment: EnvironmentName, grid: queries.Grid) -> States:
    return {
        row.name: row.cells[environment].state for row in grid.rows if environment in row.cells
    }


@pytest.fixture
def laid(db: None) -> None:
    lay()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([DEV, STG]),
            st.dictionaries(
                st.sampled_from([CACHING, SUPPORT, FALLBACK]),
                st.tuples(st.booleans(), st.sampled_from([0, 25, 100])),
                min_size=1,
            ),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_each_moment_is_as_it_was_seen_then(
    laid: None, steps: list[tuple[EnvironmentName, dict[FlagName, tuple[bool, int]]]]
) -> None:
    start = max(Entry.objects.values_list("at", flat=True)) + timedelta(seconds=1)
    seen: list[tuple[EnvironmentName, int, States]] = []
    booked: dict[FlagName, list[tuple[EnvironmentName, int, State, State]]] = {
        flag: [] for flag in FlagName
    }
    for number, (environment, wanted) in enumerate(steps):
        before = states(environment, queries.grid([environment]))
        sets = [
            to(flag, on, environment=environment, percentage=share if on else 100)
            for flag, (on, share) in wanted.items()
        ]
        sets = [one for one in sets if not one.state.gives_as(before[one.flag])]
        at = start + timedelta(seconds=number)
        if sets:
            done = apply(sets, by=OPERATOR, environment=environment, now=at, confirmed=True)
            for made in done.changes:
                booked[made.flag].append((environment, done.entry_seq, made.before, made.after))
            left = states(environment, queries.grid_at([environment], upto=done.entry_seq))
            assert left == states(environment, queries.grid([environment]))
        seen.append((environment, number, states(environment, queries.grid([environment]))))
    for environment, number, was in seen:
        until = start + timedelta(seconds=number, milliseconds=1)
        assert states(environment, queries.grid_at([environment], until=until)) == was
    for flag, turns in booked.items():
        told = past.history(flag, [DEV, STG]).turns
        newest = [
            (turn.environment, turn.seq, turn.before, turn.after)
            for turn in told
            if turn.seq >= min((seq for _, seq, *_ in turns), default=10**9)
        ]
        assert newest == turns[::-1]


def test_before_they_were_laid_there_are_none(laid: None) -> None:
    then = queries.grid_at([DEV, STG], until=NOW - timedelta(days=1))
    assert not any(row.cells for row in then.rows)
    assert not then.versions


def test_a_change_counts_from_the_moment_after_it(laid: None) -> None:
    at = NOW + timedelta(hours=1)
    apply([to(CACHING, False)], now=at)
    assert states(STG, queries.grid_at([STG], until=at))[CACHING].on
    after = at + timedelta(microseconds=1)
    assert not states(STG, queries.grid_at([STG], until=after))[CACHING].on


def test_a_history_is_paged_without_loss(laid: None) -> None:
    for number in range(5):
        apply([to(CACHING, bool(number % 2))])
    whole = past.history(CACHING, [STG])
    assert whole.next_before_seq is None
    assert [turn.after and turn.after.version for turn in whole.turns] == [6, 5, 4, 3, 2, 1]
    assert whole.turns[-1].before is None
    found: list[past.Turn] = []
    before = None
    while True:
        page = past.history(CACHING, [STG], before_seq=before, size=2)
        found += page.turns
        before = page.next_before_seq
        if before is None:
            break
    assert tuple(found) == whole.turns
    assert past.history(CACHING, [STG], size=6) == whole  # the last page knows that it is


def test_a_set_is_told_with_what_changed_beside_it(laid: None) -> None:
    done = apply([to(CACHING, False), to(SUPPORT, True)])
    (turn, *_) = past.history(SUPPORT, [STG]).turns
    assert (turn.seq, turn.together) == (done.entry_seq, (CACHING,))
    assert not past.history(FALLBACK, [STG]).turns[0].reason


def test_what_was_altered_is_told_as_such_and_believed_nowhere(laid: None) -> None:
    done = apply([to(CACHING, False)])
    with uncounted():
        row = Entry.objects.get(stream="control", seq=done.entry_seq)
        body = bytes(row.body).replace(b"trying it out", b"trying it oUt")
        Entry.objects.filter(pk=row.pk).update(body=body)
    (turn, *_) = past.history(CACHING, [STG]).turns
    assert (turn.seq, turn.before, turn.after) == (done.entry_seq, None, None)
    assert "altered" in turn.broken
    then = queries.grid_at([DEV, STG], until=NOW + timedelta(days=1))
    assert "altered" in then.unknown[STG] and DEV not in then.unknown
    assert states(STG, then) == {} and CACHING in states(DEV, then)
    assert CACHING in states(STG, queries.grid_at([STG], upto=done.entry_seq - 1))


def test_an_altered_environment_chooses_no_reader(laid: None) -> None:
    done = apply([to(CACHING, False)])
    with uncounted():
        row = Entry.objects.get(stream="control", seq=done.entry_seq)
        body = bytes(row.body).replace(b'"environment":"staging"', b'"environment":"nowhere"')
        assert body != bytes(row.body)
        Entry.objects.filter(pk=row.pk).update(body=body)
    (turn, *_) = past.history(CACHING, [STG]).turns
    assert turn.environment is None and turn.broken


def test_as_an_entry_left_them_is_not_a_question_of_clocks(laid: None) -> None:
    early = NOW - timedelta(hours=1)  # a host whose clock is behind
    first = apply([to(CACHING, False)])
    second = apply([to(CACHING, True)], now=early)
    assert not states(STG, queries.grid_at([STG], upto=first.entry_seq))[CACHING].on
    assert states(STG, queries.grid_at([STG], upto=second.entry_seq))[CACHING].on
