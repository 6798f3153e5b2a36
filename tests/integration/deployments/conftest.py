from __future__ import annotations

import pytest

from routing.core.values import EnvironmentName
from routing.flags import snapshot
from tests.integration.changes.ground import lay


@pytest.fixture
def ground(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All environments with their flags; the snapshot that this fills goes with the test."""
    fresh = snapshot.Snapshot(
        environments={e: snapshot.declared(e) for e in EnvironmentName},
        source=snapshot.Source.DEFAULTS,
    )
    monkeypatch.setattr(snapshot, "_current", fresh)
    lay()
