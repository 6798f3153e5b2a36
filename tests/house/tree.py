"""The project's own files, as a fresh clone has them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("hybridops", "dashboard", "routing")
LEFT_OUT = {"var", "node_modules", "__pycache__"}
DOTTED = {".ci", ".gitignore"}
BINARY = {".woff2", ".png", ".ico", ".jpg", ".gz", ".sqlite3"}


def _walk(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name in LEFT_OUT or (entry.name.startswith(".") and entry.name not in DOTTED):
            continue
        if entry.is_dir():
            yield from _walk(entry)
        elif entry.suffix not in BINARY | {".pyc"}:
            yield entry


@functools.cache
def texts() -> dict[str, str]:
    """Return every text file's content by its path from the root, with forward slashes."""
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in _walk(ROOT)}


def packages_below(folder: str) -> set[str]:
    """Return the packages below `folder`, as paths relative to it."""
    found = (path.parent.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*.py"))
    return {path.as_posix() for path in found if path.as_posix() != "."}
