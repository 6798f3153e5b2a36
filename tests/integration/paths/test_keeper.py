"""The keeper with real stand-ins: they live and die with it, and only start when told to."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from routing.core.errors import Invalid, Unavailable
from routing.core.values import EnvironmentName
from routing.paths import keeper, local
from routing.paths.keeper import Keeper
from routing.paths.local import Upstream

ROOT = Path(__file__).parents[3]
BEDROCK, MCP = Upstream.BEDROCK, Upstream.MCP
DEV = EnvironmentName.DEVELOPMENT


@asynccontextmanager
async def kept(home: Path) -> AsyncIterator[Keeper]:
    one = Keeper(home, latency_ms="1-2")
    await one.open()
    try:
        yield one
    finally:
        await one.close()


async def ask(home: Path, **message: Any) -> dict[str, Any]:
    return await asyncio.to_thread(keeper.ask, home, {"do": "upstream", **message}, 60)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
    except ConnectionError:
        return False
    return True


def until_down(port: int, within_s: float = 2) -> None:
    deadline = time.monotonic() + within_s
    while answers(port):
        assert time.monotonic() < deadline, "it still answers"


async def end_of(one: Keeper, which: Upstream) -> Any:
    """Return the status of `which` once it no longer runs."""
    async with asyncio.timeout(5):
        while True:
            row = (await one.status())[which]
            if row["state"] != "running":
                return row


async def test_starts_both_and_keeps_their_addresses(tmp_path: Path) -> None:
    async with kept(tmp_path) as one:
        started = await one.start_all()
        assert {row["state"] for row in started.values()} == {"running"}
        ports = dict(local.ports(tmp_path))
        assert ports == {name: started[name]["port"] for name in ("bedrock", "mcp")}
        assert all(answers(port) for port in ports.values())
        base = f"http://127.0.0.1:{ports['bedrock']}/development"
        assert local.resolve("local:bedrock", DEV, home=tmp_path) == base
        mcp = f"http://127.0.0.1:{ports['mcp']}/development/mcp"
        assert local.resolve("local:mcp", DEV, home=tmp_path) == mcp
    assert not any(answers(port) for port in ports.values())
    async with kept(tmp_path) as again:
        row = await again.start(BEDROCK)
        assert row["port"] == ports["bedrock"]
    assert local.ports(tmp_path) == ports


async def test_a_taken_port_is_exchanged_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        local.keep(tmp_path, BEDROCK, taken)
        local.keep(tmp_path, MCP, 1)
        async with kept(tmp_path) as one:
            row = await one.start(BEDROCK)
            assert row["port"] != taken
            assert local.ports(tmp_path) == {"bedrock": row["port"], "mcp": 1}


async def test_a_killed_one_stays_down_until_it_is_started(tmp_path: Path) -> None:
    async with kept(tmp_path) as one:
        row = await one.start(BEDROCK)
        os.kill(row["pid"], signal.SIGKILL)
        now = await end_of(one, BEDROCK)
        assert (now["state"], now["exit"]) == ("died", -signal.SIGKILL)
        assert not answers(row["port"])
        with pytest.raises(Unavailable, match="start it"):
            await one.fault(BEDROCK, {"kind": "error"})
        again = await one.start(BEDROCK)
        assert (again["state"], again["port"]) == ("running", row["port"])


async def test_start_is_idempotent_and_double_clicks_join(tmp_path: Path) -> None:
    async with kept(tmp_path) as one:
        first, second = await asyncio.gather(one.start(BEDROCK), one.start(BEDROCK))
        assert first["pid"] == second["pid"]


async def test_commands_speak_through_the_servers_socket(tmp_path: Path) -> None:
    async with kept(tmp_path):
        row = await ask(tmp_path, which="bedrock", verb="status")
        assert row["state"] == "never_started"
        row = await ask(tmp_path, which="bedrock", verb="start")
        fault = {"kind": "error", "seconds": 5, "environment": "staging"}
        told = await ask(tmp_path, which="bedrock", verb="fault", fault=fault)
        assert told["fault"]["kind"] == "error"
        [active] = (await ask(tmp_path, which="bedrock", verb="status"))["faults"]
        assert active["environment"] == "staging"
        assert 0 < active["ends_in_s"] <= 5
        assert (await ask(tmp_path, which="bedrock", verb="clear"))["cleared"] == 1
        with pytest.raises(Invalid, match="600"):
            await ask(tmp_path, which="bedrock", verb="fault", fault=fault | {"seconds": 601})
        stopped = await ask(tmp_path, which="bedrock", verb="stop")
        assert (stopped["state"], stopped["exit"]) == ("stopped", 0)
        assert not answers(row["port"])


@pytest.mark.parametrize(
    "message",
    [
        {"do": "dance"},
        {"which": "redis", "verb": "start"},
        {"which": "mcp", "verb": "burn"},
        {"which": "mcp", "verb": "fault", "fault": 7},
    ],
)
async def test_what_makes_no_sense_is_refused_in_words(
    tmp_path: Path, message: dict[str, Any]
) -> None:
    async with kept(tmp_path):
        with pytest.raises(Invalid):
            await ask(tmp_path, **message)


async def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No server runs"):
        await ask(tmp_path, which="mcp", verb="status")
    with socket.socket(socket.AF_UNIX) as left_behind:
        (tmp_path / "run").mkdir()
        left_behind.bind(str(tmp_path / "run" / "server.sock"))
    with pytest.raises(Unavailable, match="No server runs"):
        await ask(tmp_path, which="mcp", verb="status")
    async with kept(tmp_path):  # takes the place of what a killed server left
        await ask(tmp_path, which="mcp", verb="status")
    assert not (tmp_path / "run" / "server.sock").exists()


async def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "run" / "server.sock"))
        mute.listen()
        with pytest.raises(Unavailable, match="does not answer"):
            await asyncio.to_thread(keeper.ask, tmp_path, {"do": "upstream"}, 0.1)


async def test_a_home_too_long_for_a_socket_works(tmp_path: Path) -> None:
    home = tmp_path / ("a-long-name-" * 15)
    home.mkdir()
    with socket.socket(socket.AF_UNIX) as plain, pytest.raises(OSError, match="too long"):
        plain.bind(str(home / "server.sock"))  # what would happen without care
    async with kept(home):
        row = await ask(home, which="bedrock", verb="start")
        assert row["faults"] == []


async def test_only_the_owner_may_open_the_socket(tmp_path: Path) -> None:
    async with kept(tmp_path):
        mode = (tmp_path / "run" / "server.sock").stat().st_mode
        assert stat.S_IMODE(mode) == 0o600


def environment_of(pid: int) -> str:
    shown = ["ps", "eww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(shown, check=True, capture_output=True, text=True).stdout


async def test_stand_ins_hold_no_secret_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sesame")
    monkeypatch.setenv("HYBRIDOPS_SECRET_KEY", "sesame")
    async with kept(tmp_path) as one:
        row = await one.start(BEDROCK)
        held = environment_of(row["pid"])
    assert "PATH=" in held
    assert "sesame" not in held


SERVER = """
import asyncio, sys
from pathlib import Path
import uvloop
from routing.paths.keeper import Keeper

async def main():
    keeper = Keeper(Path(sys.argv[1]))
    await keeper.open()
    await keeper.start_all()
    print("ready", flush=True)
    await asyncio.Event().wait()

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""


def test_they_die_with_a_server_that_is_killed(tmp_path: Path) -> None:
    """On the loop that the server runs on."""
    command = [sys.executable, "-c", SERVER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        ports = local.ports(tmp_path)
        assert set(ports) == {"bedrock", "mcp"}
        assert all(answers(port) for port in ports.values())
        server.kill()
        server.wait(5)
        for port in ports.values():
            until_down(port)
