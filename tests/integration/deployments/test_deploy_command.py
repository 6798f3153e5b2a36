"""`manage.py deploy` without a server: what it runs itself, waits for, and leaves to a server."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from routing.deployments import ledger
from routing.deployments.ledger_models import Operation
from tests.integration.deployments import bed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def ground(settings: Any, tmp_path: Path) -> None:
    settings.HYBRIDOPS_HOME = tmp_path
    bed.lay()


def run(*more: str) -> tuple[int, dict[str, Any], str]:
    out, said, status = StringIO(), StringIO(), 0
    try:
        call_command(
            "deploy", "--environment", "development", *more, "--json", stdout=out, stderr=said
        )
    except SystemExit as end:
        status = int(str(end.code))
    return status, json.loads(out.getvalue()), said.getvalue()


def test_without_a_server_it_runs_what_needs_none(tmp_path: Path) -> None:
    status, told, said = run("--reason", "a test")
    assert status == 1 and told["verdict"] == "inconclusive" and told["stage"] == "closed"
    assert [found["code"] for found in told["findings"]] == ["no_server"]
    assert f"{told['deployment_id']}: pending" in said
    assert Path(told["document"]).parent == tmp_path / "documents"
    assert ledger.read(told["deployment_id"]).begun_by == "command"


def test_leaves_what_a_server_began_to_a_server_and_gives_its_id(tmp_path: Path) -> None:
    operation = bed.start(by=bed.shell(), reason="a test")
    Operation.objects.filter(pk=operation.id).update(begun_by="server", stage="smoke")
    status, told, _ = run("--reason", "a test", "--timeout", "0.3")
    assert status == 1 and told["error"] == "unavailable"
    assert told["deployment_id"] == operation.id and told["stage"] == "smoke"
    assert ledger.active(bed.DEV) is not None  # it stays resumable


def test_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = bed.start(reason="the one before")
    looked: list[float] = []

    def a_little_later(seconds: float) -> None:
        looked.append(seconds)
        bed.run(other, tmp_path, bed.plan())

    monkeypatch.setattr("routing.management.commands.deploy.time.sleep", a_little_later)
    status, told, said = run("--reason", "the next one")
    assert looked and told["deployment_id"] != other.id
    assert f"{other.id} is under way" in said and status == 1


def test_gives_up_its_turn_after_the_timeout_and_names_who_has_it() -> None:
    other = bed.start(reason="the one before")
    status, told, _ = run("--reason", "the next one", "--timeout", "0")
    assert status == 1 and told["rule"] == "one_active_operation"
    assert told["operation"] == other.id
