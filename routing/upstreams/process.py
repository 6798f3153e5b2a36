"""The life of a stand-in: bind, say so, serve, and end at once when the server lets go.

It prints one line `{"ready": true, "port": N}` when it listens, and ends when its standard input
closes or at SIGTERM, whatever is still waiting for an answer. Exit status 3: the port is taken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from routing.upstreams import control
from routing.upstreams.faults import Board
from routing.upstreams.gate import LINE, Gate, Line
from routing.upstreams.journal import Journal
from routing.upstreams.speaker import Speaker

TAKEN = 3
LATENCY_MS = (20, 60)
Make = Callable[[int, tuple[int, int]], Speaker]


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, which also hands its connection to the gate, so that it can break it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {LINE: Line(self.transport)}


class Server(uvicorn.Server):
    """uvicorn that says when it listens and leaves the signals to `serve`."""

    def __init__(self, config: uvicorn.Config, port: int) -> None:
        super().__init__(config)
        self.port = port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        print(json.dumps({"ready": True, "port": self.port}), flush=True)  # noqa: T201

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """End now: what hangs is cancelled, and its traceback would tell nobody anything."""
        logging.disable(logging.CRITICAL)
        self.should_exit = self.force_exit = True


def run(name: str, make: Make) -> None:
    """Serve what `make(port, latency bounds)` speaks; returns when the stand-in was let go."""
    arguments = _arguments(name)
    logging.basicConfig(
        level=logging.WARNING, format=f"%(asctime)s %(levelname)s {name} stand-in: %(message)s"
    )
    os.umask(0o077)
    home = arguments.home.resolve()
    (home / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        listening = _listen(arguments.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        print(  # noqa: T201
            f"Port {arguments.port} is taken; end what uses it or start with another --port.",
            file=sys.stderr,
        )
        sys.exit(TAKEN)
    speaker = make(listening.getsockname()[1], arguments.latency_ms)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(name, speaker, home, listening, arguments.seed))


def _arguments(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m routing.upstreams.{name}")
    parser.add_argument(
        "--port", type=_port, required=True, help="on 127.0.0.1; 0 takes a free one"
    )
    parser.add_argument("--home", type=Path, required=True, help="HYBRIDOPS_HOME")
    parser.add_argument("--seed", type=int, default=0, help="which requests a share strikes")
    parser.add_argument(
        "--latency-ms", type=_bounds, default=LATENCY_MS, metavar="LOW-HIGH", help="of an answer"
    )
    return parser.parse_args()


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number up to 65535")
    return port


def _bounds(text: str) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        low, high = int(parts[0]), int(parts[1])
        if low <= high <= 60_000:
            return low, high
    raise argparse.ArgumentTypeError("give LOW-HIGH in milliseconds, such as 20-60")


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A port whose last connections still linger is free; one that is listened on is not.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(2048)  # EADDRINUSE may come only here (listen(2))
    except OSError:
        listening.close()
        raise
    return listening


async def _serve(
    name: str, speaker: Speaker, home: Path, listening: socket.socket, seed: int
) -> None:
    port = listening.getsockname()[1]
    board = Board(seed=seed)
    life = f"{int(_now().timestamp() * 1000):x}"
    journal = Journal(home=home, path=speaker.path, life=life)
    hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
    gate = Gate(speaker, board, journal, _now, hosts=hosts)
    server = Server(_config(gate), port)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    facts = {"name": name, "port": port, "pid": os.getpid()}
    async with (
        control.opened(home / "run", name, board, facts),
        speaker.running(),
    ):
        _watch_input(loop, server)
        await server.serve(sockets=[listening])
    journal.close()


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - this process has no wiring; its rim is here


def _watch_input(loop: asyncio.AbstractEventLoop, server: Server) -> None:
    """Stop the server once standard input, the starter's pipe, is closed."""

    def look() -> None:
        try:
            ended = not os.read(sys.stdin.fileno(), 4096)
        except OSError:
            ended = True
        if ended:
            loop.remove_reader(sys.stdin.fileno())
            server.stop()

    try:
        loop.add_reader(sys.stdin.fileno(), look)
    except OSError:
        sys.exit(
            "Standard input is neither a pipe nor a terminal, and its end is what ends a "
            "stand-in; give it one that stays open."
        )


def _config(gate: Gate) -> uvicorn.Config:
    return uvicorn.Config(
        gate,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=0,
        timeout_keep_alive=75,
    )
