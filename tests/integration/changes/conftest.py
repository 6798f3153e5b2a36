from __future__ import annotations

import pytest

from routing.core.values import EnvironmentName, Role
from routing.flags import snapshot
from routing.matrix import queries
from tests.integration.changes import pairs
from tests.integration.changes.ground import lay


@pytest.fixture(autouse=True)
def _own_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test the unloaded snapshots, and take its own away afterwards."""
    fresh = snapshot.Snapshot(
        environments={e: snapshot.declared(e) for e in EnvironmentName},
        source=snapshot.Source.DEFAULTS,
    )
    monkeypatch.setattr(snapshot, "_current", fresh)
    monkeypatch.setattr(queries, "_current", queries.Snapshot())


@pytest.fixture
def ada() -> pairs.Person:
    """Ada, an admin, who proposes."""
    lay()
    return pairs.somebody("ada")


@pytest.fixture
def ben(ada: pairs.Person) -> pairs.Person:
    """Ben, a reviewer, who may approve and nothing else."""
    return pairs.somebody("ben", Role.REVIEWER)
