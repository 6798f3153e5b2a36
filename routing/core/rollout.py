"""Who gets a flag that is on for a share: the same subject always, more subjects as it grows."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from routing.core.flags import FlagName

# A constant of the product: another salt would move every subject at once.
SALT = b"hybridops-rollout/1"
SHARES = 100


@lru_cache(maxsize=8192)
def bucket(flag: FlagName, subject: str) -> int:
    """Return the bucket of `subject` for `flag`, 0 to 99, by a salted SHA-256 of both.

    The flag is part of it, so that the same subjects are not first in line for every flag.
    """
    name = flag.encode()
    text = b"%s\0%d\0%s\0%s" % (SALT, len(name), name, subject.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % SHARES


def is_in(flag: FlagName, subject: str, percentage: int) -> bool:
    """Tell whether `subject` is among the `percentage` (0 to 100) that get `flag`."""
    return bucket(flag, subject) < percentage


def ends(before: int, after: int) -> frozenset[tuple[bool, bool]]:
    """Return what a change from `before` to `after` percent does to anyone: (had it, has it).

    A bucket keeps its place, so nobody loses a flag while its share grows, or gains it while it
    shrinks.
    """
    thresholds = {0, before, after} - {SHARES}
    return frozenset((at < before, at < after) for at in thresholds)
