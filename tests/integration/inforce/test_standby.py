"""What is kept for an outage, and what a start without the database makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.access import tokens
from routing.breakers.board import Board, Key
from routing.breakers.held import Copy
from routing.budgeting import Budgets
from routing.changes import override, tools
from routing.compliance import queries as policies
from routing.core import circuit, pinning
from routing.core.budget import Limit, Period, Unit
from routing.core.circuit import Circuit
from routing.core.cost import Charge, Price
from routing.core.flags import FlagName, defaults
from routing.core.pinning import Tool
from routing.core.values import Breaker, EnvironmentName, Operation, Path, Role
from routing.cost import policy as prices
from routing.cost import snapshot as costs
from routing.cost import store as spending
from routing.cost.meter import Meter
from routing.flags import lastgood, snapshot
from routing.fleet import queries
from routing.inforce.standby import Loaded, Restored, Standby
from routing.matrix import queries as matrices
from routing.pins import queries as pins
from tests.integration.changes.ground import ADMIN, NOW, PROVEN, SHELL, apply, lay, to

pytestmark = pytest.mark.django_db
DEV, STG, PROD = EnvironmentName
ALL = tuple(EnvironmentName)
LATER = NOW + timedelta(hours=1)


@pytest.fixture(autouse=True)
def _put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test snapshots of its own, and take them away afterwards."""
    for module in (snapshot, tokens, matrices, policies, costs):
        monkeypatch.setattr(module, "_current", module._current)
    yield


def load() -> Loaded:
    snapshot.refresh()
    tokens.load()
    matrices.refresh()
    policies.refresh()
    costs.refresh()
    return Loaded(rows=queries.environments(), pins=())


def forget() -> None:
    """Be as a process that has just begun."""
    snapshot.adopt({})
    tokens._current = tokens.Snapshot()
    matrices.adopt(matrices.Snapshot())
    policies.adopt(policies.Snapshot())
    costs.adopt(costs.Snapshot())


def standby(home: Folder, board: Board | None = None) -> Standby:
    return Standby(home, ALL, board or Board())


def kept(home: Folder, **more: Any) -> tuple[str, Loaded]:
    """Lay and change some things, keep them; return a token's secret and what was loaded."""
    lay()
    apply(sets=[to(FlagName.CACHING, False)])
    made = tokens.issue(
        reason="for a test", by=SHELL, now=NOW, environment=PROD, role=Role.VIEWER, name="jobs",
        expires_at=NOW + timedelta(days=30),
    )  # fmt: skip
    loaded = replace(load(), **more)
    assert standby(home).save(loaded, NOW) == 2 * len(ALL) + 1
    forget()
    return made.secret, loaded


def restored(home: Folder, now: datetime = LATER) -> Restored:
    return standby(home).restore(now)


def test_what_was_kept_is_in_force_again(tmp_path: Folder) -> None:
    secret, loaded = kept(tmp_path)
    found = restored(tmp_path)
    assert (found.problems, found.known_at) == ((), NOW)
    assert found.loaded == loaded
    assert not snapshot.is_on(FlagName.CACHING, STG)
    assert snapshot.is_on(FlagName.CACHING, PROD)
    assert snapshot.current().source is snapshot.Source.LAST_GOOD
    facts = tokens.find(secret, LATER)
    assert facts is not None and facts.environment is PROD


def test_what_was_kept_is_all_that_is_in_force(tmp_path: Folder) -> None:
    kept(tmp_path)
    standby(tmp_path).restore(LATER)
    after = (snapshot.current(), tokens.current(), matrices.current(), policies.current())
    load()
    before = (snapshot.current(), tokens.current(), matrices.current(), policies.current())
    assert after[0].environments == before[0].environments
    assert after[1:3] == before[1:3]
    assert [after[3].of(e) for e in ALL] == [before[3].of(e) for e in ALL]


def test_no_secret_is_kept(tmp_path: Folder) -> None:
    secret, _ = kept(tmp_path)
    for file in (tmp_path / "lastgood").iterdir():
        assert secret not in file.read_text()
        assert secret.removeprefix("hyo_") not in file.read_text()


