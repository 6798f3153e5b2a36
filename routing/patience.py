"""How long one question to the database may take before it counts as unanswered.

A server that is frozen, or a network that swallows everything, leaves a client waiting for ever:
no timeout on the server's side helps. So whoever cannot wait says for how long it would; the
connection (`hybridops.postgres`) is given up after that. Who says nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CHANGE_S = 1.5  # whoever changes something is told within 2 s that it is not certain
READ_S = 5.0
LOOP_S = 10.0
MIGRATE_S = 600.0  # a migration may make an index of a large table

_within: ContextVar[float | None] = ContextVar("within", default=None)


def seconds() -> float | None:
    """Return how long who asks now would wait, None for as long as it takes."""
    return _within.get()


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    """Let no question that is asked in this block wait longer than `limit_s`."""
    token = _within.set(limit_s)
    try:
        yield
    finally:
        _within.reset(token)
