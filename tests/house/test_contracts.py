"""Import contracts: complete, and broken by what they forbid."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house import tree

SAMPLES = {
    "whole": ("routing/core/values.py", "import dashboard"),
    "routing": ("routing/core/values.py", "from routing.fleet import models as fleet"),
    "pure-core": ("routing/core/values.py", "import random"),
    "door-waffle": ("routing/access/__init__.py", "import waffle.models"),
    "door-channels": (
        "routing/fleet/__init__.py",
        "from channels.layers import get_channel_layer",
    ),
    "door-boto3": ("routing/wiring.py", "import boto3"),
    "door-mcp": ("dashboard/apps.py", "import mcp"),
    "dashboard": ("dashboard/templatetags/__init__.py", "from dashboard import views"),
    "dashboard-asks": ("dashboard/apps.py", "from routing.audit import ledger"),
    "tables-access": ("routing/fleet/__init__.py", "from routing.access.models import User"),
    "tables-approvals": (
        "routing/flags/__init__.py",
        "from routing.approvals.models import Proposal",
    ),
    "tables-audit": ("routing/flags/__init__.py", "from routing.audit.models import Entry"),
    "tables-breakers": ("routing/wiring.py", "import routing.breakers.models"),
    "tables-cost": ("routing/wiring.py", "import routing.cost.models"),
    "tables-flags": ("routing/wiring.py", "from routing.flags.models import Flag"),
    "tables-glass": ("routing/wiring.py", "import routing.glass.models"),
    "tables-schedule": ("routing/wiring.py", "import routing.schedule.models"),
    "tables-fleet": ("routing/wiring.py", "from routing.fleet.models import Process"),
    "tables-compliance": ("routing/wiring.py", "import routing.compliance.models"),
    "tables-matrix": ("routing/wiring.py", "import routing.matrix.models"),
    "tables-pins": ("routing/wiring.py", "import routing.pins.models"),
    "tables-decisions": ("routing/wiring.py", "import routing.decisions.models"),
    "tables-deployments": ("routing/wiring.py", "import routing.deployments.models"),
    "tables-health": ("routing/wiring.py", "import routing.health.models"),
    "tables-support": ("routing/wiring.py", "import routing.support.models"),
    "tables-index": ("routing/wiring.py", "from routing.models import Entry"),
}


def _contracts() -> dict[str, dict[str, object]]:
    config = tomllib.loads((tree.ROOT / "pyproject.toml").read_text())
    return {str(c["id"]): c for c in config["tool"]["importlinter"]["contracts"]}


def _lint(folder: Path, contract: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(
        [*command, "--contract", contract], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for name in tree.PRODUCT:
        shutil.copytree(tree.ROOT / name, folder / name, ignore=shutil.ignore_patterns("static"))
    shutil.copy(tree.ROOT / "pyproject.toml", folder)
    return folder


def test_every_owner_of_tables_has_a_contract() -> None:
    owners = {path.parent.name for path in (tree.ROOT / "routing").glob("*/models.py")}
    assert {f"tables-{owner}" for owner in owners} <= set(_contracts())


def test_every_contract_has_a_sample() -> None:
    assert set(SAMPLES) == set(_contracts())


@pytest.mark.parametrize("contract", SAMPLES)
def test_contract_is_broken_by(contract: str, copy: Path) -> None:
    file, line = SAMPLES[contract]
    kept = (copy / file).read_text()
    try:
        (copy / file).write_text(f"{kept}\n{line}\n")
        done = _lint(copy, contract)
    finally:
        (copy / file).write_text(kept)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 broken" in done.stdout


@pytest.mark.parametrize(
    ("file", "caught"), [("routing/flags/store.py", True), ("routing/wiring.py", False)]
)
@pytest.mark.parametrize(
    "source",
    [
        "from datetime import UTC, datetime\n\nx = datetime.now(UTC)\n",
        "from django.utils import timezone\n\nx = timezone.now()\n",
        "import time\n\nx = time.time()\n",
    ],
)
def test_only_wiring_reads_the_clock(file: str, caught: bool, source: str) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251"]
    done = subprocess.run(
        [*command, "--stdin-filename", str(tree.ROOT / file), "-"],
        cwd=tree.ROOT,
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ("TID251" in done.stdout) is caught, done.stdout + done.stderr
