from __future__ import annotations

from tests.integration.changes.conftest import _own_snapshot

__all__ = ["_own_snapshot"]
