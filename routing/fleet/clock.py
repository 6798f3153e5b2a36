"""Whose clock says that somebody is dead.

Leases and heartbeats of several hosts are compared with each other, so one clock must judge
them: on PostgreSQL the server's own. With SQLite all processes share one machine and its clock,
and the caller's `now` is as good.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection


def read(now: datetime) -> datetime:
    """Return the database's time on PostgreSQL, `now` on SQLite.

    `clock_timestamp()` moves on inside a transaction; `now()` would stand still.
    """
    if connection.vendor != "postgresql":
        return now
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
    return at
