"""The keeper of the local stand-ins: it lives in the server process and holds their pipes.

They end when the server does, even by kill -9: the kernel closes the pipes. It starts what it is
told to and nothing by itself, so a stand-in that was stopped or killed stays down, as a real
outage would. Commands speak to it through HOME/run/server.sock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import routing
from routing.core.errors import Invalid, NotFound, Refused, Unavailable
from routing.core.values import parse
from routing.paths import line, local
from routing.paths.local import Upstream

log = logging.getLogger(__name__)
READY_S = 30.0
END_S = 2.0
ASK_S = 2.0
TRIES = 3
TAKEN = 3  # the stand-in's exit status for a taken port
# A stand-in needs none of these, and what it does not hold it cannot leak.
_SECRETS = ("AWS_", "DATABASE_URL", "REDIS_URL", "HYBRIDOPS_SECRET_KEY")


@dataclass(slots=True, kw_only=True)
class _Child:
    process: asyncio.subprocess.Process
    port: int
    since: float
    watch: asyncio.Task[None] | None = None
    wanted_end: bool = False


class Keeper:
    """Starts, stops and asks the stand-ins of one HYBRIDOPS_HOME; `latency_ms` is LOW-HIGH."""

    def __init__(self, home: Path, *, latency_ms: str = "") -> None:
        self._home = home.absolute()
        self._latency_ms = latency_ms
        self._children: dict[Upstream, _Child] = {}
        self._locks = {which: asyncio.Lock() for which in Upstream}
        self._writing = asyncio.Lock()
        self._door: asyncio.Server | None = None

    async def open(self) -> None:
        """Answer commands on HOME/run/server.sock."""
        await asyncio.to_thread(_make_folder, self._home / "run")
        self._door = await line.serve(self._home / "run" / "server.sock", self.answer)

    async def start_all(self) -> Mapping[str, Any]:
        """Start every stand-in and return `status()`; one that fails is logged, not raised."""
        ended = await asyncio.gather(*map(self.start, Upstream), return_exceptions=True)
        for which, outcome in zip(Upstream, ended, strict=True):
            if isinstance(outcome, Refused):
                log.error("The local stand-in %s did not start: %s", which, outcome.message)
            elif isinstance(outcome, BaseException):
                raise outcome
        return await self.status()

    async def start(self, which: Upstream) -> Mapping[str, Any]:
        """Start one where it is not running and return its status; raises Unavailable."""
        async with self._locks[which]:
            child = self._children.get(which)
            if child is None or child.process.returncode is not None:
                await self._start(which)
        return await self._told(which)

    async def stop(self, which: Upstream) -> Mapping[str, Any]:
        """End one within two seconds, if it runs, and return its status."""
        async with self._locks[which]:
            child = self._children.get(which)
            if child is not None:
                await _end(child)
        return await self._told(which)

    async def status(self) -> Mapping[str, Any]:
        """Return for each stand-in: state, port, pid, seconds it runs, and the faults in force.

        State is `running`, `stopped` (told to), `died` (with its exit status) or `never_started`.
        """
        return {str(which): await self._told(which) for which in Upstream}

    async def fault(self, which: Upstream, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Put a fault in force (`kind`, `seconds`, ...) and return it.

        Raises Invalid for one that makes no sense, Unavailable where the stand-in is down.
        """
        return await self._ask(which, {**message, "do": "fault"})

    async def clear(self, which: Upstream) -> Mapping[str, Any]:
        """End all faults of one stand-in; raises Unavailable."""
        return await self._ask(which, {"do": "clear"})

    async def close(self) -> None:
        """End the stand-ins and stop answering."""
        if self._door is not None:
            self._door.close()
            self._door = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._home / "run" / "server.sock")  # noqa: PTH108
        await asyncio.gather(*map(self.stop, Upstream))

    async def answer(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do what a command asks for, and tell it in one object."""
        try:
            if message.get("do") != "upstream":
                raise Invalid("The server's socket knows one thing to do: upstream.")
            which = parse(Upstream, str(message.get("which")))
            return {"ok": True, **await self._obey(which, message)}
        except Refused as error:
            return {"ok": False, "error": error.code, "message": error.message}

    async def _obey(self, which: Upstream, message: Mapping[str, Any]) -> Mapping[str, Any]:
        match message.get("verb"):
            case "start":
                return await self.start(which)
            case "stop":
                return await self.stop(which)
            case "status":
                return await self._told(which)
            case "fault":
                fault = message.get("fault")
                if not isinstance(fault, dict):
                    raise Invalid("A fault is an object: kind, seconds, share and the like.")
                return await self.fault(which, fault)
            case "clear":
                return await self.clear(which)
            case other:
                raise Invalid(f"{other!r} is no verb; known: start, stop, status, fault, clear.")

    async def _start(self, which: Upstream) -> None:
        port = (await asyncio.to_thread(local.ports, self._home)).get(which, 0)
        for _ in range(TRIES):
            child = await self._spawn(which, port)
            if child is not None:
                child.watch = asyncio.create_task(_watch(which, child), name=f"watch {which}")
                self._children[which] = child
                if child.port != port:
                    async with self._writing:
                        await asyncio.to_thread(local.keep, self._home, which, child.port)
                return
            log.warning(
                "Port %s of the local stand-in %s is taken; another is chosen.", port, which
            )
            port = 0
        raise Unavailable(f"No free port was found for the local stand-in {which}; try again.")

    async def _spawn(self, which: Upstream, port: int) -> _Child | None:
        """Start a process and wait until it listens; None when its port was taken."""
        arguments = ["--port", str(port), "--home", str(self._home)]
        if self._latency_ms:
            arguments += ["--latency-ms", self._latency_ms]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"routing.upstreams.{which}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(routing.__file__).parent.parent,
            env={k: v for k, v in os.environ.items() if not k.startswith(_SECRETS)},
            start_new_session=True,  # Ctrl-C is the server's to handle; the pipe tells them
        )
        child = _Child(process=process, port=port, since=time.monotonic())
        try:
            said = await _ready(process)
        except BaseException:
            await _end(child)
            raise
        if said is not None:
            child.port = said
            return child
        code = await process.wait()
        if code == TAKEN:
            return None
        raise Unavailable(
            f"The local stand-in {which} ended with status {code} before it was ready; the "
            "server's log says why."
        )

    async def _told(self, which: Upstream) -> dict[str, Any]:
        child = self._children.get(which)
        if child is None:
            port = (await asyncio.to_thread(local.ports, self._home)).get(which)
            return {"which": str(which), "state": "never_started", "port": port}
        row = {"which": str(which), "port": child.port}
        code = child.process.returncode
        if code is not None:
            state = "stopped" if child.wanted_end else "died"
            return {**row, "state": state, "exit": code}
        row |= {"pid": child.process.pid, "runs_s": round(time.monotonic() - child.since, 1)}
        try:
            faults = (await self._ask(which, {"do": "status"})).get("faults")
        except Unavailable as error:
            return {**row, "state": "running", "faults": None, "problem": error.message}
        return {**row, "state": "running", "faults": faults}

    async def _ask(self, which: Upstream, message: Mapping[str, Any]) -> dict[str, Any]:
        path = self._home / "run" / f"upstream-{which}.sock"
        try:
            answer = await asyncio.to_thread(line.ask, path, message, ASK_S)
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"The local stand-in {which} does not answer ({error}); look at its status, and "
                "start it if it is down."
            ) from error
        _raise_refusal(answer)
        return {key: value for key, value in answer.items() if key != "ok"}


def ask(home: Path, message: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
    """Return what the server of `home` answers to `message`, without its `ok`.

    Raises Unavailable when no server runs or it does not answer in time, and what it refused
    with: Invalid or Unavailable.
    """
    try:
        answer = line.ask(home / "run" / "server.sock", message, timeout_s)
    except (FileNotFoundError, ConnectionRefusedError):
        raise Unavailable(
            f"No server runs on {home}; start one with `make run` or `manage.py serve`, or set "
            "HYBRIDOPS_HOME to the home of the one you mean."
        ) from None
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"The server of {home} does not answer ({error}); look at its log, then try again."
        ) from error
    _raise_refusal(answer)
    return {key: value for key, value in answer.items() if key != "ok"}


def _raise_refusal(answer: Mapping[str, Any]) -> None:
    if answer.get("ok") is True:
        return
    kinds = {kind.code: kind for kind in (Invalid, NotFound, Unavailable)}
    code, message = str(answer.get("error")), str(answer.get("message"))
    raise kinds.get(code, Invalid if code == "unknown_word" else Unavailable)(message)


def _make_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


async def _ready(process: asyncio.subprocess.Process) -> int | None:
    """Return the port that the process says it listens on; None when it ended instead."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            said = await process.stdout.readline()
    except TimeoutError:
        raise Unavailable(
            f"A local stand-in was not ready within {READY_S:.0f} s; the machine may be busy, "
            "so start it again."
        ) from None
    return int(json.loads(said)["port"]) if said else None


async def _watch(which: Upstream, child: _Child) -> None:
    code = await child.process.wait()
    if not child.wanted_end:
        log.warning(
            "The local stand-in %s ended with status %s; it stays down until "
            "`manage.py upstream %s start`.",
            which,
            code,
            which,
        )


async def _end(child: _Child) -> None:
    """Close the pipe, which ends the process, and kill it if that does not."""
    child.wanted_end = child.wanted_end or child.process.returncode is None
    if child.process.stdin is not None:
        child.process.stdin.close()
    try:
        async with asyncio.timeout(END_S):
            await child.process.wait()
    except TimeoutError:
        child.process.kill()
        await child.process.wait()
    if child.watch is not None:
        await child.watch
