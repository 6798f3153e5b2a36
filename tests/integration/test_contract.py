"""What docs/commands.md says that a command prints, held against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import serving
from tests.e2e.serving import Server
from tests.house.contract import CONTRACT
from tests.house.printed import Printed
from tests.unit.deployments.papers import markdown

# The server of this test has its own SQLite file; the test database is not asked.
pytestmark = pytest.mark.only_on("sqlite")
SHAPES = [(name, printed) for name, shapes in CONTRACT.items() for printed in shapes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = serving.start(tmp_path_factory.mktemp("home"))
    yield running
    serving.stop(running)


@pytest.fixture(scope="module")
def told(server: Server) -> list[dict[str, Any]]:
    """What each command line answered, in the order of SHAPES."""
    (server.home / "deployment.md").write_text(markdown())
    done = subprocess.run(
        [sys.executable, "-m", "tests.asking"],
        input=json.dumps([[name, *printed.ask] for name, printed in SHAPES]),
        cwd=server.home,
        env=server.env | {"PYTHONPATH": str(serving.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    "number", range(len(SHAPES)), ids=[f"{name}: {printed.when}" for name, printed in SHAPES]
)
def test_prints_what_its_document_says(told: list[dict[str, Any]], number: int) -> None:
    printed: Printed = SHAPES[number][1]
    status, objects = told[number]["status"], told[number]["objects"]
    assert status == printed.status, objects
    assert objects
    assert [set(one) for one in objects] == [set(printed.keys)] * len(objects)
