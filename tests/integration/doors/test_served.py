"""All three doors of a real server with its stand-ins, asked by the clients people have."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import httpx2
import openai
import pytest
from botocore.config import Config

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
        _until_known(made)
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


def _until_known(client: openai.OpenAI) -> None:
    def known() -> bool:
        try:
            client.models.list()
        except openai.AuthenticationError:
            return False
        return True

    waiting.until(known)


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


def test_the_journal_of_the_other_side_shows_that_a_caller_left(
    server: Server, openai_client: openai.OpenAI
) -> None:
    """The stand-in goes silent until its own caller is gone; only the end of ours ends that."""
    fault = ("--kind", "hang", "--after", "2", "--seconds", "30", "--environment", "development")
    server.manage("upstream", "bedrock", "fault", *fault, "--reason", "a test")
    try:
        before = len(_journal(server, "arrived"))
        with _begun(server, openai_client.api_key):
            waiting.until(lambda: len(_journal(server, "arrived")) > before)
            assert len(_journal(server, "ended")) == before
            left = time.monotonic()
        waiting.until(lambda: len(_journal(server, "ended")) > before)
        assert time.monotonic() - left <= 1.0
    finally:
        server.manage("upstream", "bedrock", "fault", "--clear", "--reason", "a test")


def _journal(server: Server, event: str) -> list[dict[str, Any]]:
    """Return what the stand-in of Bedrock wrote of answers, not of probes."""
    file = server.home / "run" / "journal" / "development-direct_bedrock.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return [x for x in lines if x["event"] == event and x["kind"].startswith("converse")]


@contextmanager
def _begun(server: Server, secret: str) -> Iterator[None]:
    """Hold a request of our own door under way for the block, then drop its connection."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    body = json.dumps({"prompt": WORDS, "operation": "infrastructure", "stream": True})
    head = (
        f"POST /api/v1/route HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\n"
        f"Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n\r\n"
    )
    with socket.create_connection((host, int(port))) as line:
        line.sendall((head + body).encode())
        yield
