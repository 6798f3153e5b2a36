"""Requests that AWS would refuse are refused, by the contract that botocore ships."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from routing.upstreams import wire

MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "hello there"}]}]}


def refused(verb: str, body: dict[str, Any], model: str = MODEL) -> wire.AwsError:
    with pytest.raises(wire.AwsError) as caught:
        wire.read(verb, model, body)
    return caught.value


def test_reads_what_was_asked() -> None:
    asked = wire.read(
        "converse",
        MODEL,
        HELLO
        | {
            "system": [{"text": "be brief"}],
            "inferenceConfig": {"maxTokens": 5, "stopSequences": ["x"], "temperature": 0.5},
            "requestMetadata": {"hybridops-nonce": "n-1"},
        },
    )
    assert asked == wire.Asked(
        model=MODEL,
        prompt="be brief\nhello there",
        max_tokens=5,
        stops=("x",),
        metadata={"hybridops-nonce": "n-1"},
    )


@pytest.mark.parametrize(
    "change",
    [
        {"messages": []},
        {"messages": None},
        {"messages": "hello"},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": []}]},
        {"messages": [{"role": "user", "content": [{"text": " "}]}]},
        {"messages": [{"role": "user", "content": [{"text": 1}]}]},
        {"messages": [{"role": "user", "content": [{"text": "a", "image": {}}]}]},
        {"messages": [{"role": "assistant", "content": [{"text": "a"}]}]},
        {"inferenceConfig": {"maxTokens": 0}},
        {"inferenceConfig": {"maxTokens": "5"}},
        {"inferenceConfig": {"temperature": -1}},
        {"toolConfig": {"tools": [{"cachePoint": {"type": "default"}}]}},
        {"guardrailConfig": {"guardrailIdentifier": "a", "guardrailVersion": "1"}},
        {"madeUp": 1},
    ],
)
def test_a_wrong_request_is_a_validation_error(change: dict[str, Any]) -> None:
    wire.read("converse", MODEL, HELLO)
    for verb in ("converse", "converse-stream"):
        error = refused(verb, HELLO | change)
        assert (error.code, error.status) == ("ValidationException", 400)


@pytest.mark.parametrize("model", ["", "no spaces here", "a/b", "x" * 2049, "a\nb"])
def test_a_wrong_model_id_is_a_validation_error(model: str) -> None:
    assert refused("converse", HELLO, model).code == "ValidationException"


def test_counts_a_conversation_or_a_body() -> None:
    assert wire.read("count-tokens", MODEL, {"input": {"converse": HELLO}}).prompt == "hello there"
    body = base64.b64encode(b"a b c").decode()
    invoke = {"input": {"invokeModel": {"body": body}}}
    assert wire.read("count-tokens", MODEL, invoke).prompt == "a b c"
    wrongs: tuple[dict[str, Any], ...] = (
        {},
        {"input": {}},
        {"input": {"invokeModel": {"body": "%%%"}}},
    )
    for wrong in wrongs:
        assert refused("count-tokens", wrong).code == "ValidationException"


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"a":NaN}', b"\xff", b'{"a":' + b"[" * 100_000])
def test_what_is_no_json_object_is_a_serialization_error(raw: bytes) -> None:
    with pytest.raises(wire.AwsError) as caught:
        wire.parse(raw)
    assert (caught.value.code, caught.value.status) == ("SerializationException", 400)


@pytest.mark.parametrize("header", ["", "Basic eDp5", "Bearer ", "AWS4-HMAC-SHA256 Credential=a"])
def test_an_unsigned_request_is_refused(header: str) -> None:
    with pytest.raises(wire.AwsError) as caught:
        wire.check_signed(header)
    assert caught.value.status == 403


def test_a_signature_or_a_token_will_do() -> None:
    wire.check_signed("Bearer abc")
    wire.check_signed("AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=b")


def test_statuses_are_those_of_the_service_model() -> None:
    listed = {
        "ThrottlingException": 429,
        "ServiceUnavailableException": 503,
        "InternalServerException": 500,
        "ModelTimeoutException": 408,
        "ModelErrorException": 424,
        "ModelNotReadyException": 429,
        "ValidationException": 400,
        "AccessDeniedException": 403,
        "ResourceNotFoundException": 404,
    }
    assert {code: wire.status_of(code) for code in listed} == listed
    assert wire.status_of("MadeUp") == 500
    for status in (429, 503, 500, 408, 424, 400, 403, 404):
        assert wire.status_of(wire.code_of(status)) == status
