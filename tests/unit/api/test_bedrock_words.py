"""Bedrock Runtime's words into ours and back, held against botocore's own model of the service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.api import bedrock_replies, bedrock_words, refusals
from routing.api.bedrock_words import Bedrock
from routing.api.dialect import Asked
from routing.api.refusals import CannotCarry
from routing.core import errors
from routing.core.errors import HybridOpsError, Invalid, NotFound
from tests.unit.stage import CALLER

DOOR = Bedrock(known=("hybridops", "a:b/c"))
HELLO = [{"role": "user", "content": [{"text": "How are we?"}]}]
SAID: dict[str, str | None] = dict.fromkeys(
    ["X-HybridOps-Operation", "X-HybridOps-Priority", "X-HybridOps-Path", "X-HybridOps-Nonce"]
)


@pytest.fixture(scope="module")
def service() -> Any:
    return botocore.session.Session().get_service_model("bedrock-runtime")


def read(*, path: str = "/bedrock/model/hybridops/converse", **more: Any) -> Asked:
    data = json.dumps({"messages": HELLO, **more}).encode()
    return DOOR.read(data, DOOR.place(path), said=SAID, caller=CALLER)


def test_the_address_says_model_and_manner() -> None:
    assert not read().streams
    assert read(path="/bedrock/model/a%3Ab%2Fc/converse-stream").streams


@pytest.mark.parametrize(
    "path",
    [
        "/bedrock/",
        "/bedrock/model/hybridops",
        "/bedrock/model//converse",
        "/bedrock/model/a/b/converse",
        "/bedrock/model/hybridops/invoke",
        "/bedrock/model/hybridops/converse/",
        "/bedrock/model/gpt-9/converse",
    ],
)
def test_other_addresses_are_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        read(path=path)


def test_everything_that_can_be_said() -> None:
    ask = read(
        messages=[
            {"role": "user", "content": [{"text": "One"}, {"text": "two"}]},
            {"role": "assistant", "content": [{"text": "Yes."}]},
            *HELLO,
        ],
        system=[{"text": "Be brief."}, {"text": "Be kind."}],
        inferenceConfig={"maxTokens": 9, "temperature": 0.5, "stopSequences": []},
        requestMetadata={
            "hybridops-operation": "meta_monitor",
            "hybridops-priority": "low",
            "hybridops-subject": "u7",
        },
        additionalModelRequestFields={},
        performanceConfig={"latency": "standard"},
    ).ask
    assert [m.text for m in ask.messages] == ["One\ntwo", "Yes.", "How are we?"]
    assert (ask.system, ask.max_tokens, ask.temperature) == ("Be brief.\nBe kind.", 9, 0.5)
    assert (ask.operation, ask.priority, ask.subject) == ("meta_monitor", "low", "u7")


@pytest.mark.parametrize(
    "more",
    [
        {"toolConfig": {"tools": [{}]}},
        {"guardrailConfig": {"guardrailIdentifier": "g"}},
        {"inferenceConfig": {"topP": 0.5}},
        {"inferenceConfig": {"stopSequences": ["x"]}},
        {"performanceConfig": {"latency": "optimized"}},
        {"requestMetadata": {"cost-centre": "7"}},
        {"system": [{"cachePoint": {"type": "default"}}]},
        {"messages": [{"role": "user", "content": [{"image": {"format": "png"}}]}]},
        {"messages": [{"role": "user", "content": [{"text": "x", "cachePoint": {"a": 1}}]}]},
        {"messages": [{"role": "user", "content": [{}]}]},
    ],
)
def test_what_no_path_can_say_is_refused_and_not_dropped(more: dict[str, Any]) -> None:
    with pytest.raises(CannotCarry):
        read(**more)


@pytest.mark.parametrize(
    "more",
    [
        {"messages": []},
        {"messages": "x"},
        {"messages": ["x"]},
        {"messages": [{"role": "user", "content": "x"}]},
        {"messages": [{"role": "system", "content": [{"text": "x"}]}]},
        {"messages": [{"role": "user", "content": [{"text": " "}]}]},
        {"system": "Be brief."},
        {"inferenceConfig": 7},
        {"inferenceConfig": {"maxTokens": 0}},
        {"requestMetadata": {"hybridops-subject": "two words"}},
    ],
)
def test_what_makes_no_sense_is_invalid(more: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read(**more)


@given(
    body=st.dictionaries(
        st.sampled_from([*bedrock_words.KEYS, "toolConfig"]),
        st.recursive(
            st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["role", "content", "text", "maxTokens"]), inner)
            ),
            max_leaves=8,
        ),
    )
)
def test_whatever_is_sent_is_read_or_refused(body: dict[str, Any]) -> None:
    place = DOOR.place("/bedrock/model/hybridops/converse")
    try:
        found = DOOR.read(json.dumps(body).encode(), place, said=SAID, caller=CALLER)
    except (Invalid, CannotCarry, errors.UnknownWord):
        return
    assert all(message.text.strip() for message in found.ask.messages)


def _every(kind: type[HybridOpsError]) -> list[type[HybridOpsError]]:
    return [kind, *(one for child in kind.__subclasses__() for one in _every(child))]


REFUSALS = [one for one in _every(errors.Refused) if one is not errors.UnknownWord]


def test_every_refusal_of_ours_is_an_error_that_aws_has(service: Any) -> None:
    """A client chooses its exception by the name."""
    known = {shape.name for shape in service.operation_model("Converse").error_shapes}
    known |= {"UnrecognizedClientException", "InvalidSignatureException"}
    known |= {"UnknownOperationException"}
    assert refusals.BadSignature in REFUSALS
    for kind in REFUSALS:
        reply = bedrock_replies.refused(kind("No."), "r1")
        assert reply.headers["x-amzn-errortype"] in known, kind
        assert reply.body == {"message": "No."}


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        (errors.Invalid, "ValidationException", 400),
        (errors.NotSignedIn, "UnrecognizedClientException", 403),
        (refusals.BadSignature, "InvalidSignatureException", 403),
        (errors.Forbidden, "AccessDeniedException", 403),
        (errors.NotFound, "ResourceNotFoundException", 404),
        (errors.TooMany, "ThrottlingException", 429),
        (errors.Unavailable, "ServiceUnavailableException", 503),
        (errors.Broken, "InternalServerException", 500),
    ],
)
def test_the_usual_ones_have_the_names_and_status_of_aws(
    kind: type[HybridOpsError], name: str, status: int
) -> None:
    reply = bedrock_replies.refused(kind("No.", retry_after_s=7), "r1")
    assert (reply.headers["x-amzn-errortype"], reply.status) == (name, status)
    assert (reply.headers["retry-after"], reply.headers["x-amzn-requestid"]) == ("7", "r1")


def test_reasons_to_stop_and_events_are_the_services_own(service: Any) -> None:
    assert set(service.shape_for("StopReason").enum) >= bedrock_replies._STOPS
    output: Mapping[str, Any] = service.shape_for("ConverseStreamOutput").members
    for name in ("messageStart", "contentBlockDelta", "contentBlockStop", "messageStop"):
        assert name in output
    for name in ("throttlingException", "modelStreamErrorException"):
        assert name in output
    assert {"serviceUnavailableException", "internalServerException", "metadata"} <= set(output)
