"""Both transports send the same bytes for the same call at the same moment."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
import uvloop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from routing.core.settings import BedrockTransport
from routing.core.values import Operation
from routing.paths.base import Answer, Call, Message
from routing.paths.bedrock import DirectBedrockClient
from routing.paths.bedrock_request import Manner
from tests.verified_fakes import recorder
from tests.verified_fakes.asked import MODEL, call
from tests.verified_fakes.certificates import self_signed, server_side
from tests.verified_fakes.recorder import Recorder
from tests.verified_fakes.test_direct_bedrock_client import connect

ARN = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-v1:0"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
WORDS = TEXT.filter(bool)
TEMPERATURE = st.none() | st.floats(0, 1) | st.sampled_from([0, 1, 1e-7, 5e-324])
MOMENT = st.integers(10**9, 4 * 10**9).map(lambda second: datetime.fromtimestamp(second, UTC))
MANNERS = {
    Operation.EMERGENCY: Manner(whole=True, top_p=0.9),
    Operation.INFRASTRUCTURE: Manner(
        max_tokens=9, temperature=0.25, stop_sequences=("STOP", "é\n")
    ),
    Operation.META_MONITOR: Manner(model=ARN, whole=True, max_tokens=1),
}


@st.composite
def calls(draw: st.DrawFn) -> Call:
    speakers = itertools.cycle(("user", "assistant"))
    texts = draw(st.lists(TEXT, min_size=1, max_size=4))
    return call(
        operation=draw(st.sampled_from(list(Operation))),
        messages=tuple(
            Message(role=next(speakers), text=text)  # type: ignore[arg-type]
            for text in texts
        ),
        system=draw(TEXT),
        max_tokens=draw(st.integers(1, 10**6)),
        temperature=draw(TEMPERATURE),
        decision_id=draw(WORDS),
        nonce=draw(TEXT),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where and as whom both ask. `signs` False stands for a bearer token."""

    tls: bool = False
    host: str = "127.0.0.1"
    base: str = ""
    region: str = "eu-central-1"
    model: str = MODEL
    token: str = ""
    bearer: str = ""


PLACES = {
    "stand-in": Place(base="/development"),
    "profile": Place(model="eu.anthropic.claude-sonnet-4-5-20250929-v1:0", region="us-east-1"),
    "arn": Place(model=ARN, base="/a/b/"),
    "strange model": Place(model="ü ~-._%2F/..//x?#&=+*'()", base="/x%20y"),
    "dots": Place(model="..", base="/a/../b//c"),
    "ipv6": Place(host="[::1]"),
    "name": Place(host="LocalHost"),
    "keys": Place(tls=True, region="ap-southeast-2"),
    "session": Place(tls=True, token="FwoGZXIvYXdzE//+=", base="/vpce"),
    "session at ipv6": Place(tls=True, token="a/b+c==", host="[::1]"),
    "bearer": Place(tls=True, bearer="bedrock-api-key-YmVkcm9jay5=="),
    "bearer before keys": Place(tls=True, bearer="x.y-z", token="t", model=ARN),
}


@dataclass(slots=True)
class Pair:
    """One client of each transport before the same server, and the clock of both."""

    recorder: Recorder
    clients: dict[BedrockTransport, DirectBedrockClient] = field(default_factory=dict)
    now: datetime = datetime(2026, 11, 29, 12, tzinfo=UTC)

    async def same(self, asked: Call) -> list[bytes]:
        """Return what boto3 sent for `asked`, and insist that both sent it and heard the same."""
        heard = {t: await client.call(asked) for t, client in self._each()}
        assert heard[BedrockTransport.BOTO3] == heard[BedrockTransport.ASYNCIO]
        return self._sent()

    async def same_probe(self) -> None:
        for _, client in self._each():
            probe = await client.probe()
            assert probe.ok, probe
        assert self._sent()

    def _each(self) -> Iterator[tuple[BedrockTransport, DirectBedrockClient]]:
        self.recorder.take()
        self._said: list[list[bytes]] = []
        for transport, client in self.clients.items():
            yield transport, client
            self._said.append(self.recorder.take())

    def _sent(self) -> list[bytes]:
        first, second = self._said
        assert first == second
        return first

    _said: list[list[bytes]] = field(default_factory=list)


@contextlib.asynccontextmanager
async def pair(place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    as_whom(place, monkeypatch)
    certificate = self_signed(folder)
    server = recorder.recording(
        host=place.host.strip("[]").lower(), tls=server_side(certificate) if place.tls else None
    )
    async with server as one:
        both = Pair(one)
        monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: both.now)
        url = f"http{'s' * place.tls}://{place.host}:{one.port}{place.base}"
        for transport in BedrockTransport:
            both.clients[transport] = connect(
                lambda: url,
                transport,
                local=not place.tls,
                region=place.region,
                model=place.model,
                manners=MANNERS,
                authorities=str(certificate),
                clock=lambda: both.now,
            )
        yield both
        for client in both.clients.values():
            await client.close()


def as_whom(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE12",
        "AWS_SECRET_ACCESS_KEY": "wJalr/XUtn+FEMI",
        "AWS_SESSION_TOKEN": place.token,
        "AWS_BEARER_TOKEN_BEDROCK": place.bearer,
    }
    for name, value in given.items():
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)


@contextlib.contextmanager
def standing(
    place: Place, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[asyncio.Runner, Pair]]:
    """Hold a pair on a loop of its own, for Hypothesis runs nothing asynchronous within a test."""
    uses = uvloop.new_event_loop if place.tls else asyncio.new_event_loop  # each half of them
    with asyncio.Runner(loop_factory=uses) as runner:
        stack = contextlib.AsyncExitStack()
        try:
            yield runner, runner.run(stack.enter_async_context(pair(place, folder, monkeypatch)))
        finally:
            runner.run(stack.aclose())


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_same_bytes_for_the_same_call(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing(place, tmp_path, monkeypatch) as (runner, both):

        @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @example(asked=call('\x00\x01\x1f\x7f\u2028\ufeff\U0001f600"\\/</script>'), now=both.now)
        @given(asked=calls(), now=MOMENT)
        def holds(asked: Call, now: datetime) -> None:
            both.now = now
            [sent] = runner.run(both.same(asked))
            assert (b"Signature=" in sent) is not bool(place.bearer)

        holds()
        runner.run(both.same_probe())


async def test_the_comparison_would_notice_one_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair(Place(), tmp_path, monkeypatch) as both:
        await both.same(call())
        asyncio_client: Any = both.clients[BedrockTransport.ASYNCIO]
        asyncio_client._clock = asyncio_client._carrier._clock = lambda: datetime(
            2026, 11, 29, 12, 0, 1, tzinfo=UTC
        )
        with pytest.raises(AssertionError):
            await both.same(call())


async def test_a_stream_is_the_same_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair(PLACES["session"], tmp_path, monkeypatch) as both:
        heard = []
        for _, client in both._each():
            heard.append([piece async for piece in client.stream(call(system="s"))])
        [sent] = both._sent()
        assert b"/converse-stream HTTP/1.1\r\n" in sent
        assert heard[0] == heard[1]
        assert isinstance(heard[0][-1], Answer)
