"""Random words for ids that only have to differ: from the system's source, many at a time.

Each question to the system lets the interpreter go, and under load the loop then waits until
another thread gives it back. Secrets are made by `secrets`, one at a time.
"""

from __future__ import annotations

import os
import secrets

AT_ONCE = 256
DIGITS = 16

_kept: list[str] = []


def word() -> str:
    """Return 16 hexadecimal digits (64 bits) that nobody else was given; any thread may ask."""
    try:
        return _kept.pop()
    except IndexError:
        digits = secrets.token_hex(AT_ONCE * DIGITS // 2)
        first, *rest = (digits[at : at + DIGITS] for at in range(0, len(digits), DIGITS))
        _kept.extend(rest)
        return first


os.register_at_fork(after_in_child=_kept.clear)  # a child must not give the same ones
