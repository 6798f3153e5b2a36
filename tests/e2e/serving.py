"""A real server of the tests' own: started, watched, and ended with all it started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
END_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running `manage.py serve` in a HYBRIDOPS_HOME of its own."""

    url: str
    home: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes]

    def manage(self, *arguments: str) -> list[dict[str, Any]]:
        """Run a command beside the server and return its lines of JSON."""
        command = [sys.executable, "manage.py", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=ROOT, env=self.env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{arguments} ended {done.returncode}: {done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def log(self) -> str:
        return (self.home / "serve.log").read_text(errors="replace")


def start(home: Path, **more: str) -> Server:
    """Start a server, on a free port unless one is named; wait until it says that it is ready."""
    port = int(more.get("HYBRIDOPS_PORT") or _free_port())
    env = {name: value for name, value in os.environ.items() if not name.startswith("HYBRIDOPS_")}
    env |= {"HYBRIDOPS_HOME": str(home), "HYBRIDOPS_PORT": str(port), "HYBRIDOPS_SYNTHETIC": "0"}
    env |= {"HYBRIDOPS_FIRST_DEPLOYMENT": "0", **more}
    # A server that was killed left its word behind, which the next one takes back only later.
    (home / "run" / "server.json").unlink(missing_ok=True)
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(url=f"http://127.0.0.1:{port}", home=home, env=env, process=process)
    try:
        _wait_until_ready(server)
    except BaseException:
        kill(server)
        raise
    return server


def _wait_until_ready(server: Server) -> None:
    note = server.home / "run" / "server.json"
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if note.exists() and json.loads(note.read_text())["ready"]:
            return
        try:
            status = server.process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(f"serve ended with {status} before it was ready:\n{server.log()}")
    raise AssertionError(f"serve was not ready within {START_S:.0f} s:\n{server.log()}")


def stop(server: Server) -> None:
    """End the server as an operator does, and insist that it ends in time and without a trace."""
    if server.process.poll() is None:
        os.killpg(server.process.pid, signal.SIGTERM)
    try:
        server.process.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"serve outlived SIGTERM by {END_S:.0f} s:\n{server.log()}") from None
    finally:
        kill(server)
    assert "Traceback (most recent call last)" not in server.log(), server.log()


def kill(server: Server) -> None:
    """Leave nothing of the server's process group behind."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
