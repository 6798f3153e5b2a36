"""A request that is to be made once: what its key is known by, and which end uses the key up.

Neither key nor body is kept, only digests. Who was told to send the request again may do so under
the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from routing.core.values import Failure

KEPT_S = 24 * 3600

# The other side may have acted, and whoever asks again would make it act twice.
_IN_DOUBT = frozenset({Failure.OUTCOME_UNKNOWN, Failure.TOOL_ERROR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """One keyed request: digests of token and key, and of what was asked; its decision's id."""

    key: str
    body: str
    decision_id: str


def digest(*parts: str | bytes | None) -> str:
    """Return one digest of all parts; each is hashed with its length, so none can be shifted."""
    found = hashlib.sha256()
    for part in parts:
        data = b"" if part is None else part.encode() if isinstance(part, str) else part
        found.update((part is not None).to_bytes(1, "big") + len(data).to_bytes(8, "big") + data)
    return found.hexdigest()


def used_up(*, answered: bool, failures: Sequence[Failure]) -> bool:
    """Tell whether a request that ended so must not be made again under its key."""
    return answered or not _IN_DOUBT.isdisjoint(failures)
