"""Who is in a share, of a flag or of a split: the same subject always, more as it grows."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from routing.core.flags import FlagName, State, Subject
from routing.core.values import EnvironmentName, Operation

# A constant of the product: another salt would move every subject at once.
SALT = b"hybridops-rollout/1"
SPLIT_SALT = b"hybridops-split/1"
SHARES = 100


@lru_cache(maxsize=8192)
def bucket(flag: FlagName, subject: str) -> int:
    """Return the bucket of `subject` for `flag`, 0 to 99, by a salted SHA-256 of both.

    The flag is part of it, so that the same subjects are not first in line for every flag.
    """
    return _place(SALT, flag, subject)


@lru_cache(maxsize=8192)
def split_bucket(environment: EnvironmentName, operation: Operation, subject: str) -> int:
    """Return the bucket of `subject` for the split of `operation` in `environment`, 0 to 99.

    It does not depend on the row, so that a share that grows never moves anybody back.
    """
    return _place(SPLIT_SALT, f"{environment}/{operation}", subject)


def _place(salt: bytes, about: str, subject: str) -> int:
    name = about.encode()
    text = b"%s\0%d\0%s\0%s" % (salt, len(name), name, subject.encode("utf-8", "surrogatepass"))
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % SHARES


def is_in(flag: FlagName, subject: str, percentage: int) -> bool:
    """Tell whether `subject` is among the `percentage` (0 to 100) that get `flag`."""
    return bucket(flag, subject) < percentage


def gets(flag: FlagName, state: State, subject: Subject) -> bool:
    """Tell whether `subject` gets `flag` in that `state`."""
    if not state.on:
        return False
    if state.percentage == SHARES:
        return True
    if state.groups and not subject.groups.isdisjoint(state.groups):
        return True
    return state.percentage > 0 and bucket(flag, subject.name) < state.percentage


def for_everybody(state: State) -> bool | None:
    """Return what everybody gets in that `state`, None where it differs."""
    if not state.on:
        return False
    if state.percentage == SHARES:
        return True
    return None if state.percentage > 0 or state.groups else False


def ends(before: int, after: int) -> frozenset[tuple[bool, bool]]:
    """Return what a change from `before` to `after` percent does to anyone: (had it, has it).

    A bucket keeps its place, so nobody loses a flag while its share grows, or gains it while it
    shrinks.
    """
    thresholds = {0, before, after} - {SHARES}
    return frozenset((at < before, at < after) for at in thresholds)


def member_ends(before: State, after: State) -> frozenset[tuple[bool, bool]]:
    """Return what a change does to members of the groups of either state: (had it, has it)."""
    had, has = set(before.favoured), set(after.favoured)
    found = {(True, True)} if had and has else set()
    if had - has:
        found |= {(True, on) for on in _either(after.percentage if after.on else 0)}
    if has - had:
        found |= {(on, True) for on in _either(before.percentage if before.on else 0)}
    return frozenset(found)


def _either(percentage: int) -> set[bool]:
    """Return what subjects get of a share: nobody of 0, everybody of 100, both between."""
    return {on for on, some in ((True, percentage > 0), (False, percentage < SHARES)) if some}
