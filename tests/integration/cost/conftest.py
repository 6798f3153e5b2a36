from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.decisions.ground import LIVE, Writer


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path, LIVE)
    yield writer
    writer.segment.close()
