"""What an audit looks at: one environment of one installation, at one moment."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from routing.core.values import EnvironmentName


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much of a disk is free; inodes are 0 of 0 where the file system does not count them."""

    free_bytes: int
    total_bytes: int
    free_inodes: int
    total_inodes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The facts that checks start from. `home` is HYBRIDOPS_HOME, `code_version` the code's here.

    `slow_ms` is how long the database may take for the smallest question, `trail_limit` up to how
    many entries the whole trail is verified, `proc` where the kernel tells of processes.
    """

    environment: EnvironmentName
    now: datetime
    home: Path
    code_version: str
    room: Callable[[Path], Room]
    slow_ms: int = 250
    trail_limit: int = 20_000
    proc: Path = Path("/proc")


def room(folder: Path) -> Room:
    """Return how much is free for us on the disk that holds `folder`; raises OSError."""
    said = os.statvfs(folder)
    return Room(
        free_bytes=said.f_bavail * said.f_frsize,
        total_bytes=said.f_blocks * said.f_frsize,
        free_inodes=said.f_favail,
        total_inodes=said.f_files,
    )
