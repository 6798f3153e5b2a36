"""route, explain and status: what they print, and what their exit codes promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path as Folder

import pytest
from django.conf import settings

from routing.access import tokens
from routing.access.models import Token
from routing.core.rights import Actor
from routing.core.values import Path, Role
from tests.integration.runs.served import PRODUCTION, Served, command, now, row
from tests.unit.stage import Stage

pytestmark = pytest.mark.django_db(transaction=True)


def test_route_prints_the_answer_and_fails_where_there_is_none(
    served: Served, stage: Stage
) -> None:
    row(served.url)
    status, said = command("route", "--environment", "production", "Hello there")
    assert (status, said["status"], said["text"]) == (0, 200, "Hello there")
    stage.facts = {path: {"configured": False} for path in Path}
    status, said = command("route", "--environment", "production", "Hello there")
    assert (status, said["status"], said["error"]["code"]) == (1, 503, "no_path")


def test_route_without_a_server_says_so() -> None:
    status, said = command("route", "--environment", "production", "Hello")
    assert (status, said["error"]) == (1, "unavailable")
    assert "manage.py serve" in said["message"]


def test_route_under_a_token_has_no_more_rights_than_it(
    served: Served, by: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    row(served.url)
    made = tokens.issue(
        reason="for a test", by=by, now=now(), environment=PRODUCTION, role=Role.VIEWER, name="x"
    )
    options = ("route", "--environment", "production", "--operation", "emergency", "Hello")
    status, said = command(*options, "--token", made.secret)
    assert (status, said["status"]) == (1, 403)
    monkeypatch.setattr("sys.stdin", StringIO(f"{made.secret}\n"))
    status, said = command("route", "--environment", "production", "--token", "-", "Hello")
    assert (status, said["status"]) == (0, 200)
    assert Token.objects.count() == 1  # nothing was minted


def test_explain_calls_nothing(served: Served, stage: Stage) -> None:
    row(served.url)
    status, said = command("explain", "--environment", "production", "Hello")
    assert (status, said["intended"]) == (0, "mcp")
    assert not stage.mcp.calls


@pytest.fixture
def note() -> Iterator[Folder]:
    path = Folder(settings.HYBRIDOPS_HOME) / "run" / "server.json"
    path.parent.mkdir(exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def test_status_shows_what_every_environment_runs(served: Served, note: Folder) -> None:
    process = row(served.url)
    note.write_text(json.dumps({"url": served.url, "pid": 1, "ready": True}))
    status, said = command("status", "--environment", "staging")
    assert (status, said["ready"]) == (0, True)
    assert [p["id"] for p in said["processes"]] == [process]
    assert list(said["environments"]) == ["staging"]
    assert said["environments"]["staging"]["flags"]["ENABLE_INTELLIGENT_ROUTING"] is True


@pytest.mark.parametrize(
    "left",
    [
        '{"url": "http://127.0.0.1:9", "pid": 1, "ready": true}',  # killed: nobody answers there
        '{"url": "http://127.0.0.1:9", "pid": 1, "ready": false}',
    ],
)
def test_status_believes_no_note_that_a_dead_server_left(
    served: Served, note: Folder, left: str
) -> None:
    row(served.url)
    note.write_text(left)
    status, said = command("status", "--wait", "0.1")
    assert (status, said["ready"]) == (1, False)


def test_status_without_any_server_is_not_ready(note: Folder) -> None:
    assert command("status")[0] == 1


def test_status_on_another_machine_goes_by_the_rows(served: Served, note: Folder) -> None:
    row(served.url)
    assert command("status")[0] == 0
