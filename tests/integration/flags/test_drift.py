"""Flags written around us: counted, held back or taken in, booked once, adopted or reverted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from routing.audit import verify
from routing.changes import drift, first_run
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, RuleBroken, Stale
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName
from routing.flags import queries, snapshot, store
from tests.integration.changes.ground import (
    ADMIN,
    DEV,
    NOW,
    OPERATOR,
    PROD,
    PROVEN,
    SHELL,
    STG,
    apply,
    entries,
    facts,
    is_on,
    lay,
    to,
    version,
)
from tests.integration.flags.around import (
    WAYS,
    raw_delete,
    raw_update,
    sql,
    there_and_back,
    uncounted,
)

pytestmark = pytest.mark.django_db
CACHING, SUPPORT = FlagName.CACHING, FlagName.SUPPORT_MODE
WRITERS = pytest.mark.parametrize("write", WAYS.values(), ids=WAYS)
_SOME = ("raw update", "raw delete", "raw insert", "orm save", "there and back")
SOME = pytest.mark.parametrize("write", [WAYS[way] for way in _SOME], ids=_SOME)
Write = Callable[[EnvironmentName], None]
TRUE = {"on": True, "percentage": 100, "groups": [], "version": 1}


def seen() -> None:
    """Do what the loop of a server does at each look."""
    snapshot.refresh_if_changed()
    drift.keep(tuple(EnvironmentName), NOW)
    snapshot.refresh_if_changed()


def laid() -> None:
    lay()
    snapshot.refresh()


def settle(how: Callable[..., Any], place: EnvironmentName = STG, **changes: Any) -> Any:
    asked: dict[str, Any] = {
        "by": ADMIN,
        "now": NOW,
        "environment": place,
        "touches": drift.look(place).touches,
        "reason": "found at night",
        "typed_environment": str(place),
    }
    if how is drift.adopt:
        asked["health"] = PROVEN
    return how(**asked | changes)


def actions() -> list[str]:
    return [entry.action for entry in entries()]


@WRITERS
def test_a_write_around_us_is_not_applied_in_staging_and_booked_once(write: Write) -> None:
    laid()
    before = snapshot.current().evaluate(STG)
    write(STG)
    seen()
    seen()
    assert snapshot.current().evaluate(STG) == before
    assert snapshot.current().environments[STG].mark.is_drifted
    assert actions().count("flag.drift") == 1
    assert entries()[0].actor == "system:flags"
    assert store.read(STG)[CACHING].on is True  # what guards and pages are told
    assert queries.grid([STG]).drifted == {STG}
    assert not snapshot.current().environments[PROD].mark.is_drifted


@SOME
def test_without_the_counting_triggers_nobody_sees_it(write: Write) -> None:
    """The negative control; the fold still does, but for what was put back."""
    laid()
    with uncounted():
        write(STG)
    seen()
    assert "flag.drift" not in actions()
    assert bool(drift.problems([STG])) is (write is not there_and_back)


@SOME
def test_in_development_it_is_applied_and_booked_as_nobodys(write: Write) -> None:
    laid()
    write(DEV)
    seen()
    entry = entries()[0]
    assert (entry.action, entry.actor) == ("flag.adopt", "system:unattributed")
    assert facts(entry.facts)["attributed"] is False
    assert not drift.look(DEV).is_open
    kept = snapshot.current().environments[DEV]
    assert kept.states == store.read(DEV)
    assert kept.version == facts(entry.facts)["flags_version"] == 2
    assert not drift.problems(tuple(EnvironmentName))


def test_what_is_taken_in_is_the_state_of_the_table() -> None:
    laid()
    raw_update(DEV)
    seen()
    assert snapshot.is_on(CACHING, DEV) is False
    assert (is_on(CACHING, DEV), version(CACHING, DEV)) == (False, 2)
    assert facts(entries()[0].before) == {str(CACHING): TRUE}
    assert facts(entries()[0].after) == {str(CACHING): TRUE | {"on": False, "version": 2}}


@SOME
def test_an_admin_reverts_it(write: Write) -> None:
    laid()
    write(STG)
    seen()
    done = settle(drift.revert)
    entry = entries()[0]
    assert (entry.seq, entry.action, entry.actor) == (done.entry_seq, "flag.revert", ADMIN.id)
    assert entry.reason == "found at night"
    assert not drift.look(STG).is_open
    assert (is_on(CACHING), version(CACHING)) == (True, 1)
    assert not drift.problems([STG])
    seen()
    assert not snapshot.current().environments[STG].mark.is_drifted
    assert verify.verify().ok


@SOME
def test_an_admin_adopts_it(write: Write) -> None:
    laid()
    write(STG)
    seen()
    done = settle(drift.adopt, confirmed=True)
    assert entries()[0].seq == done.entry_seq
    assert not drift.look(STG).is_open
    assert not drift.problems([STG])
    snapshot.refresh()
    kept = snapshot.current().environments[STG]
    assert kept.states == store.read(STG)
    assert set(kept.states) == set(FlagName)
    assert (kept.version, kept.mark.version) == (2, 2)


def test_adopting_puts_the_change_in_force() -> None:
    laid()
    raw_update(STG)
    seen()
    assert snapshot.is_on(CACHING, STG) is True
    settle(drift.adopt)
    snapshot.refresh()
    assert snapshot.is_on(CACHING, STG) is False
    assert version(CACHING) == 2
    assert queries.flag_row(CACHING, [STG]).cells[STG].changed_by == ADMIN.id


@pytest.mark.parametrize("how", [drift.adopt, drift.revert])
def test_who_may_settle_and_what_is_asked(how: Callable[..., Any]) -> None:
    laid()
    with pytest.raises(Invalid, match="Nothing to settle"):
        settle(how)
    raw_update(STG)
    with pytest.raises(Forbidden):
        settle(how, by=OPERATOR)
    with pytest.raises(Invalid, match="reason"):
        settle(how, reason="")
    with pytest.raises(Stale, match="since you looked"):
        settle(how, touches=drift.look(STG).touches - 1)
    raw_update(PROD)
    with pytest.raises(Invalid, match="Type the environment"):
        settle(how, PROD, typed_environment="")
    assert [entry.outcome for entry in entries()[:5]] == ["refused"] * 5
    assert drift.look(STG).is_open
    assert drift.look(PROD).is_open


def test_the_guards_judge_what_is_adopted() -> None:
    laid()
    off = FlagName.MCP_INTEGRATION, FlagName.BEDROCK_PROVIDER
    for flag in off[:1]:
        sql(f'UPDATE routing_flagstate SET "on" = NOT "on" WHERE flag_id = \'{flag}\'')
    sql('UPDATE routing_flagstate SET "on" = NOT "on" WHERE flag_id LIKE \'ENABLE_DIRECT%\'')
    with pytest.raises(NeedsConfirm):
        settle(drift.adopt)
    sql(f'UPDATE routing_flagstate SET "on" = NOT "on" WHERE flag_id = \'{off[1]}\'')
    with pytest.raises(RuleBroken, match="no_path_left"):
        settle(drift.adopt, confirmed=True)
    settle(drift.revert)
    assert not drift.problems([STG])


def test_a_booked_change_goes_on_from_what_is_booked_and_the_drift_stays_open() -> None:
    laid()
    raw_update(STG)
    seen()
    done = apply([to(SUPPORT, True)])
    assert done.version == 2
    snapshot.refresh()
    kept = snapshot.current().environments[STG]
    assert (kept.states[SUPPORT].on, kept.states[CACHING].on) == (True, True)
    assert kept.mark.is_drifted
    assert [one.flag for one in drift.look(STG).differences] == [str(CACHING)]
    settle(drift.revert)
    assert (is_on(CACHING), is_on(SUPPORT)) == (True, True)
    assert not drift.problems([STG])


def test_a_booked_change_of_the_flag_itself_stands_above_what_was_written() -> None:
    laid()
    raw_delete(STG)
    seen()
    assert version(CACHING) == 1
    apply([to(CACHING, False)])
    assert (is_on(CACHING), version(CACHING)) == (False, 2)
    assert drift.look(STG).differences == ()
    assert drift.look(STG).unexplained == 1
    settle(drift.revert)
    assert not drift.look(STG).is_open


def test_a_booked_change_in_development_takes_the_rest_in_first() -> None:
    laid()
    raw_update(DEV)
    apply([to(SUPPORT, True, environment=DEV)], environment=DEV)
    assert actions()[:2] == ["flag.change", "flag.adopt"]
    assert (is_on(CACHING, DEV), is_on(SUPPORT, DEV)) == (False, True)
    assert not drift.problems([DEV])


def test_booked_changes_explain_all_their_writes() -> None:
    laid()
    apply([to(CACHING, False), to(SUPPORT, True)])
    apply([to(CACHING, True, percentage=30)])
    for mark in store.marks().values():
        assert mark.touched == mark.explained > 0
    assert not drift.problems(tuple(EnvironmentName))


def test_a_process_that_starts_during_a_drift_runs_what_is_booked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    laid()
    apply([to(SUPPORT, True)])
    raw_update(STG)
    fresh = {e: snapshot.declared(e) for e in EnvironmentName}
    empty = snapshot.Snapshot(environments=fresh, source=snapshot.Source.DEFAULTS)
    monkeypatch.setattr(snapshot, "_current", empty)
    snapshot.refresh()
    kept = snapshot.current().environments[STG]
    assert (kept.states[CACHING].on, kept.states[SUPPORT].on, kept.version) == (True, True, 2)


def test_a_start_finds_what_the_database_did_not_count_and_lays_nothing_over_it() -> None:
    laid()
    with uncounted():
        raw_delete(STG)
        raw_update(DEV)
    first_run.lay(by=SHELL, now=NOW, environments=tuple(EnvironmentName), embedded=True)
    seen()
    assert [one.flag for one in drift.look(STG).differences] == [str(CACHING)]
    assert snapshot.is_on(CACHING, STG) is True
    assert snapshot.is_on(CACHING, DEV) is False
    assert sorted(actions()[:2]) == ["flag.adopt", "flag.drift"]


def test_a_trail_that_does_not_tell_leaves_the_last_flags_in_force() -> None:
    laid()
    apply([to(CACHING, False)])
    snapshot.refresh()
    with uncounted():
        sql("UPDATE routing_entry SET body = prev WHERE action = 'flag.change'")
    raw_update(STG)
    assert snapshot.refresh_if_changed() is True
    assert snapshot.is_on(CACHING, STG) is False
    assert snapshot.current().environments[STG].mark.is_drifted


def test_words_each_difference() -> None:
    laid()
    for write in WAYS.values():
        if write is not WAYS["raw delete"] and write is not WAYS["orm delete"]:
            write(STG)
    raw_delete(PROD)
    told = " ".join(drift.problems(tuple(EnvironmentName)))
    assert "ai.caching.enabled in staging is off at version 1; entry" in told
    assert "x in staging has a row that nobody booked." in told
    assert "ai.caching.enabled in production has no row; entry" in told
