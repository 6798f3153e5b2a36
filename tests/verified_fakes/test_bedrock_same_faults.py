"""Both transports fail alike: the same failure, the same word on what was sent and billed,
the same hint."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.core import eventstream
from routing.core.allowance import UNTOLD
from routing.core.eventstream import event, frame
from routing.core.settings import BedrockTransport
from routing.core.values import Failure, Operation
from routing.paths.base import Answer, PathError
from routing.paths.bedrock import DirectBedrockClient
from tests.verified_fakes import hostile
from tests.verified_fakes.asked import call
from tests.verified_fakes.certificates import self_signed, server_side
from tests.verified_fakes.hostile import Behave, Server, reply
from tests.verified_fakes.recorder import EVENTS
from tests.verified_fakes.test_bedrock_hostile import WHOLE
from tests.verified_fakes.test_direct_bedrock_client import connect

# Failure, whether it was sent, the hint, what was billed; or the answer's text, reason and usage.
Outcome = tuple[Any, ...]
Clients = dict[BedrockTransport, DirectBedrockClient]
START = event("messageStart", {"role": "assistant"})
WELL = event("contentBlockDelta", {"delta": {"text": "well"}})
STOP = event("messageStop", {"stopReason": "end_turn"})
END = event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}})


async def outcome(client: DirectBedrockClient, timeout_s: float = 5.0) -> Outcome:
    try:
        answer = await client.call(call(timeout_s=timeout_s, first_s=timeout_s))
    except PathError as error:
        # What is billed untold by its kind needs no mark.
        billed = None if error.failure in UNTOLD else error.billed
        return error.failure, error.sent, error.retry_after_s, billed
    return answer.text, answer.stop_reason, answer.usage


async def same(clients: Clients, timeout_s: float = 5.0) -> Outcome:
    """Return what both clients meet, and insist that it is the same."""
    boto3 = await outcome(clients[BedrockTransport.BOTO3], timeout_s)
    ours = await outcome(clients[BedrockTransport.ASYNCIO], timeout_s)
    assert ours == boto3
    return boto3


@contextlib.asynccontextmanager
async def clients(url: Callable[[], str] | str, **more: Any) -> AsyncIterator[Clients]:
    where = url if callable(url) else lambda: url
    made = {transport: connect(where, transport, **more) for transport in BedrockTransport}
    yield made
    for client in made.values():
        await client.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with hostile.serving(hostile.saying(b"")) as one:
        yield one


@pytest.fixture
async def streaming(server: Server) -> AsyncGenerator[Clients]:
    async with clients(lambda: server.url) as made:
        yield made


@pytest.fixture
async def whole(server: Server) -> AsyncGenerator[Clients]:
    async with clients(lambda: server.url, manners=WHOLE) as made:
        yield made


CODES = st.sampled_from(
    [
        "ThrottlingException",
        "ModelTimeoutException",
        "ExpiredTokenException",
        "aws.protocoltests#ValidationException:http://internal.amazon.com/coral/",
        "ServiceQuotaExceededException",
        "NobodyKnowsException",
        "",
    ]
)
STATUS = st.sampled_from([301, 302, 400, 401, 403, 404, 408, 413, 424, 429, 500, 502, 503, 504])
VALUES = CODES | st.integers() | st.none() | st.lists(st.integers(), max_size=1)
BODIES = (
    st.dictionaries(
        st.sampled_from(["message", "Message", "__type", "code", "Code", "x"]), VALUES
    ).map(lambda body: json.dumps(body).encode())
    | st.sampled_from([b"", b"{", b"[]", b"null", b"<html>no</html>", b"\xff", b'"text"'])
    | st.binary(max_size=20)
)
HINTS = st.sampled_from(["", "7", "0", "-1", "soon", "9999999999", "1.5"])


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("manners", [{}, WHOLE], ids=["stream", "whole"])
def test_every_error_of_the_service_is_the_same_failure(manners: Any, loop: Any) -> None:
    with asyncio.Runner(loop_factory=loop) as runner, standing(runner, manners) as (server, made):

        @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(status=STATUS, code=CODES, body=BODIES, hint=HINTS)
        def holds(status: int, code: str, body: bytes, hint: str) -> None:
            said: Any = {"x_amzn_errortype": code, "retry_after": hint}
            server.behave = hostile.saying(reply(status, body, **said))
            found = runner.run(same(made))
            assert found[0] in Failure

        holds()


@contextlib.contextmanager
def standing(runner: asyncio.Runner, manners: Any) -> Iterator[tuple[Server, Clients]]:
    stack = contextlib.AsyncExitStack()
    try:
        server = runner.run(stack.enter_async_context(hostile.serving(hostile.saying(b""))))
        made = stack.enter_async_context(clients(lambda: server.url, manners=manners))
        yield server, runner.run(made)
    finally:
        runner.run(stack.aclose())


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {eventstream.CONTENT_TYPE}\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + body + end


def then_cut(*parts: bytes) -> Behave:
    async def behave(request: hostile.Request, writer: asyncio.StreamWriter) -> None:
        await hostile.saying(*parts)(request, writer)
        writer.close()

    return behave


GOOD = reply(200, EVENTS)
LINES = b"".join(b"x-%d: y\r\n" % number for number in range(150))
WIRE: dict[str, tuple[Behave, Any]] = {
    "closed before a word": (hostile.cut, Failure.UNREACHABLE),
    "reset before a word": (hostile.reset, Failure.UNREACHABLE),
    "closed in the status": (then_cut(GOOD[:10]), Failure.UNREACHABLE),
    "closed in the headers": (then_cut(GOOD[:30]), Failure.TRUNCATED),
    "closed in the body": (then_cut(GOOD[: len(GOOD) // 2]), Failure.TRUNCATED),
    "closed in a chunk": (then_cut(chunked(START, WELL, end=b"ff\r\nabc")), Failure.TRUNCATED),
    "no chunk": (then_cut(chunked(START, end=b"zz\r\n")), Failure.TRUNCATED),
    "no HTTP": (then_cut(b"SSH-2.0-x\r\n\r\n"), Failure.UNREACHABLE),
    "a header without end": (
        then_cut(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000),
        Failure.UNREACHABLE,
    ),
    "too many headers": (
        then_cut(b"HTTP/1.1 200 OK\r\n" + LINES + b"\r\n"),
        Failure.UNREACHABLE,
    ),
    "silence": (hostile.hanging(), Failure.TIMEOUT),
    "silence after the head": (hostile.hanging(reply(200, b"", length=99)), Failure.TIMEOUT),
    "a dripping head": (hostile.dripping(b"HTTP/1.1 200 OK\r\nx: ", b"y"), Failure.TIMEOUT),
    "a dripping body": (hostile.dripping(reply(200, b"", length=999), b"\0"), Failure.TIMEOUT),
    "a redirect": (
        hostile.saying(reply(307, b"", location="http://127.0.0.1:9/")),
        Failure.PROTOCOL,
    ),
    "an early word": (hostile.saying(b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD), "well"),
    "chunks": (hostile.saying(chunked(EVENTS[:7], EVENTS[7:100], EVENTS[100:])), "well"),
    "a trailer": (hostile.saying(chunked(EVENTS, end=b"0\r\nx: y\r\n\r\n")), "well"),
    "no length": (then_cut(b"HTTP/1.1 200 OK\r\n\r\n" + EVENTS), "well"),
    "HTTP/1.0": (then_cut(b"HTTP/1.0 200 OK\r\n\r\n" + EVENTS), "well"),
}


@pytest.mark.parametrize(("behave", "end"), WIRE.values(), ids=WIRE)
async def test_every_fault_of_the_wire_is_the_same_failure(
    streaming: Clients, server: Server, behave: Behave, end: Any
) -> None:
    server.behave = hostile.saying(GOOD)
    assert (await same(streaming))[0] == "well"
    server.behave = behave
    found = await same(streaming, timeout_s=0.5)
    assert found[0] == end
    if isinstance(end, Failure):
        assert found[1] is True
    server.behave = hostile.saying(GOOD)
    assert (await same(streaming))[0] == "well"


def lying(total: int, named: int) -> bytes:
    """Return a prelude that holds and promises a frame of that size."""
    prelude = struct.pack(">II", total, named)
    return prelude + struct.pack(">I", zlib.crc32(prelude))


def twice(name: bytes) -> bytes:
    """Return a frame with a header that is there twice."""
    one = bytes([len(name)]) + name + b"\x07\x00\x01x"
    prelude = struct.pack(">II", 16 + 2 * len(one), 2 * len(one))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + one + one
    return whole + struct.pack(">I", zlib.crc32(whole))


def raised(name: str) -> bytes:
    return eventstream.exception(name, "no")


ERROR = frame({":message-type": "error", ":error-code": "Busy", ":error-message": "m"}, {})
TYPED = frame({":message-type": "event", ":event-type": "reasoningDelta"}, {"x": 1})
STREAMS: dict[str, tuple[bytes, Any]] = {
    "whole": (START + WELL + STOP + END, "well"),
    "unknown events": (TYPED + START + TYPED + WELL + TYPED + STOP + END, "well"),
    "without figures": (START + WELL + STOP, "well"),
    "broken after the answer": (START + WELL + STOP + raised("throttlingException"), "well"),
    "half a frame after the answer": (START + WELL + STOP + END[:9], "well"),
    "without an end": (START + WELL, Failure.TRUNCATED),
    "half a frame": (START + WELL + STOP[:20], Failure.TRUNCATED),
    "nothing": (b"", Failure.TRUNCATED),
    "no frames": (b"a sentence that is no frame at all", Failure.PROTOCOL),
    "a spoiled frame": (START + eventstream.spoiled(WELL) + STOP, Failure.PROTOCOL),
    "a spoiled prelude": (START + b"\1" + WELL[1:] + STOP, Failure.PROTOCOL),
    "a frame over 24 MB": (START + lying(24 * 1024 * 1024 + 17, 0), Failure.PROTOCOL),
    "headers over 128 kB": (START + lying(10**6, 128 * 1024 + 1), Failure.PROTOCOL),
    "a header twice": (START + twice(b"x") + STOP, Failure.PROTOCOL),
    "no JSON": (START + WELL.replace(b"{", b"["), Failure.PROTOCOL),
    "text that is none": (event("contentBlockDelta", {"delta": {"text": 7}}), Failure.PROTOCOL),
    "no delta": (event("contentBlockDelta", {}) + STOP, Failure.PROTOCOL),
    "no reason": (START + WELL + event("messageStop", {}), Failure.PROTOCOL),
    "no text": (START + STOP + END, Failure.PROTOCOL),
    "throttling": (START + WELL + raised("throttlingException"), Failure.THROTTLED),
    "internal": (raised("internalServerException"), Failure.PROVIDER),
    "model": (START + raised("modelStreamErrorException"), Failure.PROVIDER),
    "unavailable": (START + raised("serviceUnavailableException"), Failure.PROVIDER),
    "validation": (START + raised("validationException"), Failure.VALIDATION),
    "unknown exception": (START + raised("coffeeException"), Failure.PROVIDER),
    "an error": (START + ERROR, Failure.PROVIDER),
}


@pytest.mark.parametrize(("body", "end"), STREAMS.values(), ids=STREAMS)
async def test_every_fault_of_a_stream_is_the_same_failure(
    streaming: Clients, server: Server, body: bytes, end: Any
) -> None:
    server.behave = hostile.saying(reply(200, body, content_type=eventstream.CONTENT_TYPE))
    found = await same(streaming)
    assert found[0] == end
    server.behave = hostile.saying(chunked(*(body[at : at + 5] for at in range(0, len(body), 5))))
    assert await same(streaming) == found


async def test_a_stream_without_measure_is_the_same_failure(
    streaming: Clients, server: Server
) -> None:
    """A frame whose 20 MB are really sent, and a stream of events that never ends."""
    server.behave = hostile.saying(reply(200, lying(20_000_000, 0) + bytes(20_000_000)))
    assert (await same(streaming))[0] is Failure.PROTOCOL
    piece = event("contentBlockDelta", {"delta": {"text": "x" * 1_000_000}})
    server.behave = hostile.saying(reply(200, piece * 6))
    assert (await same(streaming))[0] is Failure.PROTOCOL


@pytest.mark.parametrize("size", [4 * 1024 * 1024 - 200, 4 * 1024 * 1024 + 1])
async def test_a_whole_answer_has_the_same_measure(
    whole: Clients, server: Server, size: int
) -> None:
    content = [{"text": "x" * (size - 120)}]
    body = {"output": {"message": {"content": content}}, "stopReason": "end_turn"}
    server.behave = hostile.saying(reply(200, json.dumps(body).encode().ljust(size)))
    found = await same(whole)
    assert (found[0] is Failure.PROTOCOL) is (size > 4 * 1024 * 1024)


async def test_nobody_there_is_the_same_failure() -> None:
    for url in ("http://127.0.0.1:9", "http://[::1]:9"):
        async with clients(url) as made:
            assert await same(made) == (Failure.UNREACHABLE, False, None, None)


async def test_a_name_that_is_none_is_the_same_failure() -> None:
    async with clients("http://nobody.invalid") as made:
        assert (await same(made, timeout_s=3))[:2] == (Failure.UNREACHABLE, False)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE12")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.usefixtures("keys")
async def test_certificates_are_checked_alike(tmp_path: Path) -> None:
    good, other = self_signed(tmp_path), self_signed(tmp_path, "elsewhere.example")
    for shown, trusted, end in (
        (good, good, "well"),
        (good, other, Failure.UNREACHABLE),
        (other, other, Failure.UNREACHABLE),  # the name is another
    ):
        async with hostile.serving(hostile.saying(GOOD), server_side(shown)) as server:
            url = f"https://127.0.0.1:{server.port}"
            async with clients(url, local=False, authorities=str(trusted)) as made:
                found = await same(made)
                assert found[0] == end
                assert len(server.requests) == (2 if end == "well" else 0)
                if end != "well":
                    assert found[1] is False


@pytest.mark.usefixtures("keys")
async def test_who_never_shakes_hands_is_unreachable_alike(server: Server) -> None:
    """It takes the connection and says nothing: TLS never begins."""
    server.behave = hostile.hanging()
    url = f"https://127.0.0.1:{server.port}"
    async with clients(url, local=False) as made:
        began = asyncio.get_running_loop().time()
        assert await same(made) == (Failure.UNREACHABLE, False, None, None)
        assert asyncio.get_running_loop().time() - began < 3


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("timeout_s", "failure"), [(0.5, Failure.TIMEOUT), (10.0, Failure.UNREACHABLE)]
)
async def test_a_connect_is_cut_short_alike_by_the_call_or_by_its_own_limit(
    server: Server, timeout_s: float, failure: Failure
) -> None:
    """The call's own time says nothing about whether anybody is there; a whole second does."""
    server.behave = hostile.hanging()
    async with clients(f"https://127.0.0.1:{server.port}", local=False) as made:
        ours = await outcome(made[BedrockTransport.ASYNCIO], timeout_s)
        assert ours == (failure, False, None, None)
        # Who waits for boto3's thread may end the call first, and cannot tell what was sent.
        assert (await outcome(made[BedrockTransport.BOTO3], timeout_s))[0] is failure


