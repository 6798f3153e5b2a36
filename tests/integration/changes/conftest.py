from __future__ import annotations

import pytest

from routing.core.values import EnvironmentName
from routing.flags import snapshot


@pytest.fixture(autouse=True)
def _own_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test the unloaded snapshot, and take its own away afterwards."""
    fresh = snapshot.Snapshot(
        environments={e: snapshot.declared(e) for e in EnvironmentName},
        source=snapshot.Source.DEFAULTS,
    )
    monkeypatch.setattr(snapshot, "_current", fresh)
