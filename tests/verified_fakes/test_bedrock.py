"""The Bedrock stand-in, read by unmodified boto3 and judged by botocore's service model."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import exceptions as aws
from botocore.config import Config
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from tests.verified_fakes.standin import StandIn

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = f"arn:aws:bedrock:eu-central-1:123456789012:inference-profile/{MODEL}"
HELLO: Any = [{"role": "user", "content": [{"text": "how are you today"}]}]


def connect(url: str, read_timeout: float = 5) -> BedrockRuntimeClient:
    config = Config(
        connect_timeout=2,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": 1},
    )
    return boto3.Session().client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=config,
    )


@pytest.fixture
def client(bedrock: StandIn) -> Iterator[BedrockRuntimeClient]:
    made = connect(bedrock.url())
    yield made
    made.close()


def output_of(operation: str) -> Any:
    service = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "x")
    return service.operation_model(operation).output_shape


def problems(answer: Any, operation: str) -> str:
    """Return what botocore's model has against `answer` as an output of `operation`."""
    shape = output_of(operation)
    body = {key: value for key, value in answer.items() if key != "ResponseMetadata"}
    strange = set(body) - set(shape.members)
    found = ParamValidator().validate(body, shape)
    return f"{found.generate_report()}{strange or ''}"


@pytest.mark.parametrize("model", [MODEL, ARN])
def test_converse_answers_as_the_service_model_says(
    client: BedrockRuntimeClient, bedrock: StandIn, model: str
) -> None:
    answer = client.converse(modelId=model, messages=HELLO, system=[{"text": "be brief"}])
    assert problems(answer, "Converse") == ""
    text = answer["output"]["message"]["content"][0]["text"]
    assert "not a model" in text
    assert answer["stopReason"] == "end_turn"
    usage = answer["usage"]
    assert usage["inputTokens"] == 6
    assert usage["outputTokens"] == len(text.split())
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    assert answer["ResponseMetadata"]["RequestId"]
    assert bedrock.last()["model"] == model


def test_the_judge_notices_a_wrong_answer(client: BedrockRuntimeClient) -> None:
    answer: dict[str, Any] = dict(client.converse(modelId=MODEL, messages=HELLO))
    assert problems(answer | {"usage": {"inputTokens": "6"}}, "Converse") != ""


def test_a_token_limit_is_kept(client: BedrockRuntimeClient) -> None:
    answer = client.converse(modelId=MODEL, messages=HELLO, inferenceConfig={"maxTokens": 4})
    assert answer["usage"]["outputTokens"] == 4
    assert answer["stopReason"] == "max_tokens"


def read(client: BedrockRuntimeClient) -> Iterator[Any]:
    """Return the events of one streamed answer; the connection is let go of at the end."""
    stream = client.converse_stream(modelId=MODEL, messages=HELLO)["stream"]
    with contextlib.closing(stream):
        yield from stream


