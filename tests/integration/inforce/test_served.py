"""A real server on PostgreSQL: who follows a change, a kill file, an outage, a start in it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path as Folder
from typing import Any

import httpx2
import pytest

from routing.flags import lastgood
from tests.chaos import outage
from tests.e2e import serving
from tests.e2e.serving import Server
from tests.integration.breakers.wire import Wire

pytestmark = [pytest.mark.only_on("postgresql"), pytest.mark.timeout(700)]
WITHIN_S = 120.0
PLACE, OTHER = "development", "staging"


@pytest.fixture
def laid(tmp_path: Folder) -> Iterator[tuple[Server, Wire]]:
    tmp_path.chmod(0o700)
    with outage.database(f"hybridops_served_{os.getpid()}") as (url, wire):
        env = {
            "DATABASE_URL": url,
            "HYBRIDOPS_ENVIRONMENTS": f"{PLACE},{OTHER}",
        }
        server = serving.start(tmp_path, **env)
        try:
            yield server, wire
        finally:
            serving.kill(server)


class Door:
    def __init__(self, server: Server) -> None:
        self._server = server
        self._secrets: dict[str, str] = {}

    def open(self, place: str) -> None:
        asked = ("--environment", place, "--role", "viewer", "--name", "tests")
        (made,) = self._server.manage("create_token", *asked, "--reason", "for a test")
        self._secrets[place] = made["secret"]

    def explain(self, place: str) -> httpx2.Response:
        with httpx2.Client(base_url=self._server.url, trust_env=False, timeout=30) as http:
            return http.post(
                "/api/v1/explain",
                headers={"Authorization": f"Bearer {self._secrets[place]}"},
                json={"prompt": "Hello", "operation": "standard"},
            )

    def state(self, place: str) -> dict[str, Any]:
        answer = self.explain(place)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["state"]
        return found


def until(what: str, holds: Callable[[], bool]) -> None:
    ends, pause = time.monotonic() + WITHIN_S, 0.05
    while not holds():
        assert time.monotonic() < ends, what
        threading.Event().wait(pause)


def test_a_server_follows_obeys_and_outlives_its_database(laid: tuple[Server, Wire]) -> None:
    server, wire = laid
    door = Door(server)
    for place in (PLACE, OTHER):
        door.open(place)
    (done,) = server.manage(
        "set_flag", "--environment", PLACE, "--flag", outage.FLAG, "--on", "--wait", "30"
    )
    told = done["propagation"]
    assert told["complete"] and told["version"] == done["flags_version"], told
    assert told["sentence"].startswith(f"1 of 1 process at version {told['version']} after")
    assert door.state(PLACE)["flags"][outage.FLAG] is True

    kill = server.home / "kill" / PLACE
    kill.write_text("direct_only")
    until("the kill file is obeyed", lambda: door.state(PLACE)["kill"] == "direct_only")
    assert door.state(OTHER)["kill"] is None

    file = lastgood.path(server.home / "lastgood", "flags", OTHER)
    until("the change is kept", lambda: b'"version":2' in _kept(server.home, PLACE))
    wire.cut()
    until("it says how old it is", lambda: outage.STALE in door.explain(PLACE).headers)
    assert door.state(PLACE)["flags"][outage.FLAG] is True
    kill.unlink()
    until("the kill file is gone", lambda: door.state(PLACE)["kill"] is None)

    serving.kill(server)
    file.write_bytes(file.read_bytes()[:-9])
    again = serving.start(
        server.home, **_own(server), HYBRIDOPS_PORT=server.url.rpartition(":")[2]
    )
    try:
        _after_the_restart(again, door, wire)
    finally:
        serving.kill(again)


def _own(server: Server) -> dict[str, str]:
    names = ("DATABASE_URL", "HYBRIDOPS_ENVIRONMENTS")
    return {name: server.env[name] for name in names}


def _kept(home: Folder, place: str) -> bytes:
    return lastgood.path(home / "lastgood", "flags", place).read_bytes()


def _after_the_restart(server: Server, door: Door, wire: Wire) -> None:
    assert door.state(PLACE)["flags"][outage.FLAG] is True  # as kept, not as declared
    assert door.state(OTHER)["flags_version"] == 0  # as declared: its file was damaged
    assert outage.STALE in door.explain(OTHER).headers
    assert "its checksum is wrong" in server.log()
    wire.mend()
    until("the database is seen", lambda: outage.STALE not in door.explain(PLACE).headers)
    assert door.state(OTHER)["flags_version"] > 0
    booked: list[tuple[str, str]] = []

    def is_booked() -> bool:
        booked[:] = outage.entries(server.env["DATABASE_URL"])
        return len(booked) >= 4

    until("all of it is booked", is_booked)
    assert booked == [
        ("kill.seen", "done"),
        ("kill.gone", "done"),
        ("standby.serve", "done"),
        ("standby.serve", "failed"),
    ]
