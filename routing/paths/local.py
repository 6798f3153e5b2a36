"""Where the local stand-ins listen: HOME/run/upstreams.json, read at every connect.

Environments store `local:bedrock` and `local:mcp`, so an address is never a settings change.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from django.conf import settings

from routing.core.values import EnvironmentName, Failure
from routing.paths.base import PathError

PREFIX = "local:"
LOOK_S = 0.02  # a stand-in that moved is found this late at most
_NONE: Mapping[str, int] = MappingProxyType({})
_looked: dict[Path, tuple[float, Mapping[str, int]]] = {}  # by home: when, and what was found


class Upstream(StrEnum):
    """The stand-ins there are."""

    BEDROCK = "bedrock"
    MCP = "mcp"


_NAMES = frozenset(Upstream)


def resolve(target: str, environment: EnvironmentName, *, home: Path | None = None) -> str:
    """Return the URL that `target` means now: itself, or a stand-in's for `local:...`.

    `home` is HYBRIDOPS_HOME unless given. Raises PathError (unreachable, nothing sent) where no
    address is known yet, and for a `local:` that names no stand-in.
    """
    if not target.startswith(PREFIX):
        return target
    name = target.removeprefix(PREFIX)
    port = ports(home or Path(settings.HYBRIDOPS_HOME)).get(name)
    if port is None or name not in _NAMES:
        raise PathError(
            Failure.UNREACHABLE,
            f"No address is known for {target}; the stand-ins are "
            f"{', '.join(PREFIX + u for u in Upstream)}, and a running server starts them.",
            sent=False,
        )
    tail = "/mcp" if name == Upstream.MCP else ""
    return f"http://127.0.0.1:{port}/{environment}{tail}"


def ports(home: Path) -> Mapping[str, int]:
    """Return the port kept for each stand-in; none where the file is absent or unreadable.

    It is asked at every call, so the file is looked at every `LOOK_S` at most, and one that did
    not change is not read again; `keep` puts a new one there.
    """
    now_s = time.monotonic()
    looked_s, found = _looked.get(home, (float("-inf"), _NONE))
    if now_s - looked_s >= LOOK_S:
        found = _look(home)
        if found:  # where nothing is known yet, the next call looks again
            _looked[home] = (now_s, found)
    return found


def _look(home: Path) -> Mapping[str, int]:
    try:
        seen = _file(home).stat()
    except FileNotFoundError:
        return _NONE
    return _read(home, (seen.st_ino, seen.st_mtime_ns, seen.st_size))


@lru_cache(maxsize=8)
def _read(home: Path, _seen: tuple[int, int, int]) -> Mapping[str, int]:
    try:
        kept = json.loads(_file(home).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    said = {name: row.get("port") for name, row in kept.items() if isinstance(row, dict)}
    return {
        name: port for name, port in said.items() if isinstance(port, int) and 0 < port < 65536
    }


def keep(home: Path, name: Upstream, port: int) -> None:
    """Keep the port of one stand-in; a reader sees the file as it was, or as it is, never half."""
    rows = {n: {"port": p} for n, p in {**ports(home), str(name): port}.items()}
    file = _file(home)
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(rows, sort_keys=True) + "\n")
    fresh.chmod(0o600)
    fresh.replace(file)
    _looked.pop(home, None)


@lru_cache(maxsize=8)
def _file(home: Path) -> Path:
    return home / "run" / "upstreams.json"
