"""DirectBedrockClient against servers that break the rules, asked by Converse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from routing.core.settings import BedrockTransport
from routing.core.values import Failure, Operation
from routing.paths.base import Usage
from routing.paths.bedrock import DirectBedrockClient
from routing.paths.bedrock_request import Manner
from tests.verified_fakes import hostile
from tests.verified_fakes.asked import call, failed
from tests.verified_fakes.hostile import Behave, Request, Server, reply
from tests.verified_fakes.test_direct_bedrock_client import connect

GOOD: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "well"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
}
WHOLE = {operation: Manner(whole=True) for operation in Operation}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with hostile.serving(hostile.saying(reply(200, GOOD))) as one:
        yield one


@pytest.fixture
async def client(
    server: Server, transport: BedrockTransport
) -> AsyncIterator[DirectBedrockClient]:
    made = connect(lambda: server.url, transport, manners=WHOLE)
    yield made
    await made.close()


async def test_the_raw_server_can_be_understood(
    client: DirectBedrockClient, server: Server
) -> None:
    answer = await client.call(call())
    assert answer.text == "well"
    assert len(server.requests) == 1


HEAD = reply(200, b"", length=100_000)


@pytest.mark.parametrize(
    "behave",
    [
        hostile.hanging(),
        hostile.hanging(HEAD),
        hostile.dripping(HEAD),
        hostile.dripping(b"HTTP/1.1 200 OK\r\nx: ", b"y"),
        hostile.dripping(b"", b"H"),
    ],
    ids=["silence", "head then silence", "body drips", "header drips", "status drips"],
)
async def test_the_deadline_ends_what_would_never_end(
    client: DirectBedrockClient, server: Server, behave: Behave
) -> None:
    await client.call(call())
    server.behave = behave
    problem = await failed(client, timeout_s=0.6)
    assert problem.failure in {Failure.TIMEOUT, Failure.PROTOCOL, Failure.UNREACHABLE}
    async with asyncio.timeout(1):
        await server.gone.wait()  # the thread let go of the connection
    server.behave = hostile.saying(reply(200, GOOD))
    assert (await client.call(call())).text == "well"


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b"", Failure.PROTOCOL),
        (b"<html>busy</html>", Failure.PROTOCOL),
        (b"[]", Failure.PROTOCOL),
        (b"[" * 200_000, Failure.PROTOCOL),
        (b'"\\ud800"', Failure.PROTOCOL),
        (b"\xff\xfe", Failure.PROTOCOL),
        (b"{}", Failure.PROTOCOL),
        (b"x" * 5_000_000, Failure.PROTOCOL),
    ],
    ids=["empty", "html", "list", "deep", "half pair", "no utf-8", "nothing", "5 MB"],
)
async def test_what_is_no_answer_is_none(
    client: DirectBedrockClient, server: Server, body: bytes, failure: Failure
) -> None:
    server.behave = hostile.saying(reply(200, body))
    assert (await failed(client)).failure is failure
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "may_be_billed"), [(503, False), (400, False), (200, True)])
@pytest.mark.parametrize("manner", [Manner(), Manner(whole=True)], ids=["stream", "whole"])
async def test_an_error_without_end_was_written_by_no_model(
    server: Server,
    transport: BedrockTransport,
    manner: Manner,
    status: int,
    may_be_billed: bool,
) -> None:
    server.behave = hostile.saying(reply(status, b"x" * 5_000_000))
    client = connect(lambda: server.url, transport, manners=dict.fromkeys(Operation, manner))
    problem = await failed(client)
    await client.close()
    assert problem.failure is Failure.PROTOCOL
    assert (problem.billed is not None) == may_be_billed


def answering(**more: Any) -> Behave:
    return hostile.saying(reply(200, {**GOOD, **more}))


@pytest.mark.parametrize(
    "output",
    [
        {},
        {"message": None},
        {"message": {"role": "assistant"}},
        {"message": {"role": "assistant", "content": []}},
        {"message": {"role": "assistant", "content": "well"}},
        {"message": {"role": "assistant", "content": [{"text": 7}]}},
        {"message": {"role": "assistant", "content": [{"text": ""}]}},
        {"message": {"role": "assistant", "content": [{"toolUse": {"name": "x"}}]}},
    ],
)
async def test_an_answer_without_text_is_none(
    client: DirectBedrockClient, server: Server, output: dict[str, Any]
) -> None:
    server.behave = answering(output=output)
    assert (await failed(client)).failure is Failure.PROTOCOL


async def test_a_filtered_answer_says_what_it_cost(
    client: DirectBedrockClient, server: Server
) -> None:
    server.behave = answering(output={"message": {"content": []}}, stopReason="content_filtered")
    problem = await failed(client)
    assert problem.failure is Failure.VALIDATION
    assert problem.billed is not None
    assert problem.billed.usage == Usage(input_tokens=1, output_tokens=2)
    server.behave = hostile.saying(reply(400, {"message": "no"}))
    assert (await failed(client)).billed is None


@pytest.mark.parametrize(
    "usage",
    [None, {}, {"inputTokens": -1, "outputTokens": 2}, {"inputTokens": 10**12, "outputTokens": 1}],
)
async def test_figures_that_measure_nothing_are_no_usage(
    client: DirectBedrockClient, server: Server, usage: Any
) -> None:
    server.behave = answering(usage=usage)
    assert (await client.call(call())).usage is None


@pytest.mark.parametrize("stop", ["guardrail_intervened", "content_filtered", "max_tokens"])
async def test_why_it_stopped_is_passed_on(
    client: DirectBedrockClient, server: Server, stop: str
) -> None:
    server.behave = answering(stopReason=stop)
    assert (await client.call(call())).stop_reason == stop


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (301, Failure.PROTOCOL),
        (307, Failure.PROTOCOL),
        (401, Failure.REFUSED_CREDENTIALS),
        (403, Failure.REFUSED_CREDENTIALS),
        (404, Failure.PROTOCOL),
        (408, Failure.TIMEOUT),
        (413, Failure.VALIDATION),
        (429, Failure.THROTTLED),
        (500, Failure.PROVIDER),
        (503, Failure.PROVIDER),
        (504, Failure.TIMEOUT),
    ],
)
async def test_a_status_without_a_known_code_is_judged_and_no_redirect_followed(
    client: DirectBedrockClient, server: Server, status: int, failure: Failure
) -> None:
    async with hostile.serving(hostile.saying(reply(200, GOOD))) as trap:
        server.behave = hostile.saying(reply(status, b"<p>no</p>", location=trap.url))
        assert (await failed(client)).failure is failure
        assert not trap.requests
    assert len(server.requests) == 1


@pytest.mark.parametrize("hint", ["", "-5", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 400])
async def test_a_hint_that_says_nothing_is_none(
    client: DirectBedrockClient, server: Server, hint: str
) -> None:
    server.behave = hostile.saying(reply(429, {}, retry_after=hint))
    assert (await failed(client)).retry_after_s is None


@pytest.mark.parametrize(
    "behave", [hostile.cut, hostile.reset, hostile.saying(b"SSH-2.0-x\r\n\r\n")]
)
async def test_a_broken_connection_is_unreachable_after_one_request(
    client: DirectBedrockClient, server: Server, behave: Behave
) -> None:
    await client.call(call())
    server.behave = behave
    assert (await failed(client)).failure is Failure.UNREACHABLE
    assert len(server.requests) == 2


async def test_no_detail_repeats_credentials_or_prompt(
    client: DirectBedrockClient, server: Server
) -> None:
    said: list[str] = []

    async def echo(request: Request, writer: asyncio.StreamWriter) -> None:
        said.append(request.headers["authorization"])
        text = f"Cannot verify Authorization: {said[-1]} for this request\r\n\x1b[31m"
        body = {"message": text}
        writer.write(reply(403, body, x_amzn_errortype="AccessDeniedException"))

    server.behave = echo
    problem = await failed(client)
    signature = said[0].rpartition("Signature=")[2]
    assert len(signature) == 64
    for secret in (signature, "Credential=local", said[0]):
        assert secret not in problem.detail + str(problem) + repr(problem.facts)
    assert problem.detail.isprintable()
    server.behave = hostile.saying(reply(400, {"message": "You said: a very private sentence"}))
    problem = await failed(client, text="it is a very private sentence indeed")
    assert "private" not in problem.detail


async def test_half_a_surrogate_pair_is_refused_before_it_is_sent(
    client: DirectBedrockClient, server: Server
) -> None:
    for words in ({"text": "\ud800"}, {"system": "\udfff"}):
        problem = await failed(client, **words)
        assert (problem.failure, problem.sent) == (Failure.VALIDATION, False)
    assert not server.requests
