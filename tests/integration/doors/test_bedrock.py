"""An unmodified boto3 client with `endpoint_url` against our door, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path as Folder
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from routing.core.values import Failure
from routing.paths.base import Usage
from routing.paths.scripted import fails, says, streams
from tests.integration.doors import waiting
from tests.integration.doors.conftest import Tokens
from tests.integration.runs.served import Served
from tests.unit.stage import Stage

HELLO: Any = [{"role": "user", "content": [{"text": "How are we?"}]}]
USAGE = Usage(input_tokens=7, output_tokens=3)
OPERATION = "hybridops-operation"


@cache
def session() -> boto3.session.Session:
    """Return one session for all: it reads the model of the service once."""
    return boto3.session.Session()


def connect(served: Served, issued: Tokens, name: str = "plain", **more: Any) -> Any:
    token = issued.by_secret[name]
    given = {
        "aws_access_key_id": token.access_key_id,
        "aws_secret_access_key": issued.secret(token),
        "region_name": "eu-central-1",
        "endpoint_url": f"{served.url}/bedrock",
        "config": Config(retries={"total_max_attempts": 1}),
        **more,
    }
    return session().client("bedrock-runtime", **given)


@pytest.fixture(autouse=True)
def no_machine_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Folder) -> None:
    """Let nothing of this machine's AWS settings in."""
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


@pytest.fixture
def client(served: Served, issued: Tokens) -> Iterator[Any]:
    made = connect(served, issued)
    yield made
    made.close()


def headers(answer: Any) -> dict[str, str]:
    found: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return found


def test_a_whole_answer(client: Any, stage: Stage) -> None:
    stage.mcp.otherwise = says("All well.", usage=USAGE)
    answer = client.converse(
        modelId="hybridops",
        messages=HELLO,
        system=[{"text": "Be brief."}],
        inferenceConfig={"maxTokens": 9, "temperature": 0.5},
    )
    assert answer["output"]["message"]["content"] == [{"text": "All well."}]
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"] == {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
    (kept,), (call,) = stage.records(), stage.mcp.calls
    assert headers(answer)["x-hybridops-decision"] == kept["id"]
    assert answer["ResponseMetadata"]["RequestId"] == kept["request_id"]
    assert (kept["tenant"], kept["environment"], kept["token"]) == (
        "acme",
        "production",
        "tok_plain",
    )
    assert (call.system, call.max_tokens, call.temperature) == ("Be brief.", 9, 0.5)


def test_an_answer_in_pieces_arrives_as_it_comes(client: Any, stage: Stage) -> None:
    second = waiting.Gate()
    stage.mcp.otherwise = streams("All ", "well.", holds={1: second.event}, usage=USAGE)
    answer = client.converse_stream(modelId="hybridops", messages=HELLO)
    events = iter(answer["stream"])
    assert next(events) == {"messageStart": {"role": "assistant"}}
    assert next(events)["contentBlockDelta"]["delta"] == {"text": "All "}
    second.open()  # what came before came while the path still held the rest back
    rest = list(events)
    assert rest[0]["contentBlockDelta"]["delta"] == {"text": "well."}
    assert rest[2] == {"messageStop": {"stopReason": "end_turn"}}
    assert rest[3]["metadata"]["usage"]["totalTokens"] == 10
    assert headers(answer)["x-hybridops-decision"] == stage.records()[0]["id"]
    assert headers(answer)["x-hybridops-stream"] == "one-piece"
    assert answer["ResponseMetadata"]["RequestId"] == stage.records()[0]["request_id"]


def test_usage_that_nobody_knows_is_left_out(client: Any) -> None:
    assert "usage" not in client.converse(modelId="hybridops", messages=HELLO)


def test_a_stream_that_breaks_off_raises(client: Any, stage: Stage) -> None:
    stage.mcp.otherwise = streams("All ", failure=Failure.TRUNCATED)
    answer = client.converse_stream(modelId="hybridops", messages=HELLO)
    seen = []
    with pytest.raises(EventStreamError, match="incomplete") as broke:
        for event in answer["stream"]:
            seen += event.get("contentBlockDelta", {}).get("delta", {}).values()
    answer["stream"].close()
    assert seen == ["All "]
    assert broke.value.response["Error"]["Code"] == "modelStreamErrorException"


def test_a_caller_that_leaves_ends_the_exchange_beneath_within_a_second(
    client: Any, stage: Stage
) -> None:
    stage.mcp.otherwise = streams("All ", "well.", holds={1: waiting.Gate().event})
    answer = client.converse_stream(modelId="hybridops", messages=HELLO)
    next(iter(answer["stream"]))
    assert stage.mcp.under_way == 1
    answer["stream"].close()
    waiting.until(lambda: stage.mcp.under_way == 0, most_s=1.0)
    waiting.until(lambda: len(stage.records()) == 1)
    assert stage.records()[0]["streamed"]["end"] == "given_up"


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (Failure.VALIDATION, "ValidationException"),
        (Failure.UNREACHABLE, "ServiceUnavailableException"),
        (Failure.OUTCOME_UNKNOWN, "ModelErrorException"),
        (Failure.COMPLIANCE, "ValidationException"),
    ],
)
def test_without_an_answer_the_client_raises_what_fits(
    client: Any, stage: Stage, failure: Failure, raised: str
) -> None:
    stage.mcp.otherwise = stage.direct.otherwise = fails(failure)
    for ask in (client.converse, client.converse_stream):
        with pytest.raises(getattr(client.exceptions, raised)) as told:
            ask(modelId="hybridops", messages=HELLO)
        assert headers(told.value.response)["x-hybridops-decision"] == stage.records()[-1]["id"]


