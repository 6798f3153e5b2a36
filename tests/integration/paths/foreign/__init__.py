"""Servers that others wrote: installed as locked beside this file, started, ended.

They are kept in the virtual environment's folder, one folder for each state of the locks, so that
only the first run waits for the registry.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KEPT = Path(sys.prefix) / "foreign"
INSTALL_S = 300
START_S = 60
# What tools say where no registry answers: then nothing can be installed, and nothing is wrong.
_OFFLINE = ("ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN", "dns error", "Connect")


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """One server: how it is installed, started and called, by how many calls at once.

    `locks` are the files that it is installed from and started with.
    """

    name: str
    locks: tuple[str, ...]
    install: tuple[tuple[str, ...], ...]
    start: tuple[str, ...]
    surroundings: Mapping[str, str]
    tool: str
    arguments: Mapping[str, str]
    at_once: int = 64


EVERYTHING = Foreign(
    name="everything",
    locks=("package.json", "package-lock.json", "loopback.cjs"),
    install=(("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"),),
    start=(
        "node",
        "node_modules/@modelcontextprotocol/server-everything/dist/index.js",
        "streamableHttp",
    ),
    # It has no setting for its address and would listen on every one of this machine.
    surroundings={"PORT": "{port}", "NODE_OPTIONS": "--require {folder}/loopback.cjs"},
    tool="echo",
    arguments={"message": "{prompt}"},
)
DUCKDB = Foreign(
    name="duckdb",
    locks=("requirements.txt",),
    install=(
        (sys.executable, "-m", "venv", "--without-pip", "env"),
        (
            *(sys.executable, "-m", "uv", "pip", "install", "--quiet", "--require-hashes"),
            *("--python", "env/bin/python", "-r", "requirements.txt"),
        ),
    ),
    start=(
        "env/bin/mcp-server-motherduck",
        *("--transport", "http", "--host", "127.0.0.1", "--port", "{port}"),
        *("--db-path", ":memory:", "--read-write", "--home-dir", "."),
    ),
    surroundings={},
    tool="execute_query",
    arguments={"sql": "{prompt}"},
    # Its queries share one connection and lose each other's rows when they meet.
    at_once=1,
)


def installed(server: Foreign) -> Path:
    """Return the folder that `server` is installed in; skips where no registry can be reached."""
    texts = b"".join((HERE / lock).read_bytes() for lock in server.locks)
    folder = KEPT / f"{server.name}-{hashlib.sha256(texts).hexdigest()[:12]}"
    KEPT.mkdir(exist_ok=True)
    with (KEPT / "lock").open("w") as held:  # other runs share the environment
        fcntl.flock(held, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for lock in server.locks:
                shutil.copy(HERE / lock, folder / lock)
            for command in server.install:
                _run(command, folder, server.name)
            (folder / "done").touch()
    return folder


def _run(command: Sequence[str], folder: Path, name: str) -> None:
    ran = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False
    )
    if ran.returncode == 0:
        return
    said = " ".join((ran.stderr + ran.stdout).split())[-800:]
    if any(word in said for word in _OFFLINE):
        pytest.skip(f"no registry to install the server {name} from; connect to one: {said}")
    pytest.fail(f"The server {name} could not be installed: {said}", pytrace=False)


@dataclass(slots=True)
class Running:
    """A server that was started; `stop` and `start` end it and start it anew on its port."""

    server: Foreign
    folder: Path
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        """Return once it listens."""
        fill = {"port": str(self.port), "folder": str(self.folder)}
        command = [part.format(**fill) for part in self.server.start]
        command[0] = shutil.which(command[0]) or str(self.folder / command[0])
        more = {name: value.format(**fill) for name, value in self.server.surroundings.items()}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **more}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        ends = time.monotonic() + START_S
        while self.process.poll() is None and time.monotonic() < ends:
            with socket.socket() as peer:
                peer.settimeout(0.1)
                if peer.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
        self.stop()
        pytest.fail(f"{self.server.name} does not listen: {self.log.read_text()[-800:]}")

    def stop(self) -> None:
        """End it, and wait until it has."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(server: Foreign, folder: Path) -> Iterator[Running]:
    """Yield `server` while it runs; `folder` is for what it says."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    made = Running(server, installed(server), port, folder / f"{server.name}.log")
    made.start()
    try:
        yield made
    finally:
        made.stop()
