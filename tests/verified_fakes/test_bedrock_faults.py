"""What each fault looks like on the wire, and to boto3."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore import exceptions as aws
from botocore.eventstream import ChecksumMismatch
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from tests.verified_fakes.standin import StandIn
from tests.verified_fakes.test_bedrock import HELLO, MODEL, connect, read

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient


@pytest.fixture
def client(bedrock: StandIn) -> Iterator[BedrockRuntimeClient]:
    made = connect(bedrock.url(), read_timeout=1)
    yield made
    made.close()


def call(client: BedrockRuntimeClient) -> Any:
    return client.converse(modelId=MODEL, messages=HELLO)


def raw(bedrock: StandIn, verb: str = "converse") -> tuple[bytes, bool]:
    """Return all bytes of one answer, and whether they ended by a reset."""
    body = json.dumps({"messages": HELLO}).encode()
    head = (
        f"POST /development/model/{MODEL}/{verb} HTTP/1.1\r\nhost: 127.0.0.1:{bedrock.port}\r\n"
        f"authorization: Bearer x\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    got = b""
    with socket.create_connection(("127.0.0.1", bedrock.port), 5) as peer:
        peer.sendall(head.encode() + body)
        try:
            while part := peer.recv(65536):
                got += part
        except ConnectionResetError:
            return got, True
    return got, False


def test_latency_waits_and_then_answers(client: BedrockRuntimeClient, bedrock: StandIn) -> None:
    bedrock.fault(kind="latency", ms=300)
    began = time.monotonic()
    assert call(client)["stopReason"] == "end_turn"
    assert 0.3 <= time.monotonic() - began < 1
    assert bedrock.last()["fault"] == "latency"
    assert bedrock.last()["ms"] >= 300


def test_hang_answers_nothing_at_all(client: BedrockRuntimeClient, bedrock: StandIn) -> None:
    bedrock.fault(kind="hang", seconds=60)
    with pytest.raises(aws.ReadTimeoutError):
        call(client)


def test_a_hang_ends_with_its_fault(bedrock: StandIn) -> None:
    bedrock.fault(kind="hang", seconds=0.3)
    began = time.monotonic()
    assert raw(bedrock) == (b"", False)
    assert 0.2 < time.monotonic() - began < 2
    assert raw(bedrock)[0].startswith(b"HTTP/1.1 200")


def test_malformed_is_no_json(client: BedrockRuntimeClient, bedrock: StandIn) -> None:
    """boto3 takes it for an answer without any output: the caller must look."""
    bedrock.fault(kind="malformed")
    with pytest.raises(json.JSONDecodeError):
        json.loads(raw(bedrock)[0].partition(b"\r\n\r\n")[2])
    assert "output" not in call(client)


def test_cut_closes_in_the_middle_of_the_body(
    client: BedrockRuntimeClient, bedrock: StandIn
) -> None:
    bedrock.fault(kind="cut")
    got, reset = raw(bedrock)
    head, _, body = got.partition(b"\r\n\r\n")
    promised = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < promised
    assert not reset
    assert "output" not in call(client)  # boto3 itself does not notice


def test_reset_is_a_reset(client: BedrockRuntimeClient, bedrock: StandIn) -> None:
    assert raw(bedrock)[1] is False
    bedrock.fault(kind="reset")
    assert raw(bedrock) == (b"", True)
    with pytest.raises(aws.ConnectionClosedError):
        call(client)
    last = bedrock.last()
    assert (last["fault"], last["status"]) == ("reset", None)


def names(client: BedrockRuntimeClient) -> list[str]:
    return [name for event in read(client) for name in event]


def test_a_cut_stream_breaks_after_its_events(
    client: BedrockRuntimeClient, bedrock: StandIn
) -> None:
    bedrock.fault(kind="cut", after=3)
    seen: list[str] = []
    with pytest.raises(ProtocolError):
        seen += (name for event in read(client) for name in event)
    got, reset = raw(bedrock, "converse-stream")
    assert got.count(b":event-type") == 3
    assert not got.endswith(b"0\r\n\r\n")
    assert not reset


def test_a_clean_cut_ends_without_message_stop(
    client: BedrockRuntimeClient, bedrock: StandIn
) -> None:
    bedrock.fault(kind="cut", after=3, clean=True)
    assert names(client) == ["messageStart", "contentBlockDelta", "contentBlockDelta"]


def test_an_error_in_a_stream_is_an_exception_event(
    client: BedrockRuntimeClient, bedrock: StandIn
) -> None:
    bedrock.fault(kind="error", code="ThrottlingException", after=2)
    seen = []
    with pytest.raises(aws.EventStreamError) as caught:
        for event in read(client):
            seen += list(event)
    assert seen == ["messageStart", "contentBlockDelta"]
    assert caught.value.response["Error"]["Code"] == "throttlingException"


@pytest.mark.parametrize("after", [0, 2])
def test_a_malformed_stream_fails_its_checksum(
    client: BedrockRuntimeClient, bedrock: StandIn, after: int
) -> None:
    bedrock.fault(kind="malformed", after=after)
    seen = []
    with pytest.raises(ChecksumMismatch):
        for event in read(client):
            seen += list(event)
    assert len(seen) == after


def test_a_hanging_stream_stops_between_events(
    client: BedrockRuntimeClient, bedrock: StandIn
) -> None:
    bedrock.fault(kind="hang", after=2)
    seen = []
    with pytest.raises(ReadTimeoutError):
        for event in read(client):
            seen += list(event)
    assert seen == ["messageStart", "contentBlockDelta"]


def test_a_reset_stream_is_reset(bedrock: StandIn) -> None:
    bedrock.fault(kind="reset", after=2)
    got, reset = raw(bedrock, "converse-stream")
    assert reset
    assert got.count(b":event-type") <= 2


def test_a_share_strikes_some_and_spares_others(bedrock: StandIn) -> None:
    bedrock.fault(kind="error", share=0.5)
    hit = [raw(bedrock)[0].startswith(b"HTTP/1.1 503") for _ in range(20)]
    assert any(hit)
    assert not all(hit)


def test_a_fault_ends_by_itself(bedrock: StandIn) -> None:
    bedrock.fault(kind="error", seconds=0.4)
    assert raw(bedrock)[0].startswith(b"HTTP/1.1 503")
    deadline = time.monotonic() + 5
    while bedrock.ask(do="status")["faults"]:
        assert time.monotonic() < deadline
    assert raw(bedrock)[0].startswith(b"HTTP/1.1 200")


def test_a_wrong_fault_is_refused_in_words(bedrock: StandIn) -> None:
    answer = bedrock.ask(do="fault", kind="error", seconds=601)
    assert answer["ok"] is False
    assert "600" in answer["message"]
    assert bedrock.ask(do="status")["faults"] == []
    assert bedrock.ask(do="dance")["error"] == "invalid"