def test_a_token_still_expires_and_a_days_old_list_lets_nobody_in(tmp_path: Folder) -> None:
    secret, _ = kept(tmp_path)
    restored(tmp_path)
    assert tokens.find(secret, NOW + timedelta(days=31)) is None
    forget()
    found = restored(tmp_path, NOW + timedelta(hours=25))
    assert [(one.part, one.instead) for one in found.problems] == [("tokens", "nobody is let in")]
    assert tokens.current().version == -1
    assert not snapshot.is_on(FlagName.CACHING, STG)  # old flags are better than none


def test_overrides_and_forced_breakers_hold_on(tmp_path: Folder) -> None:
    lay()
    override.apply(
        by=ADMIN, now=NOW, environment=STG, reason="mcp is being moved", health=PROVEN,
        confirmed=True, wish=override.SetOverride(
            operation=Operation.STANDARD, path=Path.DIRECT_BEDROCK,
            ends_at=NOW + timedelta(hours=3),
        ),
    )  # fmt: skip
    board, key = Board(), Key(environment=STG, path=Path.MCP, target="local:mcp")
    now_us = board.now_us()
    forced = circuit.force(Circuit(), Breaker.FORCED_OPEN, now_us + 7_200_000_000, now_us)
    board.take({key: Copy(circuit=forced)}, now_us)
    standby(tmp_path, board).save(load(), NOW)
    forget()
    after = Board()
    assert standby(tmp_path, after).restore(LATER).problems == ()
    assert after.state(key) is Breaker.FORCED_OPEN
    assert after.admit(key) is None
    (row,) = matrices.current().overrides_of(STG).rows
    assert row.path is Path.DIRECT_BEDROCK and row.holds(LATER)
    over = Board()
    standby(tmp_path, over).restore(NOW + timedelta(hours=4))
    assert over.state(key) is Breaker.CLOSED


PRICED = prices.Policy(
    currency="EUR",
    prices={"m": Price(input_nanos=3 * 10**9, output_nanos=15 * 10**9)},
    limits=(
        Limit(period=Period.DAY, unit=Unit.TOKENS, amount=100, hard_stop=True),
        Limit(tenant="acme", period=Period.MONTH, unit=Unit.MONEY, amount=7, hard_stop=True),
    ),
)


def test_prices_and_limits_hold_on_and_count_from_the_start(tmp_path: Folder) -> None:
    lay()
    spending.put(environment=PROD, base_version=0, wanted=PRICED, by="ada", now=NOW)
    kept(tmp_path)
    meter = Meter(lambda environment: costs.current().of(environment))
    budgets = Budgets(meter, ALL)
    budgets.begin(LATER)
    assert not meter.charge(PROD, model="m", tokens=(60, 0)).is_priced  # nothing is known yet

    restored(tmp_path)
    assert costs.current().of(PROD) == replace(PRICED, version=1)
    assert costs.current().of(STG) == prices.DEFAULT
    budgets.begin(LATER)
    assert not stops(meter)
    for seq, stopped in ((1, False), (2, True)):
        charge = meter.charge(PROD, model="m", tokens=(60, 0))
        assert charge == Charge(model="m", currency="EUR", nanos=180_000, policy=1, tokens=(60, 0))
        meter.take(PROD, "other", charge, seq, LATER)
        assert stops(meter) is stopped
    # Back again: the first record is stored, the second one waits still.
    budgets.look(1, LATER)
    assert not stops(meter)
    meter.take(PROD, "other", charge, 3, LATER)
    assert stops(meter)


def stops(meter: Meter) -> bool:
    return meter.stop(PROD, "other", emergency=False, now=LATER) is not None


def test_a_file_from_before_prices_were_kept_can_be_read(tmp_path: Folder) -> None:
    lay()
    spending.put(environment=PROD, base_version=0, wanted=PRICED, by="ada", now=NOW)
    kept(tmp_path)
    folder = tmp_path / "lastgood"
    body: dict[str, Any] = dict(lastgood.read(folder, "routing", PROD, now=LATER).body)
    said = body.pop("cost")
    lastgood.write(folder, "routing", PROD, version=1, body=body, now=NOW)
    found = restored(tmp_path)
    assert found.problems == () and [row.name for row in found.loaded.rows] == list(ALL)
    assert costs.current().of(PROD) == prices.DEFAULT
    broken = {**said, "policy": {**said["policy"], "currency": "ZZZ"}}
    lastgood.write(folder, "routing", PROD, version=1, body={**body, "cost": broken}, now=NOW)
    found = restored(tmp_path)
    assert found.problems == () and [row.name for row in found.loaded.rows] == list(ALL)
    assert costs.current().of(PROD) == prices.DEFAULT  # nothing is priced, and all goes on


