"""What a call costs by each Bedrock transport, against a stub that costs next to nothing.

`python -m tests.verified_fakes.measure_transports [--loop uvloop] [--runs 5]`. The stub is a
process of its own: one asyncio protocol on uvloop that answers prepared bytes. CPU is that of the
measuring process alone, user and system, threads included.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from typing import cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import uvloop

from routing.core.settings import BedrockTransport
from routing.paths.bedrock import DirectBedrockClient
from tests.verified_fakes import recorder
from tests.verified_fakes.asked import call
from tests.verified_fakes.test_bedrock_hostile import WHOLE
from tests.verified_fakes.test_direct_bedrock_client import connect

COUNTS = {
    (BedrockTransport.BOTO3, 1): 300,
    (BedrockTransport.BOTO3, 16): 600,
    (BedrockTransport.ASYNCIO, 1): 4000,
    (BedrockTransport.ASYNCIO, 16): 12_000,
}
WORDS = "measure " * 25  # 200 bytes


class Stub(asyncio.Protocol):
    """Answers each request that has come whole; bodies come with a length."""

    def __init__(self) -> None:
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._got += data
        while b"\r\n\r\n" in self._got:
            head, _, rest = self._got.partition(b"\r\n\r\n")
            size = int(head.rpartition(b"Content-Length: ")[2].split(b"\r\n")[0])
            if len(rest) < size:
                return
            self._got = rest[size:]
            streams = b"/converse-stream" in head
            self._transport.write(recorder.STREAM if streams else recorder.WHOLE)


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def _once(client: DirectBedrockClient, count: int, at_once: int) -> tuple[float, float]:
    """Return calls a second and CPU ms a call."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await client.call(call(WORDS))

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    took_s = time.perf_counter() - began
    return count / took_s, (time.process_time() - cpu) / count * 1000


async def _measure(port: int, runs: int) -> None:
    url = f"http://127.0.0.1:{port}"
    for whole in (False, True):
        for (transport, at_once), count in COUNTS.items():
            client = connect(lambda: url, transport, manners=WHOLE if whole else None)
            await _once(client, 50, at_once)
            seen = [await _once(client, count, at_once) for _ in range(runs)]
            await client.close()
            rates, costs = ([one[part] for one in seen] for part in (0, 1))
            sys.stdout.write(
                f"{'Converse' if whole else 'ConverseStream':15}{transport:8} c={at_once:<3}"
                f"{statistics.median(rates):7.0f}/s ({min(rates):.0f}-{max(rates):.0f})  "
                f"{statistics.median(costs):.3f} ms CPU ({min(costs):.3f}-{max(costs):.3f})\n"
            )


def main() -> None:
    """Measure, or be the stub."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--loop", choices=["asyncio", "uvloop"], default="uvloop")
    asked.add_argument("--runs", type=int, default=5)
    asked.add_argument("--stub", action="store_true")
    said = asked.parse_args()
    if said.stub:
        uvloop.run(_serve())
        return
    command = [sys.executable, "-m", __spec__.name, "--stub"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as stub:
        assert stub.stdout is not None
        port = int(stub.stdout.readline())
        run = uvloop.run if said.loop == "uvloop" else asyncio.run
        run(_measure(port, said.runs))
        assert stub.stdin is not None
        stub.stdin.close()


if __name__ == "__main__":
    main()
