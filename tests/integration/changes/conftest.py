from __future__ import annotations

import pytest

from routing.core.values import EnvironmentName
from routing.flags import snapshot
from routing.matrix import queries


@pytest.fixture(autouse=True)
def _own_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test the unloaded snapshots, and take its own away afterwards."""
    fresh = snapshot.Snapshot(
        environments={e: snapshot.declared(e) for e in EnvironmentName},
        source=snapshot.Source.DEFAULTS,
    )
    monkeypatch.setattr(snapshot, "_current", fresh)
    monkeypatch.setattr(queries, "_current", queries.Snapshot())