async def test_nobody_there_is_unreachable_however_short_the_call() -> None:
    async with clients("http://127.0.0.1:9") as made:
        assert await same(made, timeout_s=0.5) == (Failure.UNREACHABLE, False, None, None)


async def test_a_connection_that_was_closed_meanwhile_is_not_used(
    streaming: Clients, server: Server
) -> None:
    server.behave = then_cut(GOOD)
    for _ in range(3):
        found = await same(streaming)
        assert found[0] == "well"
    assert server.connections == 6


@pytest.mark.parametrize("stop", ["max_tokens", "guardrail_intervened", "content_filtered"])
async def test_an_answer_is_the_same_answer(streaming: Clients, server: Server, stop: str) -> None:
    body = START + WELL + event("messageStop", {"stopReason": stop}) + END
    server.behave = hostile.saying(reply(200, body))
    answers = [await client.call(call()) for client in streaming.values()]
    assert answers[0] == answers[1]
    assert isinstance(answers[0], Answer)
    assert answers[0].stop_reason == stop


def test_operations_all_have_a_manner() -> None:
    assert set(WHOLE) == set(Operation)


@pytest.mark.parametrize("kind", ["wire", "streams"])
def test_the_loop_that_the_server_runs_on_meets_the_same(kind: str) -> None:
    """uvloop is another implementation of the transports beneath."""
    faults: dict[str, tuple[Behave, Any]] = WIRE
    if kind == "streams":
        faults = {
            name: (hostile.saying(reply(200, body)), end) for name, (body, end) in STREAMS.items()
        }

    async def meet() -> dict[str, Any]:
        async with hostile.serving(hostile.saying(GOOD)) as server:
            client, met = connect(lambda: server.url), {}
            await client.call(call())
            for name, (behave, _) in faults.items():
                server.behave = behave
                met[name] = (await outcome(client, timeout_s=0.4))[0]
            await client.close()
            return met

    assert uvloop.run(meet()) == {name: end for name, (_, end) in faults.items()}