def test_a_stream_says_what_a_whole_answer_says(client: BedrockRuntimeClient) -> None:
    events = list(read(client))
    names = [name for event in events for name in event]
    deltas = names.count("contentBlockDelta")
    assert deltas > 3
    assert names == [
        "messageStart",
        *["contentBlockDelta"] * deltas,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    text = "".join(
        event["contentBlockDelta"]["delta"]["text"]
        for event in events
        if "contentBlockDelta" in event
    )
    whole = client.converse(modelId=MODEL, messages=HELLO)
    assert text == whole["output"]["message"]["content"][0]["text"]
    assert events[-1]["metadata"]["usage"] == whole["usage"]


def test_each_event_is_as_the_service_model_says(client: BedrockRuntimeClient) -> None:
    stream = output_of("ConverseStream").members["stream"]
    for event in read(client):
        [(name, payload)] = event.items()
        found = ParamValidator().validate(payload, stream.members[name])
        assert not found.has_errors(), found.generate_report()
        assert set(payload) <= set(stream.members[name].members)


def test_counts_tokens(client: BedrockRuntimeClient) -> None:
    answer = client.count_tokens(modelId=MODEL, input={"converse": {"messages": HELLO}})
    assert problems(answer, "CountTokens") == ""
    assert answer["inputTokens"] == 4
    raw = client.count_tokens(modelId=MODEL, input={"invokeModel": {"body": b"a b"}})
    assert raw["inputTokens"] == 2


CODES = {
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


@pytest.mark.parametrize("code", CODES)
def test_each_error_is_the_exception_that_boto3_knows(
    client: BedrockRuntimeClient, bedrock: StandIn, code: str
) -> None:
    bedrock.fault(kind="error", code=code)
    modelled = getattr(client.exceptions, code)
    for call in (client.converse, client.converse_stream):
        with pytest.raises(modelled) as caught:
            call(modelId=MODEL, messages=HELLO)
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == CODES[code]
        assert bedrock.last()["status"] == CODES[code]


@pytest.mark.parametrize(("status", "code"), [(429, "ThrottlingException"), (502, "")])
def test_an_error_may_be_asked_for_by_its_status(
    client: BedrockRuntimeClient, bedrock: StandIn, status: int, code: str
) -> None:
    bedrock.fault(kind="error", status=status, retry_after_s=7)
    with pytest.raises(aws.ClientError) as caught:
        client.converse(modelId=MODEL, messages=HELLO)
    meta = caught.value.response["ResponseMetadata"]
    assert meta["HTTPStatusCode"] == status
    assert meta["HTTPHeaders"]["retry-after"] == "7"
    assert code in caught.value.response["Error"]["Code"]


def test_a_request_that_botocore_would_not_send_is_refused(bedrock: StandIn) -> None:
    status, headers, body = post(bedrock, f"/model/{MODEL}/converse", {"messages": [{}]})
    assert (status, headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert "messages[0]" in body["message"]


def test_an_unsigned_request_is_refused(bedrock: StandIn) -> None:
    for signed in (False, True):
        status, _, body = post(
            bedrock, f"/model/{MODEL}/converse", {"messages": HELLO}, signed=signed
        )
        assert status == (200 if signed else 403), body


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/model/a/invoke", 404),
        ("/nothing", 404),
        ("/model/a/b/converse", 404),
        ("/../staging/model/a/converse", 404),
    ],
)
def test_what_is_no_operation_is_refused(bedrock: StandIn, path: str, status: int) -> None:
    assert post(bedrock, path, {"messages": HELLO})[0] == status


def test_an_unknown_environment_is_told_the_known_ones(bedrock: StandIn) -> None:
    status, _, body = post(bedrock, f"/model/{MODEL}/converse", {}, environment="prod")
    assert status == 404
    assert "development, staging, production" in body["message"]


def test_a_body_over_the_cap_is_refused(bedrock: StandIn) -> None:
    huge = [{"role": "user", "content": [{"text": "x" * 4_300_000}]}]
    status, headers, _ = post(bedrock, f"/model/{MODEL}/converse", {"messages": huge})
    assert (status, headers["x-amzn-errortype"]) == (413, "RequestEntityTooLargeException")
    assert bedrock.last()["status"] == 413


def post(
    bedrock: StandIn,
    path: str,
    body: Any,
    *,
    signed: bool = True,
    environment: str = "development",
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection("127.0.0.1", bedrock.port, timeout=5)
    headers = {"authorization": "Bearer x"} if signed else {}
    try:
        connection.request("POST", f"/{environment}{path}", json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, json.load(answer)
    finally:
        connection.close()


def test_the_journal_carries_the_nonce_and_no_prompt(
    client: BedrockRuntimeClient, bedrock: StandIn
) -> None:
    secret = [{"role": "user", "content": [{"text": "a very private sentence"}]}]
    marks = {"hybridops-nonce": "nonce-7", "hybridops-decision": "d-7"}
    client.converse(modelId=MODEL, messages=secret, requestMetadata=marks)  # type: ignore[arg-type]
    bedrock.last()
    arrived, ended = [e for e in bedrock.journal() if e["nonce"] == "nonce-7"]
    assert (arrived["event"], ended["event"]) == ("arrived", "ended")
    assert arrived["decision"] == "d-7"
    assert arrived["kind"] == "converse"
    assert arrived["prompt_bytes"] == len("a very private sentence")
    assert ended["status"] == 200
    assert "private" not in json.dumps(bedrock.journal())


def test_environments_keep_journals_and_faults_apart(bedrock: StandIn) -> None:
    bedrock.fault(kind="error", environment="development")
    staging = connect(bedrock.url("staging"))
    staging.converse(modelId=MODEL, messages=HELLO, requestMetadata={"hybridops-nonce": "stg"})
    staging.close()
    assert "stg" in {e["nonce"] for e in bedrock.journal("staging")}
    assert "stg" not in {e["nonce"] for e in bedrock.journal()}


def test_answers_are_not_held_back_by_the_network_stack(client: BedrockRuntimeClient) -> None:
    """Nagle's algorithm with delayed acknowledgements would cost 40 ms each."""
    count: Any = {"converse": {"messages": HELLO}}
    client.count_tokens(modelId=MODEL, input=count)
    spans = []
    for _ in range(20):
        began = time.monotonic()
        client.count_tokens(modelId=MODEL, input=count)
        spans.append(time.monotonic() - began)
    assert sorted(spans)[5] < 0.030
