"""Keyed requests of the last day, from the segments of this home: what a successor must know."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from routing.core.once import KEPT_S, used_up
from routing.core.values import Failure
from routing.decisions import segment

log = logging.getLogger(__name__)
MOST_BYTES = 4 * 1024**3  # some seconds of reading; beyond it the oldest segments are left out
_MARK = b'"once":['


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A key that was used up; digests, as in `core.once`."""

    key: str
    body: str
    decision_id: str
    at: datetime


def keyed(folder: Path, now: datetime, most_bytes: int = MOST_BYTES) -> list[Kept]:
    """Return the keys used up in the last 24 hours, as far as `most_bytes` of segments tell.

    A torn or foreign file tells what stands in it up to there. Chains are not verified: that is
    `verify`'s, and a key that was made up could only refuse a request.
    """
    since = now - timedelta(seconds=KEPT_S)
    found: list[Kept] = []
    left = most_bytes
    for path in _newest_first(folder, since):
        left -= path.stat().st_size
        if left < 0:
            log.warning("Idempotency keys before those in %s are not known.", path.name)
            break
        found += [kept for kept in _of(path) if kept.at > since]
    return found


def _newest_first(folder: Path, since: datetime) -> list[Path]:
    paths = [*folder.glob("*.seg"), *folder.glob("*.shipped")]
    dated = [(path.stat().st_mtime, path) for path in paths]
    return [path for at, path in sorted(dated, reverse=True) if at > since.timestamp()]


def _of(path: Path) -> Iterator[Kept]:
    for body in segment.bodies(path):
        if _MARK not in body:
            continue
        kept = _read(json.loads(body))
        if kept is not None:
            yield kept


def _read(said: dict[str, Any]) -> Kept | None:
    failures = [Failure(failure) for _, _, failure, _ in said["attempts"] if failure]
    if not used_up(answered=said["status"] == 200, failures=failures):
        return None
    key, body = said["once"]
    at = datetime.fromisoformat(said["at"])
    return Kept(key=key, body=body, decision_id=said["id"], at=at)
