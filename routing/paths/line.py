"""One JSON line each way over a Unix socket of ours, wherever HYBRIDOPS_HOME lies.

A socket's address holds 107 bytes on Linux and 103 on macOS (unix(7), unix(4)); a longer path is
reached through a short symbolic link to its folder, which lives no longer than the call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

LONGEST_ADDRESS = 100
LONGEST_LINE = 262_144
WAIT_S = 5.0
Answer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


def ask(path: Path, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """Return the answer to `message`; raises OSError (TimeoutError too) or ValueError.

    `timeout_s` bounds each wait for the other side, which sends its one line at once.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        peer.settimeout(timeout_s)
        with reachable(path) as address:
            peer.connect(address)
        peer.sendall(json.dumps(message).encode() + b"\n")
        with peer.makefile("rb") as lines:
            line = lines.readline(LONGEST_LINE)
    answer = json.loads(line)
    if not isinstance(answer, dict):
        raise ValueError("the answer is no JSON object")
    return answer


async def serve(path: Path, answer: Answer) -> asyncio.Server:
    """Answer on `path`, which only its owner may open, in place of whoever did before."""
    return await asyncio.start_unix_server(
        _conversation(answer), sock=_bind(path), limit=LONGEST_LINE
    )


@contextlib.contextmanager
def reachable(path: Path) -> Iterator[str]:
    """Yield an address of `path` that is short enough for a socket."""
    whole = os.fsencode(path.absolute())
    if len(whole) <= LONGEST_ADDRESS:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="hybridops-") as short:
        link = Path(short) / "run"
        link.symlink_to(path.absolute().parent)
        yield str(link / path.name)


def _bind(path: Path) -> socket.socket:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(fresh) as address:
            listening.bind(address)
        fresh.chmod(0o600)
        listening.listen(64)
        fresh.replace(path)  # nobody meets it before it is private and answers
    except OSError:
        listening.close()
        raise
    return listening


def _conversation(
    answer: Answer,
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                async with asyncio.timeout(WAIT_S):
                    line = await reader.readline()
            except (TimeoutError, ValueError, OSError):
                return  # the caller never ended its line
            writer.write(json.dumps(await answer(_object(line)), default=str).encode() + b"\n")
            with contextlib.suppress(OSError):
                await writer.drain()

    return once


def _object(line: bytes) -> Mapping[str, Any]:
    """Return the message, or an empty one for what is none: no word in it will be known."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
