"""A proxy that the settings name, on both transports; one that a variable names is never used."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from routing.core.errors import Invalid
from routing.core.values import Failure
from routing.paths import bedrock_request
from routing.paths.bedrock_sign import Origin
from tests.verified_fakes import hostile
from tests.verified_fakes.certificates import self_signed, server_side
from tests.verified_fakes.recorder import STREAM
from tests.verified_fakes.test_bedrock_same_faults import clients, same


@dataclass(slots=True)
class Proxy:
    """Connects where it is asked to, or answers `instead`; None says nothing at all."""

    instead: bytes | None = b""
    asked: list[bytes] = field(default_factory=list)
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.split(b" HTTP/")[0])
            if self.instead is None:
                await reader.read()
            elif self.instead:
                writer.write(self.instead)
            else:
                await self._splice(int(head.split(b" ")[1].rpartition(b":")[2]), reader, writer)
        writer.close()

    async def _splice(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pass(reader, back), _pass(there, writer))

    @property
    def origin(self) -> Origin:
        return Origin(host="127.0.0.1", port=self.port, tls=False)


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
    target.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    one = Proxy()
    listening = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = listening.sockets[0].getsockname()[1]
    yield one
    listening.close()
    await listening.wait_closed()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE12")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


async def test_a_call_goes_through_the_proxy_that_the_settings_name(
    proxy: Proxy, tmp_path: Path
) -> None:
    shown = self_signed(tmp_path)
    async with hostile.serving(hostile.saying(STREAM), server_side(shown)) as server:
        url = f"https://127.0.0.1:{server.port}"
        made = clients(url, local=False, authorities=str(shown), proxy=proxy.origin)
        async with made as both:
            for _ in range(2):  # the second over the connection that is there
                assert (await same(both))[0] == "well"
            assert proxy.asked == [f"CONNECT 127.0.0.1:{server.port}".encode()] * 2
            first, *others = server.requests
            assert {request.path for request in others} == {first.path}


async def test_the_certificate_behind_a_proxy_is_checked(proxy: Proxy, tmp_path: Path) -> None:
    shown, trusted = self_signed(tmp_path), self_signed(tmp_path, "elsewhere.example")
    async with hostile.serving(hostile.saying(STREAM), server_side(shown)) as server:
        url = f"https://127.0.0.1:{server.port}"
        made = clients(url, local=False, authorities=str(trusted), proxy=proxy.origin)
        async with made as both:
            assert (await same(both))[:2] == (Failure.UNREACHABLE, False)
            assert not server.requests


REFUSALS = {
    "407": b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
    "garbage": b"SSH-2.0-x\r\n\r\n",
    "silence": None,
}


@pytest.mark.parametrize("instead", REFUSALS.values(), ids=REFUSALS)
async def test_a_proxy_that_does_not_let_through_is_unreachable(
    proxy: Proxy, instead: bytes | None
) -> None:
    proxy.instead = instead
    async with clients("https://127.0.0.1:9", local=False, proxy=proxy.origin) as both:
        assert await same(both, timeout_s=3) == (Failure.UNREACHABLE, False, None, None)
        assert len(proxy.asked) == 2


async def test_a_proxy_that_is_away_is_unreachable() -> None:
    away = Origin(host="127.0.0.1", port=9, tls=False)
    async with clients("https://127.0.0.1:9", local=False, proxy=away) as both:
        assert await same(both) == (Failure.UNREACHABLE, False, None, None)


async def test_a_stand_in_is_never_reached_through_it(proxy: Proxy) -> None:
    async with (
        hostile.serving(hostile.saying(STREAM)) as server,
        clients(server.url, proxy=proxy.origin) as both,
    ):
        assert (await same(both))[0] == "well"
        assert not proxy.asked


def test_the_settings_name_a_proxy_by_host_and_port() -> None:
    assert bedrock_request.proxy({}) is None
    said = {bedrock_request.PROXY: "http://proxy.example:3128/"}
    assert bedrock_request.proxy(said) == ("proxy.example", 3128)


@pytest.mark.parametrize(
    "said",
    [
        "",
        3128,
        "proxy.example:3128",
        "https://proxy.example:3128",
        "http://proxy.example",
        "http://user:secret@proxy.example:3128",
        "http://proxy.example:3128/path",
        "http://proxy.example:99999",
        "http://[::1",
    ],
)
def test_a_proxy_that_makes_no_sense_is_refused(said: object) -> None:
    with pytest.raises(Invalid, match=bedrock_request.PROXY):
        bedrock_request.proxy({bedrock_request.PROXY: said})
