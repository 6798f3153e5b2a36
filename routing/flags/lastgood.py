"""Last known good: what was read from the database, on disk, for a start while that is away.

One file holds one part of what is in force in one environment (`<part>-<environment>.json`): the
SHA-256 of the rest in hex, a line feed, then JSON with its form, part, environment, version, the
time of writing and the body. A reader finds the old file or the new one, never half of one, also
after a power loss. The modification time says until when the database was known to hold the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path as Folder
from typing import Any

FORM = 1
FOLDER = "lastgood"
_KEYS = frozenset({"form", "part", "environment", "version", "written_at", "body"})


class Unusable(Exception):
    """A file that must not be used; the message says why, `missing` that there is none."""

    def __init__(self, why: str, *, missing: bool = False) -> None:
        super().__init__(why)
        self.missing = missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One file's content; the database was known to hold `body` until `known_at`."""

    version: int
    body: Mapping[str, Any]
    written_at: datetime
    known_at: datetime


def write(
    folder: Folder,
    part: str,
    environment: str,
    *,
    version: int,
    body: Mapping[str, Any],
    now: datetime,
) -> None:
    """Put `body` in the place of what was kept, synced to the disk; raises OSError, ValueError."""
    said = {
        "form": FORM,
        "part": part,
        "environment": environment,
        "version": version,
        "written_at": now.astimezone(UTC).isoformat(),
        "body": body,
    }
    content = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = path(folder, part, environment)
    fresh = file.with_suffix(".new")
    handle = os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as new:
        new.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        new.flush()
        os.fsync(new.fileno())
    at = now.timestamp()
    os.utime(fresh, (at, at))
    fresh.replace(file)
    _sync(folder)


def confirm(folder: Folder, part: str, environment: str, *, now: datetime) -> None:
    """Note that the database held the same until `now`; a file that is gone is no error."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(path(folder, part, environment), (now.timestamp(), now.timestamp()))


def read(folder: Folder, part: str, environment: str, *, now: datetime) -> Kept:
    """Return what was kept; raises Unusable for anything that `write` did not leave so."""
    file = path(folder, part, environment)
    try:
        digest, _, content = file.read_bytes().partition(b"\n")
        changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except FileNotFoundError:
        raise Unusable("it is missing", missing=True) from None
    except OSError as error:
        raise Unusable(f"it cannot be read ({error.strerror})") from error
    if not content or hashlib.sha256(content).hexdigest().encode() != digest:
        raise Unusable("its checksum is wrong: it was cut off or altered")
    said = _said(content)
    if said["form"] != FORM:
        raise Unusable(f"it has form {said['form']!r}, and this code reads {FORM}")
    if (said["part"], said["environment"]) != (part, environment):
        raise Unusable(f"it is of {said['part']!r} in {said['environment']!r}")
    try:
        written = datetime.fromisoformat(said["written_at"])
        # A clock that was set back must not make old things new.
        known = changed if written <= changed <= now else written
        return Kept(
            version=int(said["version"]),
            body=dict(said["body"]),
            written_at=written,
            known_at=known,
        )
    except (TypeError, ValueError) as error:
        raise Unusable("it is not as this code writes it") from error


def path(folder: Folder, part: str, environment: str) -> Folder:
    """Return where that part of what is in force is kept."""
    return folder / f"{part}-{environment}.json"


def set_aside(folder: Folder, part: str, environment: str) -> None:
    """Keep an unusable file for whoever looks into it, out of the way of the next one."""
    file = path(folder, part, environment)
    with contextlib.suppress(OSError):
        file.replace(file.with_suffix(".bad"))


def _said(content: bytes) -> dict[str, Any]:
    try:
        said = json.loads(content)
    except ValueError as error:
        raise Unusable("it is no JSON") from error
    if not isinstance(said, dict) or set(said) != _KEYS:
        raise Unusable("it is not as this code writes it")
    return said


def _sync(folder: Folder) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
