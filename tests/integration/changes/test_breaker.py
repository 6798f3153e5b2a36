from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from routing.audit import queries as audit
from routing.breakers import queries as breakers
from routing.breakers.models import BreakerMove
from routing.changes import breaker
from routing.changes.breaker import Done, Force
from routing.core.circuit import Forced, Why
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, RuleBroken, Stale
from routing.core.flags import FlagName
from routing.core.values import Action, Breaker, EnvironmentName, Path
from routing.fleet import clock
from tests.integration.changes.ground import (
    ADMIN,
    DEV,
    NOW,
    OPERATOR,
    PROD,
    PROVEN,
    STG,
    VIEWER,
    apply,
    facts,
    lay,
    to,
)

pytestmark = pytest.mark.django_db(transaction=True)
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
FORCED: tuple[Forced, Forced] = (Breaker.FORCED_OPEN, Breaker.FORCED_CLOSED)
OPEN, CLOSED = FORCED
HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()


def force(
    path: Path = MCP,
    state: Any = OPEN,
    *,
    lasts: timedelta = HALF_AN_HOUR,
    base: int = 0,
    **more: Any,
) -> Done:
    usual = {"by": OPERATOR, "environment": DEV, "reason": "it answers nonsense"}
    told: dict[str, Any] = {**usual, "confirmed": True, **more}
    wish = Force(path=path, state=state, lasts=lasts, base=base)
    return breaker.force(now=NOW, wish=wish, health=PROVEN, **told)


def release(base: int, **more: Any) -> Done:
    usual = {"by": OPERATOR, "environment": DEV, "reason": "mended", "path": MCP}
    told: dict[str, Any] = {**usual, **more}
    return breaker.release(now=NOW, base=base, **told)


def state(path: Path = MCP, environment: EnvironmentName = DEV) -> Breaker:
    return breaker.current(environment, path, now=NOW).state


def test_a_forced_breaker_says_who_why_and_until_when() -> None:
    done = force()
    row = breaker.current(DEV, MCP, now=NOW)
    assert (row.state, row.by, row.reason) == (OPEN, OPERATOR.id, "it answers nonsense")
    assert row.ends_at is not None and row.since is not None
    assert row.ends_at - row.since == HALF_AN_HOUR
    assert abs(row.since - clock.read(NOW)) < timedelta(seconds=5)
    assert row.entry_seq == done.entry_seq
    entry = audit.entry(stream="control", seq=done.entry_seq)
    assert (entry.action, entry.object_id, entry.reason) == (
        Action.BREAKER_FORCE,
        "mcp",
        "it answers nonsense",
    )
    assert facts(entry.before)["state"] == "closed"
    assert facts(entry.after)["state"] == "forced_open"
    assert state(DIRECT) is Breaker.CLOSED and state(MCP, STG) is Breaker.CLOSED


def test_released_it_is_tried_before_it_closes() -> None:
    done = release(force().entry_seq)
    assert (done.before.state, done.after.state) == (OPEN, Breaker.HALF_OPEN)
    assert breaker.current(DEV, MCP, now=NOW).by == ""
    moves = BreakerMove.objects.order_by("id").values_list("why", "by", "reason")
    assert list(moves) == [
        (Why.FORCED, OPERATOR.id, "it answers nonsense"),
        (Why.RELEASED, OPERATOR.id, "mended"),
    ]
    assert audit.entry(stream="control", seq=done.entry_seq).action == Action.BREAKER_RELEASE


def test_nothing_is_released_that_nobody_forces() -> None:
    with pytest.raises(Invalid, match="Nothing to release"):
        release(0)


def test_force_closed_ends_closed() -> None:
    done = force(state=CLOSED)
    assert done.after.state is CLOSED
    assert release(done.entry_seq).after.state is Breaker.CLOSED


@pytest.mark.parametrize("lasts", [timedelta(0), timedelta(hours=4, seconds=1), timedelta(days=9)])
def test_the_end_lies_within_four_hours(lasts: timedelta) -> None:
    with pytest.raises(Invalid, match="4 hours"):
        force(lasts=lasts)
    assert state() is Breaker.CLOSED


@pytest.mark.parametrize("reason", ["", "abc"])
def test_a_reason_is_needed_in_development_too(reason: str) -> None:
    with pytest.raises(Invalid, match="reason"):
        force(reason=reason)


def test_who_looked_at_something_else_is_told() -> None:
    first = force()
    with pytest.raises(Stale) as lost:
        force(state=CLOSED, base=0)
    assert lost.value.facts["current"] == {"state": "forced_open", "entry": first.entry_seq}
    with pytest.raises(Stale):
        release(first.entry_seq + 1)
    again = force(state=CLOSED, base=first.entry_seq)
    assert again.after.state is CLOSED


