"""A current SQLite in place of Python's own, before Django loads one.

SQLite 3.7.0 to 3.51.2 can lose committed writes when a checkpoint meets a commit (the WAL-reset
bug, sqlite.org/wal.html#walresetbug); Python's own library is often that old.
"""

from __future__ import annotations

import sys

from django.core.exceptions import ImproperlyConfigured

FIXED = (3, 51, 3)
BACKPORTED = ((3, 44, 6), (3, 50, 7))


def swap_in() -> None:
    """Make `import sqlite3` give pysqlite3's current library from here on.

    Raises ImproperlyConfigured when that library has the WAL-reset bug too.
    """
    import pysqlite3
    import pysqlite3.dbapi2

    if not is_safe(pysqlite3.sqlite_version_info):
        raise ImproperlyConfigured(
            f"SQLite {pysqlite3.sqlite_version} can lose committed writes (the WAL-reset bug); "
            "install the locked requirements again: pysqlite3 0.6.1 or later brings a safe one."
        )
    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2


def is_safe(version: tuple[int, int, int]) -> bool:
    """Tell whether that SQLite release is free of the WAL-reset bug."""
    if version >= FIXED:
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in BACKPORTED)
