"""A stand-in's own door: one JSON line in, one JSON line out, over a Unix socket.

HOME/run/upstream-<name>.sock; only the owner of HOME may open it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from routing.core.errors import Invalid, Refused
from routing.upstreams import faults
from routing.upstreams.faults import Board

LONGEST_LINE = 65_536
WAIT_S = 5.0


@contextlib.asynccontextmanager
async def opened(
    run: Path, name: str, board: Board, facts: Mapping[str, Any]
) -> AsyncIterator[None]:
    """Answer on the socket while the context lasts; `facts` go into each status.

    The process moves into the folder first: a socket's address holds only about a hundred bytes,
    so the path is kept out of it.
    """
    os.chdir(run)
    address = f"upstream-{name}.sock"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            try:
                async with asyncio.timeout(WAIT_S):
                    line = await reader.readline()
            except (TimeoutError, ValueError, OSError):
                return  # the caller never ended its line
            writer.write(json.dumps(_obey(line, board, facts)).encode() + b"\n")
            with contextlib.suppress(OSError):
                await writer.drain()

    server = await asyncio.start_unix_server(answer, path=address, limit=LONGEST_LINE)
    mine = _inode(address)
    try:
        yield
    finally:
        server.close()
        if _inode(address) == mine:  # else a successor's
            os.unlink(address)  # noqa: PTH108


def _inode(address: str) -> int | None:
    return Path(address).stat().st_ino if Path(address).exists() else None


def _obey(line: bytes, board: Board, facts: Mapping[str, Any]) -> dict[str, Any]:
    try:
        message = json.loads(line)
        if not isinstance(message, dict):
            raise Invalid("Send one JSON object on one line.")
        return {"ok": True, **_do(message, board, facts)}
    except Refused as error:
        return {"ok": False, "error": error.code, "message": error.message}
    except (ValueError, RecursionError) as error:
        return {"ok": False, "error": Invalid.code, "message": f"This is not JSON: {error}."}


def _do(message: Mapping[str, Any], board: Board, facts: Mapping[str, Any]) -> dict[str, Any]:
    now = time.monotonic()
    match message.get("do"):
        case "fault":
            active = board.add(faults.read(message), now)
            return {"fault": _told(active, now)}
        case "clear":
            return {"cleared": board.clear()}
        case "status":
            told = [_told(active, now) for active in board.active(now)]
            return {**facts, "faults": told}
        case other:
            raise Invalid(f"{other!r} is nothing to do; known: fault, clear, status.")


def _told(active: faults.Active, now: float) -> dict[str, Any]:
    fault = active.fault
    return {
        "number": active.number,
        "kind": str(fault.kind),
        "environment": fault.environment and str(fault.environment),
        "share": fault.share,
        "ms": fault.ms,
        "status": fault.status,
        "code": fault.code,
        "after": fault.after,
        "ends_in_s": round(max(0.0, active.ends_at - now), 1),
    }