def test_pins_hold_on(tmp_path: Folder) -> None:
    lay()
    seen = pinning.listing([Tool(name="route_request", description="Answers.")], "route_request")
    tools.see(now=NOW, environment=STG, target="local:mcp", seen=seen)
    rows = pins.pins()
    assert len(rows) == 1
    kept(tmp_path, pins=rows)
    assert restored(tmp_path).loaded.pins == rows


def damage(home: Folder, part: str, environment: str) -> None:
    file = lastgood.path(home / "lastgood", part, environment)
    file.write_bytes(file.read_bytes()[:-1])


def test_damaged_flags_lead_to_the_coded_defaults_there_alone(
    tmp_path: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    kept(tmp_path)
    damage(tmp_path, "flags", "staging")
    found = restored(tmp_path)
    assert snapshot.current().evaluate(STG) == defaults(STG)
    assert [(one.part, one.environment) for one in found.problems] == [("flags", "staging")]
    assert "checksum is wrong" in found.problems[0].text()
    assert [row.name for row in found.loaded.rows] == list(ALL)
    assert any(r.levelname == "CRITICAL" and "checksum" in r.message for r in caplog.records)
    assert lastgood.path(tmp_path / "lastgood", "flags", "staging").with_suffix(".bad").exists()


def test_where_the_rest_is_damaged_nobody_is_called(tmp_path: Folder) -> None:
    kept(tmp_path)
    damage(tmp_path, "routing", "production")
    found = restored(tmp_path)
    assert [row.name for row in found.loaded.rows] == [DEV, STG]
    assert [one.instead for one in found.problems] == ["no path is called there"]
    assert not snapshot.is_on(FlagName.CACHING, STG)


def test_a_whole_file_whose_content_makes_no_sense_is_refused(tmp_path: Folder) -> None:
    kept(tmp_path)
    folder = tmp_path / "lastgood"
    body: dict[str, Any] = dict(lastgood.read(folder, "flags", "staging", now=LATER).body)
    body["states"] = {"ENABLE_NOTHING": {"on": True}}
    lastgood.write(folder, "flags", "staging", version=9, body=body, now=NOW)
    found = restored(tmp_path)
    assert [one.environment for one in found.problems] == ["staging"]
    assert snapshot.current().evaluate(STG) == defaults(STG)


def test_without_any_file_the_coded_defaults_hold_and_nobody_is_let_in(tmp_path: Folder) -> None:
    (tmp_path / "lastgood").mkdir()
    found = restored(tmp_path)
    assert found.known_at is None and len(found.problems) == 2 * len(ALL) + 1
    assert {one.missing for one in found.problems} == {True}
    assert all(snapshot.current().evaluate(e) == defaults(e) for e in ALL)
    assert snapshot.current().source is snapshot.Source.DEFAULTS


def test_only_what_changed_is_written_again(tmp_path: Folder) -> None:
    lay()
    one = standby(tmp_path)
    assert one.save(load(), NOW) == 2 * len(ALL) + 1
    assert one.save(load(), NOW) == 0
    assert standby(tmp_path).save(load(), NOW) == 0  # nor by the next process
    apply(sets=[to(FlagName.CACHING, False)])
    assert one.save(load(), LATER) == 1
    said = json.loads(
        lastgood.path(tmp_path / "lastgood", "flags", "staging").read_bytes().partition(b"\n")[2]
    )
    assert said["version"] == 2
    assert datetime.fromisoformat(said["written_at"]).astimezone(UTC) == LATER


def test_a_disk_that_takes_nothing_ends_nothing(tmp_path: Folder) -> None:
    lay()
    (tmp_path / "lastgood").write_text("a file where the folder should be")
    assert standby(tmp_path).save(load(), NOW) == 0
