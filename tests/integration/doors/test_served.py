"""All three doors of a real server with its stand-ins, asked by the clients people have."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import httpx2
import openai
import pytest
from botocore.config import Config
from openai.types.chat import ChatCompletionChunk

from tests.e2e import serving
from tests.e2e.serving import Server
from tests.integration.doors import waiting

# The server has a home of its own, whatever database the tests run on.
pytestmark = pytest.mark.only_on("sqlite")
WORDS = "How are we?"
CHAT: Any = [{"role": "user", "content": WORDS}]
CONVERSE: Any = [{"role": "user", "content": [{"text": WORDS}]}]
DIRECT = {"X-HybridOps-Operation": "infrastructure"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = serving.start(tmp_path_factory.mktemp("home"))
    yield running
    serving.stop(running)


@pytest.fixture(scope="module")
def token(server: Server) -> dict[str, Any]:
    (made,) = server.manage(
        *("create_token", "--environment", "development", "--role", "viewer", "--access-key")
    )
    return made


@pytest.fixture
def openai_client(server: Server, token: dict[str, Any]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{server.url}/openai/v1", api_key=token["secret"], max_retries=2
    ) as made:
        yield made


@pytest.fixture
def bedrock_client(
    server: Server, token: dict[str, Any], openai_client: openai.OpenAI
) -> Iterator[Any]:
    made = boto3.session.Session(
        aws_access_key_id=token["access_key_id"],
        aws_secret_access_key=token["secret_access_key"],
        region_name="eu-central-1",
    ).client(
        "bedrock-runtime",
        endpoint_url=f"{server.url}/bedrock",
        config=Config(signature_version="v4"),
    )
    yield made
    made.close()


def test_a_token_is_good_from_the_moment_it_is_issued(server: Server) -> None:
    for _ in range(2):
        (made,) = server.manage("create_token", "--environment", "development", "--role", "viewer")
        headers = {"Authorization": f"Bearer {made['secret']}"}
        body = {"operation": "standard", "prompt": WORDS}
        answer = httpx2.post(
            f"{server.url}/api/v1/explain", json=body, headers=headers, trust_env=False
        )
        assert answer.status_code == 200


def test_openais_client_whole_and_in_pieces(openai_client: openai.OpenAI) -> None:
    whole = openai_client.chat.completions.create(
        model="hybridops", messages=CHAT, extra_headers=DIRECT
    )
    text = whole.choices[0].message.content
    assert text
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 0
    with openai_client.chat.completions.create(
        model="hybridops",
        messages=CHAT,
        stream=True,
        stream_options={"include_usage": True},
        extra_headers=DIRECT,
    ) as chunks:
        seen = list(chunks)
    assert "".join(c.choices[0].delta.content or "" for c in seen if c.choices) == text
    assert seen[-1].usage == whole.usage


def test_boto3_whole_and_in_pieces(bedrock_client: Any) -> None:
    asked: Any = {"modelId": "hybridops", "messages": CONVERSE}
    asked["requestMetadata"] = {"hybridops-operation": "infrastructure"}
    whole = bedrock_client.converse(**asked)
    (block,) = whole["output"]["message"]["content"]
    pieces = [
        event["contentBlockDelta"]["delta"]["text"]
        for event in bedrock_client.converse_stream(**asked)["stream"]
        if "contentBlockDelta" in event
    ]
    assert "".join(pieces) == block["text"]


def test_our_own_door_in_events(server: Server, openai_client: openai.OpenAI) -> None:
    given = httpx2.post(
        f"{server.url}/api/v1/route",
        headers={"Authorization": f"Bearer {openai_client.api_key}"},
        json={"prompt": WORDS, "stream": True},
        trust_env=False,
    )
    assert given.status_code == 200
    assert given.headers["x-hybridops-stream"] == "one-piece"
    assert given.text.startswith("event: opened\n")
    assert "\nevent: end\n" in given.text


def _break(server: Server, kind: str, after: int) -> None:
    """Let the stand-in of Bedrock send `after` events of each answer, then misbehave."""
    fault = ("--kind", kind, "--after", str(after), "--environment", "development")
    server.manage("upstream", "bedrock", "fault", *fault, "--reason", "a test")


@contextmanager
def _faulty(server: Server, kind: str, after: int) -> Iterator[None]:
    _break(server, kind, after)
    try:
        yield
    finally:
        server.manage("upstream", "bedrock", "fault", "--clear", "--reason", "a test")


def test_the_journal_of_the_other_side_shows_that_a_caller_left_in_the_middle(
    server: Server, openai_client: openai.OpenAI
) -> None:
    """The stand-in goes silent until its own caller is gone; only the end of ours ends that."""
    with _faulty(server, "hang", after=2):
        before = len(_journal(server, "ended"))
        chunks = iter(asked := _asked(openai_client))
        assert [next(chunks).choices[0].delta.content == "" for _ in range(2)] == [True, False]
        assert len(_journal(server, "ended")) == before
        asked.close()
        waiting.until(lambda: len(_journal(server, "ended")) > before, most_s=1.0)


def test_what_breaks_off_in_the_middle_is_told_and_no_second_answer_follows(
    server: Server, openai_client: openai.OpenAI
) -> None:
    before = len(_journal(server, "arrived"))
    with _faulty(server, "cut", after=3), pytest.raises(openai.APIError) as broke:
        pieces = [chunk.choices[0].delta.content for chunk in _asked(openai_client)]
        raise AssertionError(f"{pieces} was taken for a whole answer")
    assert broke.value.code == "truncated"
    assert len(_journal(server, "arrived")) == before + 1


def test_a_server_that_ends_tells_the_callers_of_its_streams(
    server: Server, openai_client: openai.OpenAI
) -> None:
    """The last test of this server: it ends it."""
    _break(server, "hang", after=2)
    chunks = iter(_asked(openai_client))
    next(chunks)
    os.kill(server.process.pid, signal.SIGTERM)
    with pytest.raises(openai.APIError) as told:
        list(chunks)
    assert told.value.code == "unavailable"
    server.process.wait(timeout=serving.END_S)


def _asked(client: openai.OpenAI) -> openai.Stream[ChatCompletionChunk]:
    return client.chat.completions.create(
        model="hybridops", messages=CHAT, stream=True, extra_headers=DIRECT
    )


def _journal(server: Server, event: str) -> list[dict[str, Any]]:
    """Return what the stand-in of Bedrock wrote of answers, not of probes."""
    file = server.home / "run" / "journal" / "development-direct_bedrock.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [x for x in lines if x["event"] == event and x["kind"].startswith("converse")]
