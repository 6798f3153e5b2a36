"""Changing flags: who may, what is asked, what is refused, what is written and booked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction

from routing import stream
from routing.audit import ledger, verify
from routing.changes import change
from routing.core import booked
from routing.core.errors import (
    Broken,
    Forbidden,
    Invalid,
    NeedsConfirm,
    NotFound,
    Refused,
    RuleBroken,
    Stale,
    UnknownWord,
)
from routing.core.flags import FlagName, SetFlag, Subject
from routing.core.guards import Answer, Cause
from routing.core.values import EnvironmentName, Operation, Path
from routing.flags import queries, snapshot
from routing.matrix import store as matrices
from tests.integration.changes.ground import (
    ADMIN,
    DEV,
    NOW,
    OPERATOR,
    PROD,
    PROVEN,
    STG,
    UNKNOWN,
    VIEWER,
    apply,
    entries,
    facts,
    is_on,
    lay,
    to,
    version,
)

pytestmark = pytest.mark.django_db(transaction=True)
ROUTING, FALLBACK, MCP, SUPPORT, BEDROCK, CACHING, MONITORING = FlagName


def test_a_change_is_written_booked_and_in_force_at_once() -> None:
    lay()
    done = apply([to(CACHING, False)])
    entry = entries()[0]
    assert done.entry_seq == entry.seq
    assert (entry.action, entry.outcome, entry.actor) == ("flag.change", "done", OPERATOR.id)
    assert (entry.object_type, entry.object_id) == ("flag", "ai.caching.enabled")
    assert entry.reason == "trying it out"
    assert entry.before == {
        "ai.caching.enabled": {"on": True, "percentage": 100, "groups": [], "version": 1}
    }
    assert entry.after == {
        "ai.caching.enabled": {"on": False, "percentage": 100, "groups": [], "version": 2}
    }
    cell = queries.flag_row(CACHING, [STG]).cells[STG]
    assert (cell.state.on, cell.state.version, cell.changed_by) == (False, 2, OPERATOR.id)
    assert (cell.changed_at, cell.entry_seq, cell.default) == (NOW, entry.seq, True)
    assert snapshot.is_on(CACHING, STG) is False
    assert snapshot.current().environments[STG].version == done.version == 2


def test_the_other_environments_keep_their_state() -> None:
    lay()
    apply([to(CACHING, False)])
    assert is_on(CACHING, DEV) and is_on(CACHING, PROD)
    assert snapshot.is_on(CACHING, PROD)
    assert queries.grid(EnvironmentName).versions == {DEV: 1, STG: 2, PROD: 1}


def test_a_set_of_several_is_one_entry_and_one_version() -> None:
    lay()
    done = apply([to(CACHING, False), to(SUPPORT, True), to(MONITORING, False)], confirmed=True)
    entry = entries()[0]
    assert (entry.object_type, entry.object_id) == ("flags", "staging")
    assert set(facts(entry.after)) == {str(CACHING), str(SUPPORT), str(MONITORING)}
    assert facts(entry.facts)["flags_version"] == done.version == 2
    assert facts(entry.facts)["judgement"]["rule"] == "monitoring_off"
    cells = [queries.flag_row(flag, [STG]).cells[STG] for flag in (CACHING, SUPPORT, MONITORING)]
    assert {cell.entry_seq for cell in cells} == {entry.seq}


def test_a_set_with_one_stale_flag_changes_none_of_them() -> None:
    lay()
    with pytest.raises(Stale):
        apply([to(CACHING, False), to(SUPPORT, True, base=7)])
    assert is_on(CACHING) and not is_on(SUPPORT)
    assert queries.grid([STG]).versions == {STG: 1}


def test_whoever_was_slower_gets_the_state_that_won() -> None:
    lay()
    apply([to(CACHING, True, percentage=30)])
    with pytest.raises(Stale) as refusal:
        apply([to(CACHING, False, base=1)])
    assert refusal.value.facts["current"] == {
        "on": True,
        "percentage": 30,
        "groups": [],
        "version": 2,
    }
    assert version(CACHING) == 2


def test_the_slower_one_is_stale_even_when_both_wanted_the_same() -> None:
    lay()
    apply([to(CACHING, False)])
    with pytest.raises(Stale):
        apply([to(CACHING, False, base=1)])


def test_a_change_to_the_present_value_is_refused() -> None:
    lay()
    before = len(entries())
    with pytest.raises(Invalid, match="Nothing to change"):
        apply([to(CACHING, True)])
    with pytest.raises(Invalid, match="Nothing to change"):
        apply([to(SUPPORT, False, percentage=20)])
    assert version(CACHING) == 1
    assert [e.outcome for e in entries()[: len(entries()) - before]] == ["refused", "refused"]


def test_flags_of_a_set_that_are_as_wanted_keep_their_version() -> None:
    lay()
    done = apply([to(CACHING, False), to(MCP, True)])
    assert [c.flag for c in done.changes] == [CACHING]
    assert version(MCP) == 1


@pytest.mark.parametrize("environment", EnvironmentName)
def test_a_viewer_may_not_change_and_the_attempt_is_booked(environment: EnvironmentName) -> None:
    lay()
    with pytest.raises(Forbidden, match="operator or admin"):
        apply([to(CACHING, False)], by=VIEWER, environment=environment)
    entry = entries()[0]
    assert (entry.outcome, entry.actor, entry.environment) == ("refused", VIEWER.id, environment)
    assert facts(entry.facts)["code"] == "forbidden"
    assert is_on(CACHING, environment)


def test_production_asks_for_reason_and_its_typed_name() -> None:
    lay()
    wish = [to(CACHING, False, environment=PROD)]
    with pytest.raises(Invalid, match="reason"):
        apply(wish, environment=PROD, reason="", typed_environment="production")
    with pytest.raises(Invalid, match="Type the environment's name"):
        apply(wish, environment=PROD)
    apply(wish, environment=PROD, typed_environment="production")
    assert not is_on(CACHING, PROD)


def test_development_asks_for_neither() -> None:
    lay()
    apply([to(CACHING, False, environment=DEV)], environment=DEV, reason="")
    assert not is_on(CACHING, DEV)


def test_what_stops_something_waits_for_a_confirmation() -> None:
    lay()
    wish = [to(BEDROCK, False)]
    with pytest.raises(NeedsConfirm) as asked:
        apply(wish)
    assert asked.value.facts["effects"] == [
        "emergency loses its only path: its callers get 503 no_path."
    ]
    assert is_on(BEDROCK)
    apply(wish, confirmed=True)
    assert not is_on(BEDROCK)
    assert facts(entries()[0].facts)["confirmed"] is True


def test_in_production_only_an_admin_confirms() -> None:
    lay()
    wish = [to(BEDROCK, False, environment=PROD)]
    production: dict[str, Any] = {
        "environment": PROD,
        "typed_environment": "production",
        "confirmed": True,
        "cause": Cause.SECURITY,  # else it would wait for a second person
    }
    with pytest.raises(Forbidden, match="only an admin"):
        apply(wish, **production)
    assert is_on(BEDROCK, PROD)
    apply(wish, by=ADMIN, **production)
    assert not is_on(BEDROCK, PROD)


def test_a_rule_refuses_even_a_confirmed_admin() -> None:
    lay()
    with pytest.raises(RuleBroken) as refusal:
        apply([to(MCP, False), to(BEDROCK, False)], by=ADMIN, confirmed=True)
    assert refusal.value.facts["rule"] == "no_path_left"
    assert facts(entries()[0].facts)["facts"]["rule"] == "no_path_left"
    assert is_on(MCP) and is_on(BEDROCK)


def test_mcp_only_waits_for_a_proven_mcp() -> None:
    lay()
    with pytest.raises(RuleBroken, match="mcp_only_unproven"):
        apply([to(ROUTING, False)], by=ADMIN, confirmed=True)
    apply([to(ROUTING, False)], health=PROVEN)
    assert not is_on(ROUTING)


def test_the_last_path_goes_off_for_security_after_a_confirmation() -> None:
    lay()
    apply([to(MCP, False)], confirmed=True)
    wish: dict[str, Any] = {"sets": [to(BEDROCK, False)], "by": ADMIN}
    with pytest.raises(RuleBroken):
        apply(**wish, confirmed=True)
    with pytest.raises(NeedsConfirm):
        apply(**wish, cause=Cause.SECURITY)
    apply(**wish, cause=Cause.SECURITY, confirmed=True)
    assert not is_on(BEDROCK)
    assert facts(entries()[0].facts)["cause"] == "security"


def test_the_guards_see_the_tables_and_not_an_old_snapshot() -> None:
    lay()
    apply([to(MCP, False)], confirmed=True)
    assert snapshot.is_on(MCP, STG) is False
    stale_look = snapshot.Snapshot(
        environments={e: snapshot.declared(e) for e in EnvironmentName},
        source=snapshot.Source.DEFAULTS,
    )
    snapshot._current = stale_look
    with pytest.raises(RuleBroken, match="no_path_left"):
        apply([to(BEDROCK, False)], confirmed=True)


def test_the_guards_see_the_matrix_in_force() -> None:
    lay()
    kept = matrices.read(STG)
    alone = replace(kept.row(Operation.STANDARD), primary=Path.DIRECT_BEDROCK, fallback=None)
    mine = replace(kept, rows={**kept.rows, Operation.STANDARD: alone})
    with transaction.atomic():
        matrices.publish(
            environment=STG, base_version=kept.version, matrix=mine, by="user:1", now=NOW
        )
    with pytest.raises(NeedsConfirm) as asked:
        apply([to(BEDROCK, False)])
    assert [effect.split()[0] for effect in asked.value.facts["effects"]] == [
        "emergency",
        "standard",
    ]


@pytest.mark.parametrize(
    ("sets", "kind"),
    [
        ([], Invalid),
        ([SetFlag(flag=CACHING, on=False, base_version=1)] * 2, Invalid),
        ([SetFlag(flag=CACHING, on=True, base_version=1, percentage=101)], Invalid),
        ([SetFlag(flag=CACHING, on=True, base_version=1, percentage=-1)], Invalid),
        ([SetFlag(flag="ENABLE_ALL", on=True, base_version=1)], UnknownWord),  # type: ignore[arg-type]
    ],
    ids=["empty", "twice", "101", "-1", "unknown"],
)
def test_nonsense_is_refused_and_booked(sets: list[SetFlag], kind: type[Refused]) -> None:
    lay()
    with pytest.raises(kind):
        apply(sets)
    assert entries()[0].outcome == "refused"
    assert queries.grid([STG]).versions == {STG: 1}


def test_an_environment_that_was_never_laid_says_what_to_do() -> None:
    with pytest.raises(NotFound, match=r"manage\.py serve"):
        apply([to(CACHING, False, base=1)])


def test_no_entry_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    lay()

    def refuse(**_: object) -> None:
        raise Broken("the pen is broken")

    monkeypatch.setattr(ledger, "record", refuse)
    with pytest.raises(Broken):
        apply([to(CACHING, False)])
    assert is_on(CACHING) and version(CACHING) == 1
    assert queries.grid([STG]).versions == {STG: 1}
    assert snapshot.is_on(CACHING, STG)


def test_a_dead_announcement_takes_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    lay()

    def die(event: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(stream, "_send", die)
    apply([to(CACHING, False)])
    assert not is_on(CACHING)
    assert snapshot.is_on(CACHING, STG) is False


def test_a_preview_writes_nothing_and_says_what_would_stop() -> None:
    lay()
    before = len(entries())
    said = change.preview(
        by=OPERATOR, now=NOW, environment=STG, sets=[to(BEDROCK, False)], health=UNKNOWN
    )
    assert (said.answer, said.rule) == (Answer.CONFIRM, "emergency_loses_path")
    assert is_on(BEDROCK)
    assert len(entries()) == before


def test_a_preview_is_no_way_around_the_rights() -> None:
    lay()
    with pytest.raises(Forbidden):
        change.preview(
            by=VIEWER, now=NOW, environment=STG, sets=[to(BEDROCK, False)], health=UNKNOWN
        )
    assert entries()[0].outcome == "refused"


def test_folding_the_entries_gives_the_tables() -> None:
    lay()
    apply([to(CACHING, True, percentage=40)])
    apply([to(SUPPORT, True), to(CACHING, False)])
    apply([to(FALLBACK, False)])
    state: dict[str, Any] = {}
    for entry in reversed(entries()):
        if entry.environment == STG and entry.object_type in ("flag", "flags"):
            state |= facts(entry.after)
    cells = {str(row.name): row.cells[STG] for row in queries.grid([STG]).rows}
    assert state == {name: booked.as_json(cell.state) for name, cell in cells.items()}
    assert verify.verify().ok


def test_apply_refuses_to_hide_inside_another_transaction() -> None:
    lay()
    wish = [to(CACHING, False)]
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        apply(wish)
    assert is_on(CACHING)


def test_a_flag_is_on_for_groups_beside_a_share() -> None:
    lay()
    some = SetFlag(
        flag=SUPPORT, on=True, base_version=1, percentage=0, groups=("tenant:acme", "role:viewer")
    )
    apply([some])
    kept = queries.flag_row(SUPPORT, [STG]).cells[STG].state
    assert (kept.percentage, kept.groups) == (0, ("role:viewer", "tenant:acme"))
    assert facts(entries()[0].after)[str(SUPPORT)]["groups"] == ["role:viewer", "tenant:acme"]
    mine = Subject(groups=frozenset({"tenant:acme"}))
    assert snapshot.is_on(SUPPORT, STG, mine)
    assert not snapshot.is_on(SUPPORT, STG)
    with pytest.raises(Invalid, match="already"):
        apply([replace(some, base_version=2)])
    apply([to(SUPPORT, False)])
    assert not snapshot.is_on(SUPPORT, STG, mine)
    assert queries.flag_row(SUPPORT, [STG]).cells[STG].state.groups == ()


@pytest.mark.parametrize(
    ("groups", "percentage", "words"),
    [(("acme",), 0, "is no group"), (("tenant:acme",), 100, "on for everyone")],
)
def test_groups_that_mean_nothing_are_refused(
    groups: tuple[str, ...], percentage: int, words: str
) -> None:
    lay()
    with pytest.raises(Invalid, match=words):
        apply(
            [SetFlag(flag=SUPPORT, on=True, base_version=1, percentage=percentage, groups=groups)]
        )


def test_a_group_that_loses_its_path_is_seen_by_the_guards() -> None:
    """A share that stays the same says nothing of those who had it by their group."""
    lay()
    acme = SetFlag(flag=BEDROCK, on=True, base_version=1, percentage=0, groups=("tenant:acme",))
    with pytest.raises(NeedsConfirm):
        apply([acme])  # everybody else's emergencies lose theirs
    apply([acme], confirmed=True)
    with pytest.raises(NeedsConfirm) as asked:
        apply([replace(acme, base_version=2, percentage=0, groups=("tenant:other",))])
    assert asked.value.facts["rule"] == "emergency_loses_path"
    wider = replace(acme, base_version=2, groups=("tenant:acme", "tenant:other"))
    apply([wider])  # takes it from nobody
