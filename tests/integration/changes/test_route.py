from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import call_command

from routing.audit import queries as audit
from routing.changes import route
from routing.changes.route import Published, SetRoute
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, RuleBroken, Stale
from routing.core.flags import FlagName
from routing.core.values import Action, Operation, Path
from routing.matrix import queries, store
from tests.integration.changes.ground import (
    DEV,
    NOW,
    OPERATOR,
    PROD,
    STG,
    VIEWER,
    apply,
    lay,
    to,
)

pytestmark = pytest.mark.django_db(transaction=True)
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()
    queries.refresh()


def move(
    operation: Operation = Operation.STANDARD,
    primary: Path = DIRECT,
    fallback: Path | None = MCP,
    *,
    base: int = 1,
    **more: object,
) -> Published:
    wanted = SetRoute(operation=operation, primary=primary, fallback=fallback, base_version=base)
    told: dict[str, object] = {"by": OPERATOR, "environment": DEV, "reason": "trying it"} | more
    return route.apply(now=NOW, route=wanted, **told)  # type: ignore[arg-type]


def test_publishes_a_new_version_books_it_and_keeps_the_old_one() -> None:
    done = move()
    assert done.version == 2
    assert queries.current().of(DEV).row(Operation.STANDARD).primary is DIRECT
    entry = audit.entry(stream="control", seq=done.entry_seq)
    assert (entry.object_type, entry.object_id) == ("route", "standard")
    assert isinstance(entry.before, dict) and entry.before["primary"] == "mcp"
    assert isinstance(entry.after, dict) and entry.after["primary"] == "direct_bedrock"
    assert [v.version for v in queries.history(DEV)] == [2]
    assert queries.current().of(STG).version == 1, "another environment is not touched"


def test_the_slower_of_two_is_told_what_won() -> None:
    move()
    with pytest.raises(Stale) as lost:
        move(base=1)
    assert lost.value.facts["current"] == 2


def test_an_emergency_gets_no_fallback() -> None:
    with pytest.raises(Invalid, match="never falls back"):
        move(Operation.EMERGENCY, MCP, DIRECT)
    assert store.read(DEV).version == 1


def test_an_operation_that_would_lose_its_path_needs_a_confirmation() -> None:
    apply([to(FlagName.MCP_INTEGRATION, False, environment=DEV)], environment=DEV, confirmed=True)
    with pytest.raises(NeedsConfirm) as asked:
        move(Operation.INFRASTRUCTURE, MCP, None)
    assert any("infrastructure" in effect for effect in asked.value.facts["effects"])
    assert move(Operation.INFRASTRUCTURE, MCP, None, confirmed=True).version == 2


def test_the_last_path_of_all_is_not_taken_away() -> None:
    apply([to(FlagName.MCP_INTEGRATION, False, environment=DEV)], environment=DEV, confirmed=True)
    left = [op for op in Operation if op is not Operation.EMERGENCY]
    base = 1
    for operation in left:
        if store.read(DEV).row(operation).primary is DIRECT:
            base = move(operation, MCP, None, base=base, confirmed=True).version
    with pytest.raises(RuleBroken) as refused:
        move(Operation.EMERGENCY, MCP, None, base=base, confirmed=True)
    assert refused.value.facts["rule"] == "no_path_left"


def test_who_may_not_and_what_is_missing_is_refused_and_booked() -> None:
    with pytest.raises(Forbidden):
        move(by=VIEWER)
    with pytest.raises(Invalid, match="reason"):
        move(environment=STG, reason="")
    with pytest.raises(Invalid, match="Type the environment"):
        move(environment=PROD, reason="moving it for the test")
    refused = audit.page(filters=audit.Filters(action=Action.MATRIX_CHANGE)).rows
    assert [row.outcome for row in refused] == ["refused"] * 3


def test_the_command_says_before_and_after() -> None:
    out = StringIO()
    call_command(
        "set_route", "emergency", "--environment", "development", "--primary", "mcp", "--json",
        stdout=out,
    )  # fmt: skip
    said = json.loads(out.getvalue())
    assert (said["before"]["primary"], said["after"]["primary"]) == ("direct_bedrock", "mcp")
    assert said["after"]["fallback"] is None
    assert store.read(DEV).row(Operation.EMERGENCY).primary is MCP


def test_another_process_sees_the_new_version_when_it_looks() -> None:
    assert queries.current().of(DEV).version == 1
    store.publish(environment=DEV, base_version=1, matrix=store.read(DEV), by="user:x", now=NOW)
    queries.refresh_if_changed()
    assert queries.current().of(DEV).version == 2
