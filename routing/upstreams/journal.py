"""What reached a stand-in, one JSON line at arrival and one at the end: the other side's word.

Evidence is read from these files, so they survive restarts and never hold a prompt, only its
digest and size. A line has reached the kernel before the answer leaves: a killed stand-in loses
none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path as FilePath
from typing import Any, TextIO

from routing.core.values import EnvironmentName, Path

TURN_BYTES = 32 * 1024 * 1024
LONGEST_WORD = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one request shows of itself. `target` is the model or the tool."""

    kind: str
    target: str = ""
    nonce: str = ""
    operation: str = ""
    decision: str = ""
    prompt_sha256: str = ""
    prompt_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class _File:
    stream: TextIO
    size: int


@dataclass(slots=True, kw_only=True)
class Journal:
    """Appends to HOME/run/journal/<environment>-<path>.jsonl; `life` names this process's life.

    A file over 32 MiB is put aside as `.jsonl.1`, the one before it is dropped.
    """

    home: FilePath
    path: Path
    life: str
    turn_bytes: int = TURN_BYTES
    _files: dict[EnvironmentName, _File] = field(default_factory=dict)
    _count: int = 0

    def arrived(self, environment: EnvironmentName, seen: Seen, now: datetime) -> str:
        """Book that a request came and return its name; raises OSError if it cannot be kept."""
        self._count += 1
        request = f"{self.life}-{self._count}"
        self._write(environment, self._facts("arrived", request, environment, seen, now))
        return request

    def ended(
        self,
        request: str,
        environment: EnvironmentName,
        seen: Seen,
        now: datetime,
        *,
        status: int | None,
        ms: int,
        fault: str | None,
    ) -> None:
        """Book how it ended; `status` None means that no answer left."""
        facts = self._facts("ended", request, environment, seen, now)
        self._write(environment, facts | {"status": status, "ms": ms, "fault": fault})

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.stream.close()
        self._files.clear()

    def _facts(
        self, event: str, request: str, environment: EnvironmentName, seen: Seen, now: datetime
    ) -> dict[str, Any]:
        return {
            "at": now.isoformat(timespec="milliseconds"),
            "event": event,
            "request": request,
            "environment": str(environment),
            "path": str(self.path),
            "kind": seen.kind[:LONGEST_WORD],
            ("tool" if self.path is Path.MCP else "model"): seen.target[:LONGEST_WORD],
            "nonce": seen.nonce[:LONGEST_WORD],
            "operation": seen.operation[:LONGEST_WORD],
            "decision": seen.decision[:LONGEST_WORD],
            "prompt_sha256": seen.prompt_sha256,
            "prompt_bytes": seen.prompt_bytes,
        }

    def _write(self, environment: EnvironmentName, facts: dict[str, Any]) -> None:
        file = self._files.get(environment) or self._open(environment)
        line = json.dumps(facts, separators=(",", ":")) + "\n"
        if file.size and file.size + len(line) > self.turn_bytes:
            file = self._turn(environment, file)
        file.size += file.stream.write(line)
        file.stream.flush()

    def _name(self, environment: EnvironmentName) -> FilePath:
        return self.home / "run" / "journal" / f"{environment}-{self.path}.jsonl"

    def _open(self, environment: EnvironmentName) -> _File:
        name = self._name(environment)
        name.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _end_torn_line(name)
        stream = name.open("a", encoding="ascii")
        file = _File(stream=stream, size=name.stat().st_size)
        self._files[environment] = file
        return file

    def _turn(self, environment: EnvironmentName, file: _File) -> _File:
        file.stream.close()
        name = self._name(environment)
        name.replace(name.with_name(name.name + ".1"))
        return self._open(environment)


def _end_torn_line(name: FilePath) -> None:
    """End the half line that a full disk may have left, so that ours begins a line of its own."""
    try:
        with name.open("rb+") as file:
            if file.seek(0, 2) == 0:
                return
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
    except FileNotFoundError:
        return
