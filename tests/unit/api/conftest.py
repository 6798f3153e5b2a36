from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as Folder

import pytest

from tests.unit.api import calls


@pytest.fixture
def caller(tmp_path: Folder) -> Iterator[calls.Caller]:
    with calls.opened(tmp_path) as made:
        yield made
