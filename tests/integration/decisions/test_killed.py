"""A server killed while it writes hard, and successors killed while they take over."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from routing.core import chain

# The processes have tables of their own, whatever database the tests run on.
pytestmark = [pytest.mark.only_on("sqlite"), pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[3]
STREAM = "decision:p:first"
LEAST, MOST_S = 300, 60.0


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    plain = {n: v for n, v in os.environ.items() if not n.startswith(("HYBRIDOPS_", "DATABASE_"))}
    made = plain | {"HYBRIDOPS_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=made, check=True, capture_output=True)
    return made


def begin(env: dict[str, str], what: str, folder: Path, boot: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.integration.decisions.writer", what, str(folder), boot]
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE)


def kill(process: subprocess.Popen[bytes]) -> list[str]:
    """Kill it and return the whole lines that it said."""
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate(timeout=MOST_S)
    return said.decode().split("\n")[:-1]


def acknowledged(env: dict[str, str], folder: Path) -> set[int]:
    """Have a process write hard, kill it in the middle; return what it acknowledged."""
    process = begin(env, "write", folder, "first")
    assert process.stdout is not None
    early = [int(process.stdout.readline()) for _ in range(LEAST)]
    return {*early, *map(int, kill(process))}


def rows(home: Path) -> list[tuple[int, bytes, bytes, bytes, str]]:
    with sqlite3.connect(home / "hybridops.sqlite3") as tables:
        found = tables.execute(
            "SELECT seq, body, prev, hash, kind FROM routing_decision WHERE stream = ? "
            "ORDER BY seq",
            (STREAM,),
        )
        return [(seq, bytes(b), bytes(p), bytes(h), kind) for seq, b, p, h, kind in found]


def spent(home: Path) -> tuple[int, int]:
    """Return how many decisions were counted, and what they cost."""
    with sqlite3.connect(home / "hybridops.sqlite3") as tables:
        found = tables.execute("SELECT sum(requests), sum(nanos) FROM routing_spend").fetchone()
        return int(found[0]), int(found[1])


def test_nothing_acknowledged_is_lost_though_writer_and_takeovers_are_killed(
    env: dict[str, str], tmp_path: Path, seed: int
) -> None:
    rng, folder = random.Random(seed), tmp_path / "segments"
    promised = acknowledged(env, folder)
    assert len(promised) >= LEAST
    for number in range(3):
        successor = begin(env, "ship", folder, f"next{number}")
        assert successor.stdout is not None
        for _ in range(1 if number == 0 else rng.randrange(2, 6)):  # the first while it closes
            assert successor.stdout.readline()
        kill(successor)
    last = begin(env, "ship", folder, "last")
    last.communicate(timeout=MOST_S)
    assert last.returncode == 0
    found = rows(Path(env["HYBRIDOPS_HOME"]))
    assert [seq for seq, *_ in found] == list(range(1, len(found) + 1)), "gapless, each once"
    assert promised <= {seq for seq, *_ in found}
    for (_, _, _, before, _), (seq, body, prev, link, _) in pairwise(found):
        assert prev == before and chain.link(STREAM, seq, prev, body) == link
    assert [kind for *_, kind in found].count("closed") == 1
    assert found[-1][4] == "closed" and json.loads(found[-1][1])["by"].startswith("decision:p:")
    assert not list(folder.glob("p-first*.seg")), "all of its parts are put aside"
    decided = [kind for *_, kind in found].count("decision")
    assert spent(Path(env["HYBRIDOPS_HOME"])) == (decided, 7 * decided), "each counted once"
