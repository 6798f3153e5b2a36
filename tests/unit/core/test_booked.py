"""The fold of the trail is the table, against a plain replay; whatever else stands there shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import booked
from routing.core.booked import Book, Entry, Row
from routing.core.errors import AuditBroken
from routing.core.flags import FlagName, State

NAMES = st.sampled_from((*map(str, FlagName), "one.of.an.older.release"))
STATES = st.builds(
    State,
    on=st.booleans(),
    percentage=st.integers(0, 100),
    groups=st.lists(st.sampled_from(("tenant:a", "token:b", "role:viewer")), unique=True).map(
        tuple
    ),
    version=st.integers(1, 99),
)
HISTORIES = st.lists(
    st.dictionaries(NAMES, st.none() | STATES, min_size=1, max_size=3), min_size=1, max_size=6
)
History = list[dict[str, State | None]]


def entries(history: History) -> list[Entry]:
    """Return the entries that book `history`, oldest first."""
    return [
        Entry(
            seq=number,
            at=f"2026-01-01T00:00:{number:02}.000000Z",
            actor=f"user:{number}",
            after={f: s and booked.as_json(s) for f, s in change.items()},  # type: ignore[misc]
            facts={"flags_version": number},
        )
        for number, change in enumerate(history, start=1)
    ]


def replayed(history: History) -> dict[str, tuple[State, int]]:
    """Return what a table would hold that took each change in its order: an oracle of its own."""
    table: dict[str, tuple[State, int]] = {}
    for number, change in enumerate(history, start=1):
        for flag, state in change.items():
            table.pop(flag, None)
            if state is not None:
                table[flag] = (state, number)
    return table


@given(history=HISTORIES)
def test_the_fold_is_what_a_table_would_hold(history: History) -> None:
    found = booked.fold(reversed(entries(history)))
    assert {f: (r.state, r.entry_seq) for f, r in found.rows.items()} == replayed(history)
    assert found.version == len(history)
    assert all(row.changed_by == f"user:{row.entry_seq}" for row in found.rows.values())
    assert booked.differences(found, dict(found.rows)) == ()


@given(history=HISTORIES, wanted=st.sets(NAMES, min_size=1))
def test_it_reads_no_further_than_it_must_and_knows_all_that_is_wanted(
    history: History, wanted: set[str]
) -> None:
    read: list[int] = []

    def told() -> Any:
        for entry in reversed(entries(history)):
            read.append(entry.seq)
            yield entry

    found = booked.fold(told(), wanted)
    whole = replayed(history)
    assert {f: r.state for f, r in found.rows.items() if f in wanted} == {
        f: whole[f][0] for f in wanted if f in whole
    }
    named = [set(change) for change in history]
    enough = {n + 1 for n in range(len(named)) if wanted <= set().union(*named[n:])}
    assert read[-1] == max(enough, default=1)


@given(
    history=HISTORIES,
    data=st.data(),
    change=st.sampled_from(("on", "percentage", "groups", "version", "entry", "who", "when")),
)
def test_a_row_that_was_written_around_us_is_named_and_no_other(
    history: History, data: st.DataObject, change: str
) -> None:
    found = booked.fold(reversed(entries([*history, {"x": State(on=True)}])))
    flag = data.draw(st.sampled_from(sorted(found.rows)))
    kept = found.rows[flag]
    altered = {
        "on": replace(kept, state=replace(kept.state, on=not kept.state.on)),
        "percentage": replace(kept, state=replace(kept.state, percentage=101)),
        "groups": replace(kept, state=replace(kept.state, groups=("tenant:z",))),
        "version": replace(kept, state=replace(kept.state, version=100)),
        "entry": replace(kept, entry_seq=kept.entry_seq + 1),
        "who": replace(kept, changed_by="user:somebody"),
        "when": replace(kept, changed_at="2027"),
    }[change]
    (one,) = booked.differences(found, {**found.rows, flag: altered})
    assert (one.flag, one.booked, one.found) == (flag, kept, altered)
    assert one.is_state is (change in ("on", "percentage", "groups", "version"))


@given(history=HISTORIES)
def test_a_row_that_is_gone_or_was_never_booked_is_named(history: History) -> None:
    found = booked.fold(reversed(entries([*history, {"x": State(on=True)}])))
    table: dict[str, Row] = dict(found.rows)
    strange = table.pop("x")
    (gone,) = booked.differences(found, table)
    assert (gone.flag, gone.found, gone.is_state) == ("x", None, True)
    (new,) = booked.differences(Book(version=1, rows=table), {**table, "x": strange})
    assert (new.flag, new.booked, new.is_state) == ("x", None, True)


GOOD: dict[str, Any] = booked.as_json(State(on=True))


@pytest.mark.parametrize(
    ("after", "facts"),
    [
        (None, {"flags_version": 1}),
        ([], {"flags_version": 1}),
        ({"x": "on"}, {"flags_version": 1}),
        ({"x": GOOD | {"on": 1}}, {"flags_version": 1}),
        ({"x": GOOD | {"percentage": True}}, {"flags_version": 1}),
        ({"x": GOOD | {"groups": [1]}}, {"flags_version": 1}),
        ({"left_out": "longer than an entry"}, {"flags_version": 1}),
        ({"x": GOOD}, {}),
        ({"x": GOOD}, None),
    ],
)
def test_an_entry_that_does_not_say_it_is_no_guess(after: Any, facts: Any) -> None:
    entry = Entry(seq=9, at="", actor="", after=after, facts=facts)
    with pytest.raises(AuditBroken, match="Entry 9 does not say"):
        booked.fold([entry])


def test_without_an_entry_nothing_is_booked() -> None:
    assert booked.fold([]) == Book(version=0, rows={})