def test_operations_that_lose_their_path_need_a_confirmation() -> None:
    with pytest.raises(NeedsConfirm) as asked:
        force(DIRECT, confirmed=False)
    assert asked.value.facts["rule"] == "emergency_loses_path"
    assert any("emergency" in effect for effect in asked.value.facts["effects"])
    assert state(DIRECT) is Breaker.CLOSED
    assert force(DIRECT).after.state is OPEN


def test_the_last_path_is_not_held_open() -> None:
    force(DIRECT)
    with pytest.raises(RuleBroken) as refused:
        force(MCP)
    assert refused.value.facts["rule"] == "no_path_left"
    assert state(MCP) is Breaker.CLOSED


def test_a_path_whose_flag_is_off_is_no_path_that_is_left() -> None:
    apply([to(FlagName.MCP_INTEGRATION, False, environment=DEV)], environment=DEV, confirmed=True)
    with pytest.raises(RuleBroken):
        force(DIRECT)


def test_a_flag_does_not_take_the_path_that_a_forced_breaker_left() -> None:
    off = to(FlagName.BEDROCK_PROVIDER, False, environment=DEV)
    with pytest.raises(NeedsConfirm):
        apply([off], environment=DEV)
    force(MCP)
    with pytest.raises(RuleBroken) as refused:
        apply([off], environment=DEV, confirmed=True)
    assert refused.value.facts["rule"] == "no_path_left"


def test_production_wants_its_name_and_an_admin_where_something_stops() -> None:
    with pytest.raises(Invalid, match="Type the environment"):
        force(environment=PROD)
    force(environment=PROD, typed_environment="production")
    with pytest.raises(Forbidden, match="admin"):
        force(DIRECT, environment=STG, typed_environment="", by=VIEWER)
    release(
        breaker.current(PROD, MCP, now=NOW).entry_seq,
        environment=PROD,
        typed_environment="production",
    )
    with pytest.raises(Forbidden, match="only an admin"):
        force(DIRECT, environment=PROD, typed_environment="production")
    force(DIRECT, environment=PROD, typed_environment="production", by=ADMIN)


def test_who_may_not_is_refused_and_booked() -> None:
    with pytest.raises(Forbidden):
        force(by=VIEWER)
    with pytest.raises(Forbidden):
        release(0, by=VIEWER)
    rows = audit.page(filters=audit.Filters(object_type="breaker")).rows
    assert [(row.action, row.outcome) for row in rows] == [
        (Action.BREAKER_RELEASE, "refused"),
        (Action.BREAKER_FORCE, "refused"),
    ]


def test_a_refused_change_leaves_no_trace_in_the_history() -> None:
    with pytest.raises(NeedsConfirm):
        force(DIRECT, confirmed=False)
    assert not BreakerMove.objects.exists()


def test_the_preview_says_what_would_stop_and_writes_nothing() -> None:
    wish = Force(path=DIRECT, state=OPEN, lasts=HALF_AN_HOUR, base=0)
    said = breaker.preview(by=OPERATOR, now=NOW, environment=DEV, wish=wish, health=PROVEN)
    assert said.rule == "emergency_loses_path"
    assert not BreakerMove.objects.exists()


def command(*args: str) -> list[dict[str, Any]]:
    out = StringIO()
    call_command("breaker", *args, "--environment", "development", "--json", stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_the_command_forces_lists_and_releases() -> None:
    (said,) = command(
        "force", "--path", "mcp", "--state", "open", "--for", "30m", "--confirm",
        "--reason", "tried at night",
    )  # fmt: skip
    assert (said["state"], said["was"]) == ("forced_open", "closed")
    listed = {row["path"]: row for row in command("list")}
    assert listed["mcp"]["reason"] == "tried at night"
    assert listed["direct_bedrock"]["state"] == "closed"
    (said,) = command("release", "--path", "mcp", "--reason", "mended")
    assert (said["state"], said["was"]) == ("half_open", "forced_open")
    assert breakers.forced_open(DEV, now=NOW) == frozenset()


def test_the_command_refuses_in_words_and_misuse_is_not_a_refusal() -> None:
    with pytest.raises(SystemExit):
        command(
            "force", "--path", "direct_bedrock", "--state", "open", "--for", "30m",
            "--reason", "tried at night",
        )  # fmt: skip
    assert state(DIRECT) is Breaker.CLOSED
    with pytest.raises(CommandError, match="30m or 2h"):
        command("force", "--path", "mcp", "--state", "open", "--for", "soon", "--reason", "why so")