def test_a_spent_budget_raises_the_throttling_error_with_its_end(
    client: Any, stage: Stage
) -> None:
    stage.spend_all()
    with pytest.raises(client.exceptions.ThrottlingException) as refused:
        client.converse(modelId="hybridops", messages=HELLO)
    told = refused.value.response
    assert "begins anew at 2026-11-24 00:00 UTC" in told["Error"]["Message"]
    assert told["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "43200"
    assert not stage.direct.calls + stage.mcp.calls


def test_operation_and_priority_are_chosen_in_the_requests_metadata(
    client: Any, stage: Stage
) -> None:
    marks = {OPERATION: "infrastructure", "hybridops-priority": "low"}
    client.converse(modelId="hybridops", messages=HELLO, requestMetadata=marks)
    (kept,) = stage.records()
    assert (kept["operation"], kept["arguments"]["priority"]) == ("infrastructure", "low")


def test_or_in_headers_that_a_hook_of_the_client_adds(client: Any, stage: Stage) -> None:
    def mark(request: Any, **_: Any) -> None:
        request.headers["X-HybridOps-Operation"] = "infrastructure"

    client.meta.events.register("before-sign.bedrock-runtime", mark)
    client.converse(modelId="hybridops", messages=HELLO)
    assert stage.records()[0]["operation"] == "infrastructure"


def test_an_emergency_needs_its_own_scope_and_its_denial_is_booked(
    client: Any, served: Served, issued: Tokens, stage: Stage
) -> None:
    asked: Any = {"modelId": "hybridops", "messages": HELLO}
    asked["requestMetadata"] = {OPERATION: "emergency"}
    with pytest.raises(client.exceptions.AccessDeniedException):
        client.converse(**asked)
    waiting.until(lambda: [d.object_id for d in issued.denials()] == ["emergency"])
    connect(served, issued, "urgent").converse(**asked)
    assert [kept["operation"] for kept in stage.records()] == ["emergency"]


@pytest.mark.parametrize(
    "more",
    [
        {"toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]}},
        {"inferenceConfig": {"topP": 0.5}},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"image": {"format": "png", "source": {"bytes": b"x"}}}],
                }
            ]
        },
        {"requestMetadata": {"cost-centre": "7"}},
    ],
)
def test_what_cannot_be_carried_is_refused_before_any_call(
    client: Any, stage: Stage, more: dict[str, Any]
) -> None:
    with pytest.raises(client.exceptions.ValidationException, match="carr"):
        client.converse(**{"modelId": "hybridops", "messages": HELLO, **more})
    assert not stage.records()


def test_only_configured_names_of_models_are_taken(client: Any) -> None:
    client.converse(modelId="house-model", messages=HELLO)
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="house-model"):
        client.converse(modelId="anthropic.claude-v9:0", messages=HELLO)


def test_a_bearer_token_works_where_boto3_sends_one(
    served_safely: Served, certificate: Folder, monkeypatch: pytest.MonkeyPatch, stage: Stage
) -> None:
    """boto3 sends bearer tokens by https alone."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "plain")
    made = session().client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=f"{served_safely.url}/bedrock",
        verify=str(certificate),
        config=Config(retries={"total_max_attempts": 1}),
    )
    made.converse(modelId="hybridops", messages=HELLO)
    assert stage.records()[0]["token"] == "tok_plain"
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "guessed")
    other = session().client(
        "bedrock-runtime",
        region_name="eu-central-1",
        endpoint_url=f"{served_safely.url}/bedrock",
        verify=str(certificate),
    )
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        other.converse(modelId="hybridops", messages=HELLO)


def test_a_wrong_secret_and_a_token_no_longer_in_force(
    client: Any, served: Served, issued: Tokens
) -> None:
    wrong = connect(served, issued, aws_secret_access_key="wrong")
    with pytest.raises(ClientError) as told:
        wrong.converse(modelId="hybridops", messages=HELLO)
    assert told.value.response["Error"]["Code"] == "InvalidSignatureException"
    client.converse(modelId="hybridops", messages=HELLO)
    del issued.by_secret["plain"]
    with pytest.raises(ClientError) as told:
        client.converse(modelId="hybridops", messages=HELLO)
    assert told.value.response["Error"]["Code"] == "UnrecognizedClientException"
    assert told.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
