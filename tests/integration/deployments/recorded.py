"""The recorded documents themselves, which do not travel with this repository.

HYBRIDOPS_TEST_SAMPLES names their folder; without it, one beside the project is looked for.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SEED = "hybrid-routing-dev-1760086145620"
SEED_MARKDOWN = f"hybrid-routing-deployment-{SEED}.md"
SEED_SUMMARY = "hybrid-routing-deployment-summary-1760086145664.json"
FOREIGN = "bedrock-activation-production-deployment-completion-report.md"


def folder() -> Path:
    """Return the folder of the recorded documents; skip the test where there is none."""
    named = os.environ.get("HYBRIDOPS_TEST_SAMPLES")
    found = Path(named) if named else next(ROOT.parent.glob("*/domain/samples"), None)
    if found is None or not (found / SEED_MARKDOWN).is_file():
        pytest.skip("no recorded documents here; HYBRIDOPS_TEST_SAMPLES names their folder")
    return found


def paths() -> list[Path]:
    """Return the recorded documents by name."""
    return sorted(path for path in folder().iterdir() if path.suffix in (".md", ".json"))
