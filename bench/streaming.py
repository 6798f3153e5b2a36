"""The time to the first piece of a streamed answer: `python -m bench.streaming`.

One connection, one request at a time, in front of the stub of `bench.gateway`, which sends its
whole stream at once. What is told is the time from the request to the first byte of the first
piece, of each gateway and of the stub itself, taken in turn.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench import peers, stub
from bench.ground import ROOT, machine
from bench.load import Target
from bench.peers import Gateway, Wanted

FIRST = {"stub": b"contentBlockDelta", "hybridops": b"event: piece", "other": b'"content":"'}
LAST = (b"0\r\n\r\n", b"metadata")


class Line:
    """One kept connection to a gateway."""

    def __init__(self, target: Target) -> None:
        place = urlsplit(target.url)
        self._socket = socket.create_connection((place.hostname, place.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = target.body.encode()
        head = [f"POST {place.path} HTTP/1.1", f"Host: {place.netloc}"]
        head += [f"{name}: {value}" for name, value in target.headers.items()]
        head += [f"Content-Length: {len(body)}", "", ""]
        self._request = "\r\n".join(head).encode() + body

    def ask(self, first: bytes) -> float:
        """Return the ms until `first` came; the rest is read to its end."""
        began = time.perf_counter()
        self._socket.sendall(self._request)
        seen, came = b"", 0.0
        while not (came and any(last in seen[-4096:] for last in LAST)):
            part = self._socket.recv(65_536)
            if not part:
                raise RuntimeError(f"cut off after {seen[:300]!r}")
            seen += part
            if not came and first in seen:
                came = (time.perf_counter() - began) * 1000
        return came


def measure(gateway: Gateway, name: str, count: int) -> list[float]:
    """Return the ms of `count` answers."""
    line = Line(gateway.target)
    first = FIRST.get(name, FIRST["other"])
    for _ in range(20):
        line.ask(first)
    return [line.ask(first) for _ in range(count)]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", default="stub,hybridops,portkey-bedrock")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "bench")
    chosen = parser.parse_args(arguments)
    home: Path = chosen.home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    names = chosen.gateways.split(",")
    wanted = Wanted(prompt="Say in one sentence how the cluster is doing.", stream=True)
    with ExitStack() as stack:
        upstream = stack.enter_context(stub.running(home / "stub"))
        started = {
            name: stack.enter_context(contextmanager(peers.ALL[name])(home, upstream, wanted))
            for name in names
        }
        runs = [
            {name: measure(one, name, chosen.count) for name, one in started.items()}
            for _ in range(chosen.runs)
        ]
    print(f"{machine()}; {chosen.runs} runs of {chosen.count} answers, c=1\n")
    print("| gateway | first piece p50 ms | p99 ms | added to the stub's p50 |\n|---|---|---|---|")
    for name, one in started.items():
        p50 = [statistics.median(run[name]) for run in runs]
        p99 = [sorted(run[name])[len(run[name]) * 99 // 100] for run in runs]
        floor = [statistics.median(run["stub"]) for run in runs] if "stub" in names else []
        added = [own - least for own, least in zip(p50, floor, strict=False)]
        print(f"| {one.name} | {_spread(p50)} | {_spread(p99)} | {_spread(added)} |")


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
