"""A stand-in as the server runs it: its own process, its pipe held by the test."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routing.paths import line

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """A running stand-in; `home` is its own HYBRIDOPS_HOME."""

    name: str
    home: Path
    process: subprocess.Popen[bytes]
    port: int

    def url(self, environment: str = "development") -> str:
        return f"http://127.0.0.1:{self.port}/{environment}"

    def ask(self, **message: Any) -> dict[str, Any]:
        return line.ask(self.home / "run" / f"upstream-{self.name}.sock", message, 5)

    def fault(self, **fault: Any) -> None:
        answer = self.ask(do="fault", **fault)
        assert answer["ok"], answer

    def journal(self, environment: str = "development") -> list[dict[str, Any]]:
        path = {"bedrock": "direct_bedrock", "mcp": "mcp"}[self.name]
        file = self.home / "run" / "journal" / f"{environment}-{path}.jsonl"
        return [json.loads(entry) for entry in whole_lines(file)]

    def last(self) -> dict[str, Any]:
        """The newest line about the end of a request, once every request has one.

        It is written after the answer has left, so the caller may be here first.
        """
        deadline = time.monotonic() + 5
        while True:
            events = [entry["event"] for entry in self.journal()]
            if events.count("ended") == events.count("arrived"):
                return [entry for entry in self.journal() if entry["event"] == "ended"][-1]
            assert time.monotonic() < deadline, "a request never ended"


def whole_lines(file: Path) -> list[str]:
    """Return the lines of a file that somebody writes to, without one that is half written."""
    return file.read_text().rpartition("\n")[0].splitlines()


def spawn(name: str, home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the process, as the server does, and return at once."""
    return subprocess.Popen(
        [sys.executable, "-m", f"routing.upstreams.{name}", "--home", str(home), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextlib.contextmanager
def running(name: str, home: Path, *arguments: str, port: int = 0) -> Iterator[StandIn]:
    """Hold a stand-in that answers; ends it by closing its pipe, and insists that it ends."""
    with spawn(name, home, "--port", str(port), "--latency-ms", "1-3", *arguments) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said, process.stderr.read() if process.stderr else ""
            ready = json.loads(said)
            assert ready["ready"] is True
            yield StandIn(name=name, home=home, process=process, port=ready["port"])
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(5)
            finally:
                process.kill()
