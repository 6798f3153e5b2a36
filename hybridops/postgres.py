"""Connections to PostgreSQL that give up on a server that says nothing (`routing.patience`)."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import errors

from routing import patience


class Connection(psycopg.Connection[Any]):
    """One of the pool's; what became of a question that was given up is not known."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Return what `gen` returns; raises OperationalError when whoever asks lost patience."""
        limit_s = patience.seconds()
        if limit_s is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, limit_s)
        except errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"the server did not answer within {limit_s:g} s"
            ) from None
