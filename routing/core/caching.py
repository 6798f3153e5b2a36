"""Which answers may be given twice, and for how long (product.md section 3)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from routing.core.decision import Decision
from routing.core.values import Operation, Reason

# Seconds, after the reference system's caches: audits 300, monitoring 60, gaps 600, all else an
# hour. An emergency asks about this very moment, so it is never answered from before.
TTL_S: Mapping[Operation, int] = {
    Operation.EMERGENCY: 0,
    Operation.INFRASTRUCTURE: 300,
    Operation.META_MONITOR: 60,
    Operation.IMPLEMENTATION: 600,
    Operation.KIRO_COMMUNICATION: 3600,
    Operation.STANDARD: 3600,
    Operation.BACKGROUND_TASKS: 3600,
}
# Ends that the same question would meet again. A filter's word is no answer to keep.
_WHOLE = frozenset({"end_turn", "stop_sequence", "max_tokens"})


def ttl_s(operation: Operation) -> int:
    """Return for how many seconds an answer to `operation` may be repeated, 0 for never."""
    return TTL_S[operation]


def may_repeat(decision: Decision) -> bool:
    """Tell whether what the intended path said before may stand for `decision`.

    Only while that path would be asked now: who meets an outage or a switch is told of it.
    """
    if decision.reason is Reason.REFUSED_COMPLIANCE or not ttl_s(decision.row.operation):
        return False
    return decision.eligible[:1] == (decision.intended,)


def is_whole(stop_reason: str) -> bool:
    """Tell whether an answer that ended so may be kept."""
    return stop_reason in _WHOLE


def key(parts: Sequence[str]) -> bytes:
    """Return the key (SHA-256) of an answer: each part with its length, so that none shifts."""
    digest = hashlib.sha256(b"hybridops-cache/1")
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()
