from __future__ import annotations

from pathlib import Path as Folder

import pytest

from routing.support.site import Site
from tests.integration.changes.conftest import _own_snapshot
from tests.integration.support.ground import healthy

__all__ = ["_own_snapshot", "place"]


@pytest.fixture
def place(tmp_path: Folder, _own_snapshot: None) -> Site:
    """A healthy installation, in which no check finds anything."""
    return healthy(tmp_path)
