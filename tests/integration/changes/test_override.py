"""Overrides: with a reason and an end, followed at once, ended by themselves, booked once."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from routing import wiring
from routing.changes import change, override
from routing.changes.override import Booked, SetOverride
from routing.core.decision import PathFacts, Request, decide
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, Stale
from routing.core.flags import NOBODY, FlagName
from routing.core.values import Action, Health, Operation, Path, Priority, Reason
from routing.matrix import overrides, queries
from tests.integration.changes.ground import (
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
    lay,
    to,
)

pytestmark = pytest.mark.django_db(transaction=True)
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
EMERGENCY, STANDARD = Operation.EMERGENCY, Operation.STANDARD
WHY = "mcp answers slowly"


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()
    queries.refresh()


def put(
    operation: Operation = STANDARD, path: Path = DIRECT, *, minutes: float = 60, **more: Any
) -> Booked:
    wish = SetOverride(operation=operation, path=path, ends_at=NOW + timedelta(minutes=minutes))
    usual: dict[str, Any] = {"by": OPERATOR, "environment": STG, "reason": WHY}
    told = usual | {"health": UNKNOWN} | more
    return override.apply(now=NOW, wish=wish, **told)


def followed(operation: Operation = STANDARD, *, after_minutes: float = 0) -> tuple[Path, Reason]:
    """Return where a request goes by what this process has in memory, and why."""
    now_us = int((NOW + timedelta(minutes=after_minutes)).timestamp() * 1_000_000)
    request = Request(operation=operation, priority=Priority.MEDIUM, now_us=now_us)
    state = wiring.situation(STG, NOBODY)
    well = dict.fromkeys(Path, PathFacts(health=Health.HEALTHY))
    decided = decide(request, replace(state, paths=well))
    return decided.intended, decided.reason


def test_an_override_is_followed_until_its_end_and_not_after() -> None:
    assert followed() == (MCP, Reason.RULE)
    put()
    assert followed() == (DIRECT, Reason.OVERRIDE)
    assert followed(after_minutes=59.9) == (DIRECT, Reason.OVERRIDE)
    assert followed(after_minutes=60) == (MCP, Reason.RULE), "nobody waits for the booking"
    assert followed(Operation.KIRO_COMMUNICATION) == (MCP, Reason.RULE)


def test_it_is_booked_with_reason_end_and_the_version_of_the_set() -> None:
    done = put()
    entry = entries()[0]
    assert (entry.seq, entry.action, entry.object_id) == (
        done.entry_seq,
        Action.OVERRIDE_SET,
        "standard",
    )
    assert entry.reason == WHY
    assert facts(entry.after)["ends_at"] == (NOW + timedelta(minutes=60)).isoformat()
    assert facts(entry.facts)["overrides_version"] == 1
    assert wiring.situation(STG, NOBODY).versions.overrides == 1
    assert wiring.versions()["overrides:staging"] == 1


def test_one_is_ended_early_and_its_operation_follows_the_matrix_again() -> None:
    kept = put().row
    done = override.end(by=OPERATOR, now=NOW, environment=STG, id=kept.id, reason="over now")
    assert followed() == (MCP, Reason.RULE)
    assert (done.row.ended_by, done.row.ended_because) == (OPERATOR.id, "over now")
    assert entries()[0].action == Action.OVERRIDE_END
    with pytest.raises(Stale, match="has ended"):
        override.end(by=OPERATOR, now=NOW, environment=STG, id=kept.id, reason="over now")


def test_the_end_that_came_is_booked_once_by_whoever_sees_it() -> None:
    put()
    late = NOW + timedelta(minutes=60)
    assert queries.current().has_expired(late) and not queries.current().has_expired(NOW)
    assert override.expire(late - timedelta(seconds=1)) == 0
    booked: list[int] = []

    def look() -> None:
        try:
            booked.append(override.expire(late))
        finally:
            connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(booked) == [0, 0, 0, 1]
    ends = [e for e in entries() if e.action == Action.OVERRIDE_END]
    assert [(e.actor, e.reason) for e in ends] == [("system:overrides", "its end came")]


def test_an_operation_has_one_override_at_a_time() -> None:
    put()
    with pytest.raises(Stale, match="overridden to direct_bedrock already"):
        put(path=MCP)
    other = put(Operation.META_MONITOR, MCP)
    assert other.row.operation is Operation.META_MONITOR


def test_one_that_is_over_does_not_stand_in_the_way_of_the_next() -> None:
    put(minutes=1)
    later = NOW + timedelta(minutes=2)
    wish = SetOverride(operation=STANDARD, path=DIRECT, ends_at=later + timedelta(hours=1))
    override.apply(by=OPERATOR, now=later, environment=STG, wish=wish, reason=WHY, health=UNKNOWN)
    assert [e.action for e in entries()[:2]] == [Action.OVERRIDE_SET, Action.OVERRIDE_END]


@pytest.mark.parametrize("minutes", [0, -1, 240.1, 10_000])
def test_an_end_that_will_not_do_is_refused(minutes: float) -> None:
    with pytest.raises(Invalid, match="within 4 h"):
        put(minutes=minutes)


@pytest.mark.parametrize("environment", [DEV, STG])
def test_a_reason_is_required_everywhere(environment: Any) -> None:
    with pytest.raises(Invalid, match="reason"):
        put(environment=environment, reason="x")


def test_production_wants_its_name_typed() -> None:
    with pytest.raises(Invalid, match="Type the environment"):
        put(environment=PROD)
    assert put(environment=PROD, typed_environment="production").row.environment is PROD


def test_who_may_not_is_refused_and_that_is_booked() -> None:
    with pytest.raises(Forbidden):
        put(by=VIEWER)
    assert (entries()[0].action, entries()[0].outcome) == (Action.OVERRIDE_SET, "refused")


def test_an_override_onto_a_path_that_is_off_or_ill_asks_first() -> None:
    with pytest.raises(NeedsConfirm, match="mcp is unhealthy"):
        put(EMERGENCY, MCP, health={**PROVEN, MCP: Health.UNHEALTHY})
    apply([to(FlagName.MCP_INTEGRATION, False)], confirmed=True)
    with pytest.raises(NeedsConfirm) as asked:
        put(EMERGENCY, MCP)
    assert "emergency loses its only path" in asked.value.facts["effects"][0]
    assert put(EMERGENCY, MCP, confirmed=True).row.path is MCP


def test_a_flag_that_takes_the_path_of_an_override_asks_first() -> None:
    """The matrix alone would say that emergencies keep theirs."""
    put(EMERGENCY, MCP, health=PROVEN)
    with pytest.raises(NeedsConfirm) as asked:
        apply([to(FlagName.MCP_INTEGRATION, False)])
    assert any("emergency" in effect for effect in asked.value.facts["effects"])


def test_nobody_is_asked_where_the_override_is_over() -> None:
    put(EMERGENCY, MCP, minutes=1, health=PROVEN)
    later = NOW + timedelta(minutes=2)
    with pytest.raises(NeedsConfirm) as asked:
        change.apply(
            by=OPERATOR,
            now=later,
            environment=STG,
            sets=[to(FlagName.BEDROCK_PROVIDER, False)],
            reason=WHY,
            health=UNKNOWN,
        )
    assert any("emergency" in effect for effect in asked.value.facts["effects"])


def test_another_process_sees_it_when_it_looks() -> None:
    overrides.put(
        environment=STG,
        operation=STANDARD,
        path=DIRECT,
        reason=WHY,
        by="user:x",
        now=NOW,
        ends_at=NOW + timedelta(hours=1),
    )
    assert followed() == (MCP, Reason.RULE)
    queries.refresh_if_changed()
    assert followed() == (DIRECT, Reason.OVERRIDE)
    (row,) = overrides.open_ones(STG)
    overrides.end(row.id, by="user:x", because="done", now=NOW)
    queries.refresh_if_changed()
    assert followed() == (MCP, Reason.RULE)


def run(*words: str) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("override", *words, "--environment", "development", "--json", stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_command_sets_lists_and_ends() -> None:
    (made,) = run("set", "standard", "--path", "direct_bedrock", "--minutes", "5", "--reason", WHY)
    assert made["holds"] is True
    assert [one["id"] for one in run("list")] == [made["id"]]
    (ended,) = run("end", "standard", "--reason", "over now")
    assert ended["holds"] is False and ended["ended_because"] == "over now"
