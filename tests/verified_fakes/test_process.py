"""A stand-in lives as long as its pipe, keeps its port, and loses no line of its journal."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verified_fakes import standin
from tests.verified_fakes.standin import StandIn

NAMES = ("bedrock", "mcp")


def post(one: StandIn, host: str = "") -> bytes:
    named = host or f"127.0.0.1:{one.port}"
    head = f"POST /development/mcp HTTP/1.1\r\nhost: {named}\r\ncontent-length: 2\r\n\r\n"
    return head.encode() + b"{}"


def close_pipe(one: StandIn) -> None:
    assert one.process.stdin is not None
    one.process.stdin.close()


def terminate(one: StandIn) -> None:
    one.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("end", [close_pipe, terminate])
@pytest.mark.parametrize("name", NAMES)
def test_ends_within_a_second_even_while_requests_hang(
    tmp_path: Path, name: str, end: Callable[[StandIn], None]
) -> None:
    with (
        standin.running(name, tmp_path) as one,
        socket.create_connection(("127.0.0.1", one.port), 5) as hanging,
        socket.create_connection(("127.0.0.1", one.port), 5) as idle,
    ):
        one.fault(kind="hang", seconds=600)
        hanging.sendall(post(one))
        await_arrival(one)
        began = time.monotonic()
        end(one)
        assert one.process.wait(5) == 0
        assert time.monotonic() - began < 1.5  # a second, and a busy machine
        assert idle.recv(1) == b""
        assert one.process.stderr is not None
        assert one.process.stderr.read() == b""
    assert not list((tmp_path / "run").glob("*.sock"))


def await_arrival(one: StandIn) -> None:
    deadline = time.monotonic() + 5
    while True:
        try:
            assert one.journal()
        except (FileNotFoundError, AssertionError):
            assert time.monotonic() < deadline
        else:
            return


@pytest.mark.parametrize("name", NAMES)
def test_a_taken_port_is_said_and_is_status_3(tmp_path: Path, name: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with standin.spawn(name, tmp_path, "--port", str(port)) as process:
            out, err = process.communicate(timeout=30)
            assert process.returncode == 3
    assert out == b""
    assert f"Port {port} is taken".encode() in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "99999"), b"no port"),
        (("--port", "0", "--latency-ms", "60-20"), b"LOW-HIGH"),
        (("--port", "0"), b"neither a pipe nor a terminal"),
    ],
)
def test_a_start_that_makes_no_sense_is_refused_in_words(
    tmp_path: Path, arguments: tuple[str, ...], words: bytes
) -> None:
    command = [sys.executable, "-m", "routing.upstreams.bedrock", "--home", str(tmp_path)]
    refused = subprocess.run(
        [*command, *arguments],
        cwd=standin.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode in (1, 2)
    assert words in refused.stderr
    assert b"Traceback" not in refused.stderr


@pytest.mark.parametrize("name", NAMES)
def test_port_and_journal_outlive_a_restart(tmp_path: Path, name: str) -> None:
    port = 0
    for life in (1, 2):
        with standin.running(name, tmp_path, port=port) as one:
            assert port in (0, one.port)
            port = one.port
            with socket.create_connection(("127.0.0.1", port), 5) as peer:
                peer.sendall(post(one))
                assert peer.recv(4096).startswith(b"HTTP/1.1 4")
            one.last()
        assert len({line["request"].split("-")[0] for line in one.journal()}) == life


def test_a_killed_one_loses_nothing_and_its_socket_is_taken_over(tmp_path: Path) -> None:
    with standin.running("bedrock", tmp_path) as one:
        with socket.create_connection(("127.0.0.1", one.port), 5) as peer:
            peer.sendall(post(one))
            assert peer.recv(4096)
        one.process.kill()
        one.process.wait(5)
    assert one.journal()[0]["event"] == "arrived"
    with standin.running("bedrock", tmp_path, port=one.port) as next_one:
        assert next_one.ask(do="status")["port"] == one.port


def test_only_the_owner_may_tell_it_to_fail(tmp_path: Path) -> None:
    with standin.running("bedrock", tmp_path) as one:
        for path in (tmp_path / "run", *(tmp_path / "run").iterdir()):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        with socket.create_connection(("127.0.0.1", one.port), 5) as peer:
            body = json.dumps({"do": "fault", "kind": "error"}).encode()
            length = b"%d\r\n\r\n" % len(body)
            peer.sendall(post(one).replace(b"2\r\n\r\n{}", length + body))
            assert peer.recv(4096)
        assert one.ask(do="status")["faults"] == []


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost"])
@pytest.mark.parametrize("name", NAMES)
def test_answers_to_its_own_address_only(tmp_path: Path, name: str, host: str) -> None:
    with (
        standin.running(name, tmp_path) as one,
        socket.create_connection(("127.0.0.1", one.port), 5) as peer,
    ):
        peer.sendall(post(one, host))
        assert peer.recv(65536).startswith(b"HTTP/1.1 421 ")
        assert b"".join(file.read_bytes() for file in tmp_path.rglob("*.jsonl")) == b""
