"""`manage.py support`: the same rules as the page, one JSON object, honest exit codes."""

from __future__ import annotations

import json
from pathlib import Path as Folder
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from routing import wiring
from routing.audit import guards
from routing.core.values import Action
from routing.support import mode
from tests.integration.changes.ground import STG, entries, lay
from tests.integration.support.ground import WHY, home, measure, process, switch

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _laid(_own_snapshot: None, settings: Any, tmp_path: Folder) -> None:
    lay()
    settings.HYBRIDOPS_HOME = home(tmp_path)
    settings.HYBRIDOPS_VERSION = "1.0"


def run(capsys: Any, *args: str) -> tuple[int, dict[str, Any], str]:
    """Return exit status, the one JSON line and what was said to the person."""
    capsys.readouterr()
    status = 0
    try:
        call_command("support", *args, "--json")
    except SystemExit as ended:
        status = int(ended.code or 0)
    told = capsys.readouterr()
    (line,) = told.out.splitlines()
    return status, json.loads(line), told.err


def test_tells_the_state(capsys: Any) -> None:
    status, told, _ = run(capsys, "status", "--environment", "staging")
    assert status == 0
    assert (told["active"], told["flag_on"], told["session"]) == (False, False, None)
    assert told["last_audit"] is None and "ENABLE_BEDROCK_SUPPORT_MODE" in told["sentence"]


def test_refuses_to_activate_with_the_flag_off_and_books_the_reason(capsys: Any) -> None:
    where = ("--environment", "staging", "--reason", "nonce-41")
    status, told, said = run(capsys, "activate", *where)
    assert (status, told["error"], told["rule"]) == (1, "rule_broken", "support_flag_off")
    assert told["message"] in said
    assert (entries()[0].outcome, entries()[0].reason) == ("refused", "nonce-41")


def test_activates_and_deactivates(capsys: Any) -> None:
    switch(True)
    where = ("--environment", "staging", "--reason", WHY)
    status, told, _ = run(capsys, "activate", *where, "--hours", "2")
    assert (status, told["active"]) == (0, True)
    assert told["session"]["ends_at"] and told["session"]["opened_by"].startswith("shell:")
    status, told, _ = run(capsys, "activate", *where)
    assert (status, told["error"]) == (1, "stale")
    status, told, _ = run(capsys, "deactivate", *where)
    assert (status, told["active"], told["session"]) == (0, False, None)
    assert entries()[0].action == Action.SUPPORT_DEACTIVATE


def test_hours_are_within_a_day(capsys: Any) -> None:
    with pytest.raises(CommandError):
        call_command("support", "activate", "--environment", "staging", "--hours", "25")


def test_audits_with_status_0_when_nothing_is_wrong(capsys: Any) -> None:
    measure(wiring.now())
    process(wiring.now())
    status, told, _ = run(capsys, "audit", "--environment", "development")
    assert (status, told["overall"], told["findings"]) == (0, "healthy", [])
    _, later, _ = run(capsys, "status", "--environment", "development")
    assert later["last_audit"]["id"] == told["id"]


def test_an_audit_that_finds_something_critical_exits_with_1(capsys: Any, settings: Any) -> None:
    (settings.HYBRIDOPS_HOME / "keys" / "secret_key").chmod(0o644)
    status, told, _ = run(capsys, "audit", "--environment", "development")
    assert (status, told["overall"]) == (1, "critical")
    assert told["findings"][0]["check"] == "keys.private"


def test_an_audit_that_could_not_look_everywhere_exits_with_1(capsys: Any) -> None:
    """Nobody probes without a server, and what was found does not hide what was not looked at."""
    status, told, _ = run(capsys, "audit", "--environment", "development")
    assert [one["check"] for one in told["findings"] if one["unchecked"]] == ["paths.credentials"]
    assert told["overall"] == "warning", "something else was found, and that was seen"
    assert (status, told["ok"]) == (1, False)


def test_the_sum_tells_a_person_how_many_could_not_look(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        call_command("support", "audit", "--environment", "development")
    assert capsys.readouterr().out.strip().endswith("findings; 1 could not look.")


def test_a_broken_installation_is_audited_and_not_switched(capsys: Any) -> None:
    switch(True)
    guards.lift(connection)
    try:
        where = ("--environment", "staging", "--reason", WHY)
        status, told, _ = run(capsys, "activate", *where)
        assert (status, told["error"]) == (1, "broken")
        assert not mode.status(STG, wiring.now()).active
        _, told, _ = run(capsys, "audit", "--environment", "staging")
        assert "audit.guards" in [one["check"] for one in told["findings"]]
    finally:
        guards.install(connection)


def test_tells_a_person_each_check_and_the_sum(capsys: Any) -> None:
    measure(wiring.now())
    process(wiring.now())
    call_command("support", "audit", "--environment", "development")
    told = capsys.readouterr()
    assert told.out.strip() == "healthy: 20 checks, 0 findings."
    assert "1 of 20: the database answers, and soon" in told.err
