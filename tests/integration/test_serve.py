"""`manage.py serve` refuses in words, with status 1, before anything is made."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.only_on("sqlite")  # each server has a home, or a database, of its own


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


def serve(home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "serve", "--json"],
        cwd=ROOT,
        env=os.environ | {"HYBRIDOPS_HOME": str(home)} | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_port_that_is_taken_leaves_no_account_behind(taken: int, tmp_path: Path) -> None:
    done = serve(tmp_path, HYBRIDOPS_PORT=str(taken))
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "unavailable"
    assert f"cannot listen on 127.0.0.1:{taken}" in done.stderr
    assert "HYBRIDOPS_PORT" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "hybridops.sqlite3").exists()


def test_a_database_that_is_away_is_said_in_words(tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    done = serve(tmp_path, DATABASE_URL=url, HYBRIDOPS_PORT=port)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"] == "unavailable"
    assert "The database did not answer" in done.stderr
    assert "Traceback" not in done.stderr
